"""The training program with its death planned; the planning is all here, nothing of it in the program.

    [torchrun ...] doomed.py MANIFEST [POINT RANK STEP] [-- MANIFEST [POINT RANK STEP]]...

At STEP, on RANK, the process kills itself with SIGKILL at POINT: `step` (after the gradients, before the optimizer),
`save` (with the first file of its share half written), `before-rename` or `after-rename` of the staging folder.
Several starts are made one after another, each in a fork of this process; the last line printed is a list of their exit
codes, -9 for a death.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def plan(point: str, rank: int, step: int) -> None:
    """Have this process die at `point`, if it is `rank`."""
    if int(os.environ.get("RANK", "0")) == rank:
        {"step": _in_step, "save": _in_save}.get(point, lambda at: _at_rename(at, point == "after-rename"))(step)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _in_step(step: int) -> None:
    from finetuning.trainer import LlavaTrainer

    whole = LlavaTrainer.training_step

    def training_step(trainer: Any, *arguments: Any, **options: Any) -> Any:
        loss = whole(trainer, *arguments, **options)
        if trainer.state.global_step + 1 == step:
            _die()
        return loss

    LlavaTrainer.training_step = training_step  # type: ignore[method-assign]


def _in_save(step: int) -> None:
    import torch

    from finetuning.trainer import LlavaTrainer

    whole = LlavaTrainer.write_checkpoint

    def half(_value: object, file: Any, *_: Any, **__: Any) -> None:
        with open(file, "wb") as stream:
            stream.write(b"half")
        _die()

    def write_checkpoint(trainer: Any, folder: Path) -> None:
        if trainer.state.global_step == step:
            torch.save = half
        whole(trainer, folder)

    LlavaTrainer.write_checkpoint = write_checkpoint  # type: ignore[method-assign]


def _at_rename(step: int, after: bool) -> None:
    whole = Path.rename

    def rename(path: Path, target: Any) -> Path:
        planned = path.name == f".staging-{step}"
        if planned and not after:
            _die()
        renamed = whole(path, target)
        if planned:
            _die()
        return renamed

    Path.rename = rename  # type: ignore[method-assign]


def start(words: list[str]) -> int:
    """Run the program once."""
    from finetuning.program import main

    if len(words) > 1:
        plan(words[1], *map(int, words[2:4]))
    return main(words[:1])


def start_in_a_fork(words: list[str]) -> int:
    """Run the program once in a child; its exit code, or the number of the signal that killed it below zero."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = start(words)
        except Exception:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    starts = [list(words) for separator, words in groupby(sys.argv[1:], lambda word: word == "--") if not separator]
    if len(starts) == 1:
        sys.exit(start(starts[0]))
    import finetuning.running  # noqa: F401 - before the forks, which then are quick

    print(json.dumps([start_in_a_fork(words) for words in starts]))
