"""demo: run the commands that a user would type over the phantom world, printing each."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from radvlm_cli.errors import RadvlmError

_EXPECTED_FAILURES = 4
"""Exit code of a stage that finished with failed items: the phantom world holds damaged files on purpose."""


def run_commands(keep: Path, world: Path) -> None:
    """Prepare everything, write the texts by rules, build the training and the evaluation sets."""
    where = ["--data-dir", str(world), "--store", str(keep / "radvlm.db")]
    _radvlm("prepare", "--source", "all", *where)
    _radvlm("curate", "--source", "all", "--provider", "rules", *where)
    _radvlm("converse", "--source", "all", "--provider", "rules", *where)
    _radvlm("build", "--recipe", "evaluation", "--output", str(keep / "datasets" / "test"), *where)
    _radvlm("build", "--recipe", "radvlm", "--output", str(keep / "datasets" / "train"), *where)


def compare_with_truth(keep: Path, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Records used per component beside the manifest's count."""
    from radvlm_cli.store.engine import open_store

    written = manifest["written"]
    training = manifest["components"] | written["components"]
    evaluation = manifest["evaluation"] | written["evaluation"]
    truth = {name: counts["after_leak_removal"] for name, counts in training.items()}
    truth |= {name: counts["records"] for name, counts in evaluation.items()}
    with open_store(keep / "radvlm.db", create=False, allow_network=True) as store:
        rows = store.rows("SELECT dataset, name, pairs / repeat, pairs FROM dataset_component ORDER BY dataset DESC")
        return [
            {
                "dataset": dataset,
                "component": name,
                "built": used,
                "true": truth.get(name),
                "pairs": pairs,
            }
            for dataset, name, used, pairs in rows
        ]


def _radvlm(*arguments: str) -> None:
    print(f"\n$ {shlex.join(['radvlm', *arguments])}", flush=True)
    code = subprocess.run([sys.executable, "-m", "radvlm_cli", *arguments], check=False).returncode
    if code == _EXPECTED_FAILURES:
        print("(The phantoms hold a few damaged files on purpose.)", file=sys.stderr, flush=True)
    elif code != 0:
        raise RadvlmError(f"`radvlm {arguments[0]}` ended with exit code {code}.", "see its message above")
