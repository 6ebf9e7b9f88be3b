"""Checkpoints of ZeRO for another number of ranks.

ZeRO writes the optimizer in as many shards as there are ranks and loads it only into as many. DeepSpeed's universal
form is one file per parameter and state, which any number of ranks can read. It is made beside the shards, once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetuning.checkpoints import Checkpoint, sync_tree
from finetuning.errors import CheckpointError
from finetuning.space import given_up_on_error

LATEST = "latest_universal"
"""Name of the file from which DeepSpeed reads which folder of a checkpoint to load."""
_STAGING, _REASON = ".universal-staging", ".universal-given-up"

# The converter and the processes that it forks die with the trainer: a resumed run begins the folder anew.
_CONVERTER = """
import os, runpy, sys
from finetuning.stopping import die_with_parent
die_with_parent(int(sys.argv.pop(1)))
os.register_at_fork(after_in_child=die_with_parent)
runpy.run_module("deepspeed.checkpoint.ds_to_universal", run_name="__main__", alter_sys=True)
"""


def needed(checkpoint: Checkpoint, strategy: str, world: int) -> bool:
    """Whether `checkpoint` must be loaded in universal form by `world` ranks."""
    return strategy.startswith("zero") and checkpoint.facts.world_size != world


def prepare(
    checkpoint: Checkpoint, *, rank: int, barrier: Callable[[], None], workers: int = 4, note: Callable[[str], None]
) -> Path:
    """The folder of `checkpoint` in universal form; rank 0 makes it where it is not there yet, the others wait.

    The time-out of `barrier` must allow for it: all of the optimizer is read and written, some minutes for a model of
    7 billion parameters. `workers` processes hold a shard each in memory. Then DeepSpeed loads it with
    {"checkpoint": {"load_universal": true}}, and `restore_groups` mends what it gets wrong.
    """
    if rank == 0 and ready(checkpoint.path) is None:
        facts = checkpoint.facts
        note(f"{checkpoint.path.name} was saved by {facts.world_size} ranks: making its universal form.")
        _make(checkpoint.path, workers)
    barrier()
    folder = ready(checkpoint.path)
    if folder is None:
        raise CheckpointError(f"{checkpoint.path} has no universal form: this rank does not see what rank 0 wrote.")
    return folder


def ready(path: Path) -> Path | None:
    """The universal form in the checkpoint folder `path`, if it has been made."""
    try:
        folder = path / (path / LATEST).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder if folder.is_dir() else None


def restore_groups(optimizer: Any, path: Path) -> None:
    """Mend, after DeepSpeed 0.19 has loaded it, what loading a universal checkpoint does wrong under ZeRO-3.

    All parameter groups get the learning rate, weight decay and betas of the first one: each gets its own back. And
    all share one tensor that counts Adam's steps, so that it would run ahead: each gets a count of its own.

    `optimizer` is the engine's, `path` the checkpoint folder. CheckpointError where there is no universal form, or its
    groups are not those of the optimizer.
    """
    import torch

    folder = ready(path)
    if folder is None:
        raise CheckpointError(f"{path} has no universal form.")
    # Written by this training from its shards; besides tensors it holds plain classes of DeepSpeed.
    saved = torch.load(folder / "zero" / "optimizer_state.pt", map_location="cpu", weights_only=False)["param_groups"]
    if len(saved) != len(optimizer.param_groups):
        raise CheckpointError(
            f"{folder} has {len(saved)} parameter groups, the optimizer {len(optimizer.param_groups)}",
            "The checkpoint was made with other learning rates or weight decay; start a new run.",
        )
    for group, before in zip(optimizer.param_groups, saved, strict=True):
        group.update({name: value for name, value in before.items() if name != "params"})
    for state in optimizer.optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()


def _make(path: Path, workers: int) -> None:
    tag = (path / "latest").read_text(encoding="utf-8").strip()
    staging, folder = path / _STAGING, path / f"{tag}_universal"
    for stale in (staging, folder):
        shutil.rmtree(stale, ignore_errors=True)
    staging.mkdir()
    with given_up_on_error(staging, path / _REASON, None):
        _convert(path / tag, staging / folder.name, workers)
        sync_tree(staging)
        (staging / folder.name).rename(folder)
        # The name of the folder becomes readable last: until then there is no universal form.
        (staging / LATEST).rename(path / LATEST)
    sync_tree(path, below=False)
    shutil.rmtree(staging, ignore_errors=True)


def _convert(shards: Path, folder: Path, workers: int) -> None:
    package = str(Path(__file__).resolve().parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    arguments = ["--input_folder", str(shards), "--output_folder", str(folder)]
    arguments += ["--num_extract_workers", str(workers), "--num_merge_workers", str(max(1, workers // 2))]
    # ZeRO-1 and ZeRO-2 through the HF Trainer lack a version mark, which the converter insists on.
    arguments += ["--inject_missing_state"]
    result = subprocess.run(
        [sys.executable, "-c", _CONVERTER, str(os.getpid()), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        if "No space left" in result.stdout:
            raise OSError(28, "No space left on device")
        end = "\n".join(result.stdout.splitlines()[-15:])
        raise CheckpointError(
            f"{shards} could not be made universal (DeepSpeed's converter ended with {result.returncode}):\n{end}",
            "Resume on the number of ranks that saved it.",
        )
