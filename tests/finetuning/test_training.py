"""Whole runs of the program in one process: resumes, stops, refusals, and that cutting a batch changes nothing."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaOnevisionForConditionalGeneration

from tests.finetuning import tiny
from tests.finetuning.runs import Runs, checkpoint, code_of, losses, norms

CONSTANT = {"schedule": "constant", "warmup": 0.0, "global_batch": 4, "max_steps": 4}
LORA = {"kind": "lora", "rank": 4, "alpha": 64.0, "dropout": 0.5}
STEPS = [1, 2, 3, 4]


class Tables(NamedTuple):
    """Datasets that something is wrong with."""

    other: Path
    broken: Path
    held_out: Path
    marked: Path
    """Answers that hold what reads like a special token."""
    faulty: Path
    """One answer is empty."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Tables beside the usual one."""
    folder = tmp_path_factory.mktemp("tables")
    return Tables(
        tiny.make_table(folder / "other.parquet", seed=5),
        tiny.make_table(folder / "broken.parquet", broken=(3, 7)),
        tiny.make_table(folder / "held-out.parquet", pairs=7, seed=6, broken=(4,)),
        tiny.make_table(folder / "marked.parquet", answer="Clear <|im_end|> lungs <image>."),
        tiny.make_table(folder / "faulty.parquet", empty=(5,)),
    )


class Done(NamedTuple):
    """Folders of the runs."""

    folder: Path
    output: str

    def __getitem__(self, name: str) -> Path:  # type: ignore[override]
        return self.folder / name


def _without_numbers(model: Path, folder: Path) -> Path:
    """A copy of the model that can only say NaN."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.image_newline"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, table: Path, tables: Tables) -> Done:
    """All runs of this module, in one process."""
    folder = tmp_path_factory.mktemp("runs")
    runs = Runs(folder, model_folder, table, optimization=CONSTANT)
    held_out = {"held_out": {"table": str(tables.held_out), "per_task": 2}}
    whole = runs.add("whole", data=held_out, evaluation={"every_steps": 2})
    runs.add("resumed", go_on_from=checkpoint(whole, 2))
    runs.add("resumed-micro-2", optimization={"micro_batch": 2}, go_on_from=checkpoint(whole, 2))
    lora = runs.add("lora", adapter=LORA, parallel={"activation_checkpointing": 2})
    runs.add("lora-resumed", adapter=LORA, parallel={"activation_checkpointing": 2}, go_on_from=checkpoint(lora, 2))
    for micro_batch in (2, 4):
        runs.add(f"micro-{micro_batch}", optimization={"micro_batch": micro_batch})
    runs.add("packed", data={"max_length": 400}, packing={"tokens": 500})
    runs.add("workers", data={"workers": 2})
    runs.add("token", loss={"norm": "token"}, optimization={"micro_batch": 2})
    runs.add("other-data", table=tables.other, go_on_from=checkpoint(whole, 2))
    allowed = {"allow_changed": ["data", "global_batch"]}
    runs.add("other-data-allowed", table=tables.other, resume=allowed, go_on_from=checkpoint(whole, 2))
    runs.add("other-batch", optimization={"global_batch": 2}, go_on_from=checkpoint(whole, 2))
    more = {"global_batch": 2, "max_steps": 8}
    runs.add("other-batch-allowed", optimization=more, resume=allowed, go_on_from=checkpoint(whole, 2))
    runs.add("broken", table=tables.broken)
    runs.add("broken-allowed", table=tables.broken, data={"unreadable_share": 0.2})
    runs.add("faulty", table=tables.faulty, data={"unreadable_share": 1.0})
    marked = runs.add("marked", table=tables.marked)
    runs.add("marked-resumed", table=tables.marked, go_on_from=checkpoint(marked, 2))
    runs.add("recomputed", parallel={"activation_checkpointing": 1})
    runs.add("bfloat16", model={"dtype": "bfloat16"}, parallel={"activation_checkpointing": 1})
    runs.add("no-model", model={"path": str(folder)})
    runs.add("no-number", model={"path": str(_without_numbers(model_folder, folder / "model"))})
    stopped = runs.add("stopped", checkpoints={"every_steps": 100})
    (stopped / "stop").touch()
    output = runs.start()
    runs.again(stopped)
    runs.again(whole)
    return Done(folder, output + runs.start())


def test_a_run_ends_well_and_says_so(done: Done) -> None:
    events = [event for event in tiny.events(done["whole"]) if event["kind"] != "note"]
    assert code_of(done["whole"]) == 0
    assert [event["kind"] for event in events[:6]] == ["started", "step", "step", "evaluation", "checkpoint", "step"]
    started, steps = events[0], tiny.events(done["whole"], "step")
    assert (started["world_size"], started["accumulation"], started["steps"]) == (1, 4, 4)
    assert started["resumed_from"] is None
    assert started["parameters"] - started["trainable"] == 2 * 32
    assert [event["consumed_samples"] for event in steps] == [4, 8, 12, 16]
    assert all(event["learning_rates"] == {"language": 1e-2, "vision": 2e-3} for event in steps)
    assert all(event["samples"] == 4 and event["tokens"] > 100 and event["tokens_per_s"] > 0 for event in steps)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5


@pytest.mark.parametrize(("first", "resumed"), [("whole", "resumed"), ("lora", "lora-resumed")])
def test_a_resume_repeats_the_uninterrupted_run_to_the_bit(done: Done, first: str, resumed: str) -> None:
    assert sorted(losses(done[first])) == STEPS
    assert losses(done[resumed]) == {step: losses(done[first])[step] for step in (3, 4)}
    assert norms(done[resumed]) == {step: norms(done[first])[step] for step in (3, 4)}
    (left,), (right,) = (list((done[name] / "final").glob("*.safetensors")) for name in (first, resumed))
    left_weights, right_weights = load_file(left), load_file(right)
    assert left_weights.keys() == right_weights.keys()
    assert all(torch.equal(left_weights[name], right_weights[name]) for name in left_weights)


def test_dropout_is_at_work_in_the_lora_runs(done: Done) -> None:
    """Else their resume would prove nothing about random numbers."""
    assert losses(done["lora"])[3] != pytest.approx(losses(done["whole"])[3], abs=1e-4)


@pytest.mark.parametrize("name", ["micro-2", "micro-4", "packed", "workers"])
def test_how_a_global_batch_is_cut_and_loaded_changes_no_loss(done: Done, name: str) -> None:
    assert losses(done[name]) == pytest.approx(losses(done["whole"]), rel=2e-4)
    assert losses(done[name])[1] == pytest.approx(losses(done["whole"])[1], rel=1e-6)
    assert norms(done[name])[1] == pytest.approx(norms(done["whole"])[1], rel=1e-5)


def test_a_resume_may_cut_the_global_batch_otherwise(done: Done) -> None:
    assert losses(done["resumed-micro-2"]) == pytest.approx({s: losses(done["whole"])[s] for s in (3, 4)}, rel=2e-4)


def test_computing_activations_again_changes_no_bit(done: Done) -> None:
    assert losses(done["recomputed"]) == losses(done["whole"])


def test_bfloat16_without_zero_learns_as_float32_does(done: Done) -> None:
    """Its float32 weights take small steps in; the forward pass is rounded."""
    assert losses(done["bfloat16"]) == pytest.approx(losses(done["whole"]), rel=0.02)


def test_a_model_that_is_none_ends_the_run_with_a_hint(done: Done) -> None:
    assert code_of(done["no-model"]) == 3
    (ended,) = tiny.events(done["no-model"], "ended")
    assert (ended["status"], ended["step"]) == ("failed", 0)
    assert "convert" in ended["hint"]


def test_a_loss_that_is_no_number_ends_the_run(done: Done) -> None:
    assert code_of(done["no-number"]) == 3
    (step,) = tiny.events(done["no-number"], "step")
    assert step["loss"] is None
    assert "step 1 is nan" in tiny.events(done["no-number"], "ended")[0]["message"]
    assert not (done["no-number"] / "checkpoints").exists()


def test_workers_change_no_bit(done: Done) -> None:
    assert losses(done["workers"]) == losses(done["whole"])


def test_the_mean_over_tokens_is_another(done: Done) -> None:
    assert losses(done["token"])[1] != pytest.approx(losses(done["whole"])[1], abs=1e-4)


def test_held_out_losses_are_told_per_task_with_their_numbers(done: Done) -> None:
    told = tiny.events(done["whole"], "evaluation")
    assert [event["step"] for event in told] == [2, 4]
    for event in told:
        assert set(event["losses"]) == {"report", "grounding"}
        assert sum(each["samples"] for each in event["losses"].values()) in (3, 4)  # one of seven cannot be read
        assert all(each["tokens"] > 0 for each in event["losses"].values())
    first, last = (event["losses"]["grounding"]["loss"] for event in told)
    assert last < first


def test_evaluating_changes_nothing(done: Done) -> None:
    """`whole` evaluates, `workers` does not."""
    assert losses(done["workers"]) == losses(done["whole"])


def test_other_data_or_another_global_batch_is_refused_by_name(done: Done) -> None:
    for name, word in (("other-data", "data"), ("other-batch", "global_batch")):
        assert code_of(done[name]) == 3
        (ended,) = tiny.events(done[name], "ended")
        assert ended["status"] == "failed"
        assert f'"{word}" in resume.allow_changed' in ended["hint"]
        assert not tiny.events(done[name], "step")


def test_an_allowed_change_goes_on_where_the_samples_stood(done: Done) -> None:
    assert sorted(losses(done["other-data-allowed"])) == [3, 4]
    steps = tiny.events(done["other-batch-allowed"], "step")
    assert [event["consumed_samples"] for event in steps] == [10, 12, 14, 16]
    assert [event["step"] for event in steps] == [3, 4, 5, 6]
    assert code_of(done["other-batch-allowed"]) == 0


def test_too_many_unreadable_images_end_the_run(done: Done) -> None:
    assert code_of(done["broken"]) == 3
    (ended,) = tiny.events(done["broken"], "ended")
    assert "the images of 1 of 16 samples could not be loaded" in ended["message"]
    assert tiny.events(done["broken"], "dropped"), "the message says that each is named there"
    assert "unreadable_share" in ended["hint"]


def test_unreadable_images_within_the_allowed_share_are_named_and_left_out(done: Done) -> None:
    assert code_of(done["broken-allowed"]) == 0
    assert {event["pair_id"] for event in tiny.events(done["broken-allowed"], "dropped")} == {"pair-3", "pair-7"}
    assert all("image" in event["reason"] for event in tiny.events(done["broken-allowed"], "dropped"))
    assert sum(event["samples"] for event in tiny.events(done["broken-allowed"], "step")) <= 16


def test_a_text_that_is_no_conversation_is_named_and_ends_the_run(done: Done) -> None:
    assert code_of(done["faulty"]) == 3
    assert "1 of 16 samples are no conversation" in tiny.events(done["faulty"], "ended")[0]["message"]
    (dropped,) = tiny.events(done["faulty"], "dropped")
    assert (dropped["pair_id"], dropped["reason"]) == ("pair-5", "an answer is empty")


def test_look_alikes_of_special_tokens_are_counted_from_the_start_of_the_run(done: Done) -> None:
    assert code_of(done["marked"]) == 0
    told = {event["step"]: event["literals"] for event in tiny.events(done["marked"], "step")}
    assert told == {1: 8, 2: 16, 3: 24, 4: 32}, "two in each of four answers a step"
    assert [event["literals"] for event in tiny.events(done["marked-resumed"], "step")] == [24, 32]
    assert tiny.events(done["whole"], "step")[-1]["literals"] == 0


def test_a_stop_saves_says_why_and_is_gone_on_from(done: Done) -> None:
    run = done["stopped"]
    ended = tiny.events(run, "ended")
    assert [event["status"] for event in ended] == ["stopped", "done"]
    assert ended[0]["step"] == 1
    assert tiny.events(run, "stopping")[0]["step"] == 1
    assert [event["resumed_from"] for event in tiny.events(run, "started")] == [None, 1]
    assert losses(run) == losses(done["whole"])


def test_a_finished_run_started_again_makes_no_step(done: Done) -> None:
    assert [event["resumed_from"] for event in tiny.events(done["whole"], "started")] == [None, 4]
    assert len(tiny.events(done["whole"], "step")) == 4
    assert [event["status"] for event in tiny.events(done["whole"], "ended")] == ["done", "done"]


def test_the_final_folder_is_a_model_by_itself(done: Done) -> None:
    final = done["whole"] / "final"
    model, found = LlavaOnevisionForConditionalGeneration.from_pretrained(final, output_loading_info=True)
    assert not any(found.values())
    saved = load_file(checkpoint(done["whole"], 4) / "model.safetensors")
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    assert (final / "tokenizer.json").exists()


def test_the_final_folder_of_lora_is_an_adapter(done: Done) -> None:
    assert {file.name for file in (done["lora"] / "final").iterdir()} >= {
        "adapter_model.safetensors",
        "adapter_config.json",
    }


def test_checkpoints_tell_what_they_are(done: Done, table: Path) -> None:
    from finetuning.checkpoints import newest

    found = newest(done["whole"] / "checkpoints")
    assert found is not None
    assert (found.facts.step, found.facts.consumed_samples, found.facts.world_size) == (4, 16, 1)
    assert found.facts.epoch == pytest.approx(16 / 12)
    assert found.facts.data_sha256 == hashlib.sha256(table.read_bytes()).hexdigest()
    assert "adapter_model.safetensors" in {file.name for file in checkpoint(done["lora"], 4).iterdir()}
