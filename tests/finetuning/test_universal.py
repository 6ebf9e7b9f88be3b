"""Real DeepSpeed shards on two gloo ranks: resumed by as many ranks, by one, and by two again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finetuning.checkpoints import Checkpoint, newest, read
from finetuning.errors import CheckpointError
from finetuning.universal import needed, prepare, ready
from tests.finetuning.test_checkpoints import save_one

ROOT = Path(__file__).parents[2]
Losses = dict[int, float]


def _train(folder: Path, stage: int, ranks: int, first: int, last: int, *more: str) -> Losses:
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    program = [str(Path(__file__).with_name("zero_worker.py")), str(folder), *map(str, (stage, first, last)), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    result = subprocess.run(
        [sys.executable, *launch, *program], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    steps = (line.split() for line in result.stdout.splitlines() if line.startswith("step "))
    return {int(step): float(loss) for _word, step, loss in steps}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_shards_go_on_as_if_nothing_had_happened(tmp_path: Path, stage: int) -> None:
    whole = _train(tmp_path / "whole", stage, 2, 1, 8)
    assert len(whole) == 8
    begun = _train(tmp_path / "begun", stage, 2, 1, 4)
    shutil.copytree(tmp_path / "begun", tmp_path / "same")

    plain = _train(tmp_path / "same", stage, 2, 5, 6)
    assert begun | plain == {step: whole[step] for step in range(1, 7)}, "resumed from the shards themselves"

    shutil.copytree(tmp_path / "begun", tmp_path / "universal")
    same = _train(tmp_path / "universal", stage, 2, 5, 8, "universal")
    assert begun | same == whole, "the universal form holds all that decides a step, to the last bit"

    folder = tmp_path / "begun"
    one = _train(folder, stage, 1, 5, 6)
    two = _train(folder, stage, 2, 7, 8)
    assert one[5] == whole[5], "before other sums of bfloat16 are rounded, another number of ranks changes nothing"
    assert one | two == pytest.approx({step: whole[step] for step in range(5, 9)}, rel=2e-3)
    checkpoint = newest(folder)
    assert checkpoint is not None
    assert (checkpoint.facts.step, checkpoint.facts.world_size) == (8, 2)


def _sharded(folder: Path) -> Checkpoint:
    path = save_one(folder, 4, world_size=2)
    (path / "latest").write_text("global_step4")
    (path / "global_step4").mkdir()
    return read(path)


def test_only_zero_on_another_number_of_ranks_needs_it(tmp_path: Path) -> None:
    checkpoint = _sharded(tmp_path)
    assert [needed(checkpoint, strategy, 1) for strategy in ("ddp", "zero2", "zero3", "zero3-offload")] == [False] + [
        True
    ] * 3
    assert not needed(checkpoint, "zero2", 2)


def test_what_has_been_made_is_taken_and_other_ranks_only_wait(tmp_path: Path) -> None:
    checkpoint = _sharded(tmp_path)
    waited: list[str] = []
    with pytest.raises(CheckpointError, match="does not see what rank 0 wrote"):
        prepare(checkpoint, rank=1, barrier=lambda: waited.append("1"), note=waited.append)
    (checkpoint.path / "global_step4_universal").mkdir()
    (checkpoint.path / "latest_universal").write_text("global_step4_universal")
    made = prepare(checkpoint, rank=0, barrier=lambda: waited.append("0"), note=waited.append)
    assert made == ready(checkpoint.path) == checkpoint.path / "global_step4_universal"
    assert waited == ["1", "0"]


@pytest.mark.slow
def test_shards_that_cannot_be_read_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    checkpoint = _sharded(tmp_path)
    with pytest.raises(CheckpointError, match="could not be made universal") as told:
        prepare(checkpoint, rank=0, barrier=lambda: None, note=lambda _line: None)
    assert told.value.hint == "Resume on the number of ranks that saved it."
    assert ready(checkpoint.path) is None
    assert sorted(path.name for path in checkpoint.path.iterdir()) == [
        "deep",
        "global_step4",
        "latest",
        "radvlm_checkpoint.json",
        "weights.bin",
    ]
