"""Runs of the training program in tests: many of them in one start of Python, since importing torch takes seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.finetuning import tiny

DRIVER = Path(__file__).with_name("drive.py")


class Runs:
    """Manifests to be run one after another, in one process or by torchrun."""

    def __init__(self, folder: Path, model_folder: Path, table: Path, **changes: Any) -> None:
        """`changes` hold for all runs; see `tiny.manifest`."""
        self.folder, self.model_folder, self.table, self.changes = folder, model_folder, table, changes
        self._queue: list[Path] = []

    def add(self, name: str, *, go_on_from: Path | None = None, table: Path | None = None, **changes: Any) -> Path:
        """Queue a run; `go_on_from` is the folder of a checkpoint that will stand by then. Returns its folder."""
        merged = {**self.changes}
        for section, change in changes.items():
            merged[section] = {**(merged.get(section) or {}), **change} if isinstance(change, dict) else change
        run = self.folder / name
        self._queue.append(tiny.write_manifest(run, self.model_folder, table or self.table, **merged))
        if go_on_from is not None:
            (run / "continue").write_text(str(go_on_from))
        return run

    def again(self, run: Path) -> Path:
        """Queue a run that has been queued before: it resumes in its own folder."""
        self._queue.append(run / "manifest.json")
        return run

    def start(self, *, ranks: int = 1) -> str:
        """Run all that is queued; the output. Exit codes are for `code_of`."""
        launcher = [sys.executable]
        if ranks > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        result = subprocess.run(
            [*launcher, str(DRIVER), *map(str, self._queue)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-8000:]
        self._queue.clear()
        return result.stdout


def code_of(run: Path, *, rank: int = 0) -> int:
    """The exit code of the last start of a run."""
    return int((run / f"exit{rank}").read_text())


def losses(run: Path) -> dict[int, float]:
    """The loss of each step; of a step made twice, the later one."""
    return {event["step"]: event["loss"] for event in tiny.events(run, "step")}


def norms(run: Path) -> dict[int, float]:
    """The gradient norm of each step."""
    return {event["step"]: event["gradient_norm"] for event in tiny.events(run, "step")}


def checkpoint(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / "checkpoints" / f"checkpoint-{step}"


def forget(run: Path) -> None:
    """Remove a run's folder."""
    shutil.rmtree(run, ignore_errors=True)
