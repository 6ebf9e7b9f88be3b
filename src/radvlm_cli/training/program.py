"""What training needs to be installed, and how the training program is asked about a manifest."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.program import how_to_get_models, program_folder

_NEEDED = ("torch", "transformers", "accelerate")


def require_installed(*, strategy: str, adapter: bool) -> None:
    """ConfigError where a package that training needs is not installed; none is imported."""
    needed = [*_NEEDED, *(["deepspeed"] if strategy.startswith("zero") else []), *(["peft"] if adapter else [])]
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"Training needs {', '.join(absent)}, which is not installed.", how_to_get_models())


def ask(manifest: Path, *options: str) -> dict[str, Any]:
    """What finetuning/estimate.py says of a manifest; ConfigError where it finds something wrong."""
    script = program_folder() / "estimate.py"
    result = subprocess.run(
        [sys.executable, str(script), str(manifest), *options], capture_output=True, text=True, check=False
    )
    if result.returncode not in (0, 3):
        raise RuntimeError(f"{script} ended with {result.returncode}: {result.stderr.strip()}")
    answer: dict[str, Any] = json.loads(result.stdout)
    if "error" in answer:
        raise ConfigError(_sentence(answer["error"], answer.get("field")), answer.get("hint") or _hint(answer))
    return answer


def _sentence(text: str, field: str | None) -> str:
    begun = f"The setting {text}" if field else text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "?")) else f"{begun}."


def _hint(answer: dict[str, Any]) -> str | None:
    if "not installed" in answer["error"]:
        return how_to_get_models()
    if answer.get("field") == "model.path":
        return "radvlm convert PATH, then --model with the folder that it writes"
    return f"Mend it in the recipe, or: --set {answer['field']}=VALUE" if answer.get("field") else None


def gpus_present() -> list[tuple[str, float]]:
    """Name and memory in GiB of each GPU that torch sees; asked in a process of its own."""
    code = (
        "import json, torch; c = torch.cuda; "
        "p = [c.get_device_properties(n) for n in range(c.device_count())]; "
        "print(json.dumps([(d.name, d.total_memory / 2**30) for d in p]))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise ConfigError(f"torch cannot be used: {lines[-1]}", how_to_get_models())
    return [(str(name), float(memory)) for name, memory in json.loads(result.stdout)]
