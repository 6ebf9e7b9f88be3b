"""Training in the store: steps once each, whatever was killed; checkpoints as the disk has them."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run, open_run
from radvlm_cli.store.spool import Tail, take_in
from radvlm_cli.store.spool_writer import SpoolWriter
from radvlm_cli.store.training import keep_training, last_event, reconcile_checkpoints, training_row


def _step(number: int, loss: float = 1.0) -> dict[str, Any]:
    rates = {"language": 1e-5, "vision": 2e-6}
    return {"step": number, "consumed_samples": number * 8, "loss": loss, "learning_rates": rates}


def _spool(folder: Path) -> SpoolWriter:
    return SpoolWriter(folder, "rank0")


def test_steps_that_a_resume_did_again_count_once_as_they_were_done_last(run: Run, tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    spool.append("started", resumed_from=None)
    for number in range(1, 8):
        spool.append("step", **_step(number, loss=1.0))
    spool.append("evaluation", step=6, losses={"report": {"loss": 3.0, "samples": 2, "tokens": 9}})
    spool.append("started", resumed_from=4)
    for number in range(5, 7):
        spool.append("step", **_step(number, loss=2.0))
    spool.append("evaluation", step=6, losses={"report": {"loss": 4.0, "samples": 2, "tokens": 9}})
    spool.append("started", resumed_from=None)  # its checkpoint was lost: from the start
    spool.append("step", **_step(1, loss=5.0))
    take_in(run.store, run.id, tmp_path)
    sql = "SELECT step, loss, learning_rate, vision_learning_rate FROM training_step ORDER BY step"
    assert list(run.store.rows(sql)) == [(1, 5.0, 1e-5, 2e-6)]
    assert run.store.value("SELECT count(*) FROM training_evaluation") == 0
    spool.append("step", **_step(2, loss=6.0))
    spool.append("evaluation", step=2, losses={"report": {"loss": 4.5, "samples": 2, "tokens": 9}, "x": {"loss": 1.0}})
    take_in(run.store, run.id, tmp_path)
    assert [row[:2] for row in run.store.rows(sql)] == [(1, 5.0), (2, 6.0)]
    found = list(run.store.rows("SELECT step, task, loss, samples FROM training_evaluation ORDER BY task"))
    assert found == [(2, "report", 4.5, 2), (2, "x", 1.0, None)]


def test_a_resume_voids_nothing_of_another_run(store: Store, tmp_path: Path) -> None:
    for number in (1, 2):
        with open_run(store, "train", {}, side_by_side=True) as run:
            spool = _spool(tmp_path / str(run.id))
            spool.append("started", resumed_from=None)
            for step in range(1, 4):
                spool.append("step", **_step(step))
            if number == 2:
                spool.append("started", resumed_from=1)
            take_in(store, run.id, tmp_path / str(run.id))
    found = list(store.rows("SELECT run_id, step FROM training_step ORDER BY 1, 2"))
    assert found == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_a_pair_that_was_dropped_twice_is_one(run: Run, tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    for _ in range(2):
        spool.append("dropped", pair_id="a", reason="the image file is missing")
    spool.append("dropped", pair_id="b", reason="longer than allowed")
    take_in(run.store, run.id, tmp_path)
    assert list(run.store.rows("SELECT pair_id FROM dropped_pair ORDER BY 1")) == [("a",), ("b",)]


def test_a_tail_gives_each_event_once_and_none_from_before_it(run: Run, tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    spool.append("step", **_step(1))
    tail = Tail(run.store, run.id, tmp_path)
    spool.append("step", **_step(2))
    SpoolWriter(tmp_path, "rank1").append("ended", status="failed", message="x")
    take_in(run.store, run.id, tmp_path)
    assert [(file, kind, body.get("step")) for file, kind, body in tail.new()] == [
        ("rank0.spool.jsonl", "step", 2),
        ("rank1.spool.jsonl", "ended", None),
    ]
    assert list(tail.new()) == []
    assert last_event(run.store, run.id, ("step", "started")) == {"kind": "step", **_step(2)}
    assert last_event(run.store, run.id, ("ended",)) is None, "rank 1 does not speak for the run"


def _checkpoint(folder: Path, step: int, mark: str | None = None) -> Path:
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    body = {"format": 1, "step": step, "consumed_samples": step * 8, "files": {"a": 3, "b": 4}, "saved_at": "now"}
    (path / "radvlm_checkpoint.json").write_text(json.dumps(body) if mark is None else mark)
    return path


def test_the_rows_of_checkpoints_follow_the_disk(run: Run, tmp_path: Path) -> None:
    first, second = _checkpoint(tmp_path, 10), _checkpoint(tmp_path, 20)
    _checkpoint(tmp_path, 30, mark="{")
    assert reconcile_checkpoints(run.store, run.id, tmp_path) == [first, second]
    sql = "SELECT step, consumed_samples, path, bytes, status FROM checkpoint ORDER BY step"
    assert next(run.store.rows(sql)) == (10, 80, str(first), 7, "complete")
    (first / "radvlm_checkpoint.json").unlink()
    assert reconcile_checkpoints(run.store, run.id, tmp_path) == [second]
    assert [(row[0], row[4]) for row in run.store.rows(sql)] == [(10, "removed"), (20, "complete")]
    for path in (first / "x", first):
        path.rmdir() if path.exists() else None
    _checkpoint(tmp_path, 10)
    reconcile_checkpoints(run.store, run.id, tmp_path)
    assert [row[4] for row in run.store.rows(sql)] == ["complete", "complete"]


def test_a_training_run_is_known_by_its_number(run: Run, tmp_path: Path) -> None:
    for recipe in ("tiny", "radvlm-7b"):
        keep_training(run, folder=tmp_path, recipe=recipe, model=Path("/m"), dataset=None, sha256="0" * 64, pairs=3)
    row = training_row(run.store, run.id)
    assert (row.folder, row.recipe, row.status, row.unfinished) == (tmp_path, "radvlm-7b", "running", True)
    with pytest.raises(ConfigError, match="no training run 99"):
        training_row(run.store, 99)


def test_many_steps_are_taken_in_in_constant_memory_and_read_by_an_index(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"kind": "step", **_step(1), "tokens_per_s": 7200.0, "at": "2026-11-25T08:00:00.000+00:00"})
    with (tmp_path / "rank0.spool.jsonl").open("w") as spool:
        spool.write('{"kind":"started","resumed_from":null}\n')
        for number in range(1, 10_001):
            spool.write(line.replace('"step": 1', f'"step": {number}') + "\n")
            if number % 2_500 == 0:
                spool.write(f'{{"kind":"started","resumed_from":{number}}}\n')
    monkeypatch.setattr("radvlm_cli.store.spool._AT_ONCE", 500)
    tracemalloc.start()
    assert take_in(run.store, run.id, tmp_path).events == 10_005
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6, "the whole spool is 2.5 MB, and several times that as objects"
    begun = time.process_time()
    assert run.store.value("SELECT count(step) FROM training_step") == 10_000
    assert time.process_time() - begun < 1, "walking all later events for each takes ten times as long"
