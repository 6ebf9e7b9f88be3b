"""Whole runs on two ranks (gloo): what a resume restores under ZeRO, also on another number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.finetuning import tiny
from tests.finetuning.runs import Runs, checkpoint, code_of, losses, norms

CONSTANT = {"schedule": "constant", "warmup": 0.0, "global_batch": 4, "max_steps": 4}
LORA = {"kind": "lora", "rank": 4, "alpha": 64.0, "dropout": 0.5}


def assert_repeated(first: Path, resumed: Path) -> None:
    """The resumed run made the first one's last two steps again, to the bit, and ended with the same weights."""
    assert sorted(losses(first)) == [1, 2, 3, 4], tiny.events(first)[-1]
    assert losses(resumed) == {step: losses(first)[step] for step in (3, 4)}
    assert norms(resumed) == {step: norms(first)[step] for step in (3, 4)}
    left, right = (load_file(next((run / "final").glob("*.safetensors"))) for run in (first, resumed))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_two_ranks_of_zero2_resume_to_the_bit_and_two_of_ddp_have_the_loss_of_one(
    tmp_path: Path, model_folder: Path, table: Path
) -> None:
    """In one start of torchrun; the other strategies are in the slow tests."""
    broken = tiny.make_table(tmp_path / "broken.parquet", broken=(3, 7))
    runs = Runs(tmp_path, model_folder, table, optimization=CONSTANT)
    held_out = tiny.make_table(tmp_path / "held-out.parquet", pairs=5, seed=6)
    watched = {"data": {"held_out": {"table": str(held_out)}}}
    one = runs.add("one", **watched)
    runs.start()
    two = runs.add("two", **watched)
    zero = {"model": {"dtype": "bfloat16"}, "parallel": {"strategy": "zero2", "activation_checkpointing": 1}}
    first = runs.add("zero2", **zero)
    resumed = runs.add("zero2-resumed", go_on_from=checkpoint(first, 2), **zero)
    refused = runs.add("broken", table=broken, **zero)
    runs.start(ranks=2)
    assert losses(two) == pytest.approx(losses(one), rel=2e-4)
    assert losses(two)[1] == pytest.approx(losses(one)[1], rel=1e-6)
    assert norms(two)[1] == pytest.approx(norms(one)[1], rel=1e-5)
    (alone,), (shared,) = (tiny.events(run, "evaluation") for run in (one, two))
    assert alone["losses"].keys() == shared["losses"].keys() == {"report", "grounding"}
    for task, values in alone["losses"].items():
        assert shared["losses"][task] == pytest.approx(values, rel=1e-3)
    assert_repeated(first, resumed)
    assert losses(first) == pytest.approx(losses(one), rel=0.05)  # bfloat16
    assert [code_of(refused, rank=rank) for rank in (0, 1)] == [3, 3]
    assert len(tiny.events(refused, "step")) < 4


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("strategy", ["ddp", "zero2", "zero3"])
def test_two_ranks_resume_to_the_bit(
    tmp_path: Path, model_folder: Path, table: Path, strategy: str, adapter: dict[str, object] | None
) -> None:
    held_out = tiny.make_table(tmp_path / "held-out.parquet", pairs=5, seed=6)
    runs = Runs(
        tmp_path,
        model_folder,
        table,
        data={"held_out": {"table": str(held_out)}},
        optimization=CONSTANT,
        model={"dtype": "float32" if strategy == "ddp" else "bfloat16"},
        parallel={"strategy": strategy, "activation_checkpointing": 1},
        adapter=adapter,
    )
    first = runs.add("first")
    resumed = runs.add("resumed", go_on_from=checkpoint(first, 2))
    runs.start(ranks=2)
    assert_repeated(first, resumed)
    (left,), (right,) = (tiny.events(run, "evaluation") for run in (first, resumed))
    assert left["losses"] == right["losses"]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["zero2", "zero3"])
def test_a_run_goes_from_two_ranks_to_one_and_back(
    tmp_path: Path, model_folder: Path, table: Path, strategy: str
) -> None:
    """The first loss after each change is that of a run that never changed; then rounding parts them."""
    runs = Runs(
        tmp_path,
        model_folder,
        table,
        optimization={**CONSTANT, "max_steps": 6, "learning_rate": 1e-3, "vision_learning_rate": 2e-4},
        model={"dtype": "bfloat16"},
        parallel={"strategy": strategy},
        checkpoints={"keep": 4},
    )
    whole = runs.add("whole")
    runs.start(ranks=2)
    one = runs.add("one", go_on_from=checkpoint(whole, 2))
    runs.start()
    back = runs.add("back", go_on_from=checkpoint(one, 4))
    runs.start(ranks=2)
    assert [code_of(run) for run in (whole, one, back)] == [0, 0, 0]
    assert sorted(losses(one)) == [3, 4, 5, 6]
    assert sorted(losses(back)) == [5, 6]
    assert losses(one)[3] == pytest.approx(losses(whole)[3], rel=1e-5)
    assert losses(back)[5] == pytest.approx(losses(one)[5], rel=1e-5)
    assert losses(back)[6] == pytest.approx(losses(whole)[6], rel=5e-3)
    rates = {"language": 1e-3, "vision": 2e-4}
    assert all(event["learning_rates"] == rates for run in (one, back) for event in tiny.events(run, "step"))


@pytest.mark.slow
def test_packed_rows_on_two_ranks_have_the_loss_of_single_samples(
    tmp_path: Path, model_folder: Path, table: Path
) -> None:
    runs = Runs(tmp_path, model_folder, table, optimization=CONSTANT, model={"dtype": "bfloat16"})
    packing = {"data": {"max_length": 400}, "packing": {"tokens": 500}}
    # DDP first: the runs share two processes, and accelerate does not go back from DeepSpeed within one.
    packed = [runs.add(f"packed-{s}", parallel={"strategy": s}, **packing) for s in ("ddp", "zero2", "zero3")]
    alone = runs.add("alone", parallel={"strategy": "zero2"})
    runs.start(ranks=2)
    for run in (*packed, alone):
        assert code_of(run) == 0
        assert losses(run)[1] == pytest.approx(losses(alone)[1], rel=2e-3)
        assert losses(run) == pytest.approx(losses(alone), rel=0.05)
