"""Checkpoints in the layouts that convert reads, made from the golden one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from radvlm_cli.progress import Silent, StopSignal
from radvlm_cli.stages.convert import Converted, Options, convert

GOLDEN = Path(__file__).parents[1] / "data" / "llava_onevision"
ORIGINAL = GOLDEN / "original"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
ONE_SHARD = "model-00001-of-00002.safetensors"

Tensors = dict[str, Any]


def tensors_of(folder: Path) -> Tensors:
    """All tensors of a folder's safetensors files."""
    from safetensors.torch import load_file

    found: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= load_file(path)
    return found


def config_of(folder: Path = ORIGINAL) -> dict[str, Any]:
    """Its config.json."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def copy_words(folder: Path, config: dict[str, Any]) -> Path:
    """Put a config.json and the golden tokenizer into a new folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name in TOKENIZER_FILES:
        shutil.copy(ORIGINAL / name, folder / name)
    return folder


def write_single(folder: Path, tensors: Tensors, **changes: Any) -> Path:
    """A checkpoint with all tensors in one safetensors file; `changes` go into the golden config.json."""
    from safetensors.torch import save_file

    copy_words(folder, config_of() | changes)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_sharded(folder: Path, change: Callable[[Tensors], None] = lambda tensors: None) -> Path:
    """A copy of the golden checkpoint, its two files and index, with the first file changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(ORIGINAL, folder)
    tensors = load_file(folder / ONE_SHARD)
    change(tensors)
    save_file(tensors, folder / ONE_SHARD, {"format": "pt"})
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    others = {name: file for name, file in index["weight_map"].items() if file != ONE_SHARD}
    index["weight_map"] = others | {name: ONE_SHARD for name in tensors if name not in others}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def run_convert(source: Path, output: Path | None, **options: Any) -> Converted:
    """Convert without a command line; without the smoke generation unless asked for."""
    options.setdefault("verify", False)
    return convert(Options(source=source, output=output, **options), progress=Silent(), stop=StopSignal())


def load_strictly(folder: Path, **options: Any) -> Any:
    """The model in float32 (unless told otherwise); asserts that nothing is missing, unexpected or misshapen."""
    from transformers import LlavaOnevisionForConditionalGeneration

    loaded: Any = LlavaOnevisionForConditionalGeneration.from_pretrained(
        str(folder), **{"dtype": "float32", "local_files_only": True, "output_loading_info": True, **options}
    )
    model, found = loaded
    assert not any(found.values()), found
    return model.eval()
