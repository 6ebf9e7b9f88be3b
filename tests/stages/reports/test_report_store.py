"""The views on what the stages before evaluation left: overview, data, llm, training, sql."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import ConfigError, Interrupted, StoreError
from radvlm_cli.reporting.formats import record
from radvlm_cli.reporting.tables import View
from radvlm_cli.stages.reports.data import data_view
from radvlm_cli.stages.reports.llm import llm_view
from radvlm_cli.stages.reports.overview import overview
from radvlm_cli.stages.reports.queries import query_view
from radvlm_cli.stages.reports.training import training_view
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run, open_run
from radvlm_cli.store.snapshot import Snapshot, open_snapshot
from tests.stages.evaluation.evaluated import BOX, add_evaluation, add_test_set, phrases


@pytest.fixture
def snapshot(store: Store) -> Iterator[Snapshot]:
    """The store as it is when a test first reads it."""
    with open_snapshot(store.path) as opened:
        yield opened


def _write(store: Store, sql: str, *rows: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.executemany(sql, rows)


def _add_run(store: Store, command: str, status: str, heartbeat_ago_s: float = 0, **arguments: Any) -> int:
    at = (datetime.now(UTC) - timedelta(seconds=heartbeat_ago_s)).isoformat(timespec="milliseconds")
    with store.write() as connection:
        cursor = connection.exec_driver_sql(
            "INSERT INTO run (command, arguments, config_hash, version, python, host, pid, started_at, heartbeat_at, "
            "status, resumed) VALUES (?, ?, 'h', '1', '3', 'elsewhere', 1, ?, ?, ?, 0)",
            (command, json.dumps(arguments), at, at, status),
        )
        return int(cursor.lastrowid)


def _table(view: View, name: str) -> list[dict[str, Any]]:
    (table,) = view.only(name).tables
    return [record(table, row) for row in table.rows]


IMAGE = (
    "INSERT INTO image (source, image_id, patient_id, split, view, root, path, sex, age, status, run_id) "
    "VALUES (?, ?, 'p', ?, ?, 'data', 'x.jpg', ?, ?, ?, 1)"
)


def _add_images(store: Store) -> None:
    _write(
        store,
        IMAGE,
        ("mimic", "a", "train", "PA", "F", 40, "present"),
        ("mimic", "b", "train", "LATERAL", "M", 60, "present"),
        ("mimic", "c", "test", "AP", None, None, "missing"),
        ("vindr", "d", None, None, None, None, "failed"),
    )


# Overview


def test_an_empty_store_says_what_to_do_first(snapshot: Snapshot) -> None:
    view = overview(snapshot)
    assert view.tables[0].rows == ()
    assert "radvlm prepare" in view.tables[0].empty


def test_the_overview_counts_what_is_there_and_what_is_wanting(store: Store, run: Run) -> None:
    _add_images(store)
    answered = add_test_set(store, run, "phrases", "phrase", phrases(4))
    add_evaluation(store, run, answered, "maira2", [[BOX]] * 4, statuses={0: "error", 1: "empty"})
    with open_snapshot(store.path) as snapshot:
        rows = {row["what"]: row for row in _table(overview(snapshot), "there")}
    images = rows["images"]
    assert (images["count"], images["wanting"], images["remark"]) == (4, 2, "of 2 sources; 1 failed, 1 missing")
    assert (rows["answers"]["count"], rows["answers"]["remark"]) == (4, "1 empty, 1 error")
    assert rows["evaluations"]["remark"] == "1 models on 1 test sets"


def test_a_run_at_work_shows_its_progress_and_one_that_is_silent_is_dead(store: Store) -> None:
    alive = _add_run(store, "train", "running", 3)
    dead = _add_run(store, "train", "running", 300)
    events = [(alive, 0, "started", {"steps": 100}), (alive, 9, "step", {"step": 42, "loss": 1.5})]
    _write(
        store,
        "INSERT INTO event (run_id, file, offset, kind, body) VALUES (?, 'rank0.spool.jsonl', ?, ?, ?)",
        *((run_id, offset, kind, json.dumps(body)) for run_id, offset, kind, body in events),
    )
    with open_snapshot(store.path) as snapshot:
        view = overview(snapshot)
    (running,) = _table(view, "running")
    assert (running["run"], running["progress"]) == (alive, "step 42 of 100, loss 1.5000")
    (broken,) = _table(view, "failed")
    assert broken["what"] == f"run {dead}, train: dead"
    assert broken["why"].startswith("no sign of life for 0:05:0")
    assert broken["command"] == f"radvlm train --resume --run {dead}"


def test_an_evaluation_at_work_shows_how_many_samples_are_answered(store: Store, run: Run) -> None:
    alive = _add_run(store, "eval", "running", 3)
    answered = add_test_set(store, run, "phrases", "phrase", phrases(4))
    evaluation = add_evaluation(store, run, answered, "maira2", [[BOX]] * 4, scored=False)
    _write(store, "DELETE FROM prediction WHERE position = ?", (3,))
    _write(store, "INSERT INTO answering (run_id, folder, evaluations) VALUES (?, 'x', ?)", (alive, f"[{evaluation}]"))
    with open_snapshot(store.path) as snapshot:
        running = {row["run"]: row["progress"] for row in _table(overview(snapshot), "running")}
    assert running[alive] == "3 of 4 samples answered"


@pytest.mark.parametrize(
    ("command", "arguments", "mends"),
    [
        ("eval", {}, "radvlm eval --resume --run {id}"),
        (
            "prepare",
            {"source": ["mimic", "vindr"], "data_dir": "/data/my cxr"},
            "radvlm prepare --source mimic --source vindr --data-dir '/data/my cxr' --resume",
        ),
        (
            "build",
            {"recipe": "radvlm", "output": "/out"},
            "radvlm build --recipe radvlm --output /out --resume",
        ),
        (
            "curate",
            {"source": ["mimic"], "split": ["train"]},
            "radvlm curate --source mimic --split train --resume, with the provider that it had",
        ),
        ("convert", {}, "radvlm convert, with the options that it had"),
    ],
)
def test_what_failed_is_followed_by_the_command_that_mends_it(
    store: Store, command: str, arguments: dict[str, Any], mends: str
) -> None:
    run_id = _add_run(store, command, "failed", 500, **arguments)
    with open_snapshot(store.path) as snapshot:
        (row,) = _table(overview(snapshot), "failed")
    assert row["command"] == mends.format(id=run_id)


def test_a_run_that_a_later_one_finished_is_no_matter_any_more(store: Store) -> None:
    _add_run(store, "prepare", "interrupted", 500, source=["mimic"])
    _add_run(store, "prepare", "done", 400, source=["mimic"])
    with open_snapshot(store.path) as snapshot:
        assert _table(overview(snapshot), "failed") == []


def test_quarantined_texts_and_evaluations_without_scores_are_to_be_mended(store: Store, run: Run) -> None:
    _write(
        store,
        "INSERT INTO quarantine (stage, subject, step, item, key, origin, attempt, run_id) "
        "VALUES ('curate', 'mimic', 'texts', ?, x'00', 'azure', 0, 1)",
        ("s1",),
        ("s2",),
    )
    with open_run(store, "eval", {}) as answering:
        answered = add_test_set(store, answering, "phrases", "phrase", phrases(4))
        add_evaluation(store, answering, answered, "maira2", [[BOX]] * 4, scored=False)
    with store.write() as connection:  # the fixture's own run is at work, and would hold the evaluation
        connection.exec_driver_sql("UPDATE run SET status = 'done'")
    with open_snapshot(store.path) as snapshot:
        commands = [row["command"] for row in _table(overview(snapshot), "failed")]
    assert commands == ["radvlm curate --source mimic --show failed", f"radvlm eval --rescore {answering.id}"]


# Data


def test_images_are_counted_by_source_and_split(store: Store, run: Run) -> None:
    _add_images(store)
    with open_snapshot(store.path) as snapshot:
        rows = {(row["source"], row["split"]): row for row in _table(data_view(snapshot), "images")}
    train = rows["mimic", "train"]
    assert (train["images"], train["present"], train["frontal"]) == (2, 2, 1)
    assert (train["female"], train["male"], train["mean_age"]) == (1, 1, 50)
    assert (rows["mimic", "test"]["missing"], rows["mimic", "test"]["mean_age"]) == (1, None)
    assert rows["vindr", "none"]["failed"] == 1


def test_components_stand_beside_what_was_expected_of_the_newest_dataset(store: Store, run: Run) -> None:
    dataset = (
        "INSERT INTO dataset (id, name, output, recipe, options, status, run_id) VALUES (?,'radvlm','/o','{}','{}',?,1)"
    )
    _write(store, dataset, (1, "complete"), (2, "complete"), (3, "building"))
    component = (
        "INSERT INTO component (dataset_id, position, name, task, source, splits, repeat, expected, found, unusable, "
        "leaked, removed, pairs) VALUES (?, 0, 'mimic-report', 'report', 'mimic', '[]', 1, 200, ?, 0, 0, 0, 150)"
    )
    _write(store, component, (1, 10), (2, 150), (3, 20))
    with open_snapshot(store.path) as snapshot:
        (row,) = _table(data_view(snapshot), "components")
    assert (row["expected"], row["found"], row["share"]) == (200, 150, 0.75)


# Calls


def test_calls_are_added_up_by_prompt_and_model_and_what_has_no_price_is_not_free(store: Store, run: Run) -> None:
    prompt = (
        "INSERT INTO prompt (id, hash, name, model, parameters, messages, run_id) VALUES (?, ?, ?, ?, '{}', x'', 1)"
    )
    _write(store, prompt, (1, b"1", "curate", "gpt"), (2, b"2", "curate", "gpt"), (3, b"3", "judge", "local"))
    call = (
        "INSERT INTO llm_call (key, prompt_id, asked, status, provider, host, input_tokens, output_tokens, cost, tier, "
        "latency_ms, attempts, answered_at, run_id) "
        "VALUES (?, ?, x'', ?, 'azure', 'h', 100, 10, ?, 'standard', 500, 2, '2026', 1)"
    )
    _write(store, call, (b"a", 1, "ok", 0.5), (b"b", 2, "failed", None), (b"c", 3, "ok", None))
    with open_snapshot(store.path) as snapshot:
        view = llm_view(snapshot)
    first, second = _table(view, "calls")
    assert (first["prompt"], first["calls"], first["ok_share"], first["others"]) == ("curate", 2, 0.5, "1 failed")
    assert (first["dollars"], first["unpriced"], first["input_tokens"], first["requests"]) == (0.5, 1, 200, 4)
    assert (second["prompt"], second["dollars"], second["unpriced"]) == ("judge", None, 1)
    assert view.tables[0].notes == ("In all 3 calls, 330 tokens, $0.50.",)


# Training


def _add_training(store: Store, steps: int) -> int:
    run_id = _add_run(store, "train", "done", 10)
    names = "run_id, folder, recipe, model, data_sha256, pairs"
    _write(store, f"INSERT INTO training ({names}) VALUES (?, '/r', 'tiny', '/m', 'x', 99)", (run_id,))
    rows = [("started", {"steps": steps})]
    rows += [("step", {"step": n, "loss": float(n), "tokens_per_s": 100.0 * n, "at": "t"}) for n in range(1, steps + 1)]
    losses = {"report": {"loss": 1.0, "samples": 2, "tokens": 30}, "region": {"loss": 2.0, "samples": 1, "tokens": 10}}
    rows.append(("evaluation", {"step": steps, "losses": losses, "at": "t"}))
    sql = "INSERT INTO event (run_id, file, offset, kind, body) VALUES (?, 'rank0.spool.jsonl', ?, ?, ?)"
    _write(store, sql, *((run_id, place, kind, json.dumps(body)) for place, (kind, body) in enumerate(rows)))
    saved = "INSERT INTO checkpoint (run_id, step, consumed_samples, path, bytes, status, saved_at) VALUES "
    _write(
        store,
        f"{saved} (?, ?, 8, '/c', 1000, ?, '2026-01-01T10:00:00')",
        (run_id, 10, "removed"),
        (run_id, 20, "complete"),
    )
    return run_id


def test_a_training_run_shows_the_mean_of_its_last_steps(store: Store) -> None:
    run_id = _add_training(store, 50)
    with open_snapshot(store.path) as snapshot:
        (row,) = _table(training_view(snapshot), "runs")
    last = range(31, 51)
    assert (row["run"], row["step"], row["steps"]) == (run_id, 50, 50)
    assert row["loss"] == sum(last) / 20
    assert row["tokens_per_s"] == 100 * sum(last) / 20
    assert row["held_out_loss"] == pytest.approx((1.0 * 30 + 2.0 * 10) / 40)
    assert (row["checkpoints"], row["checkpoint_step"], row["checkpoint_bytes"]) == (1, 20, 1000)


def test_one_run_shows_its_curve_thinned_with_both_ends(store: Store) -> None:
    run_id = _add_training(store, 50)
    with open_snapshot(store.path) as snapshot:
        view = training_view(snapshot, run_id, points=5)
        whole = training_view(snapshot, run_id, points=500)
    assert [row["step"] for row in _table(view, "steps")] == [1, 13, 25, 38, 50]
    assert len(_table(whole, "steps")) == 50
    assert {row["task"] for row in _table(view, "held-out")} == {"report", "region"}
    assert [row["status"] for row in _table(view, "checkpoints")] == ["removed", "complete"]


def test_a_training_run_that_is_not_there_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(ConfigError, match="no training run 7"):
        training_view(snapshot, 7)


# SQL, and reading only


def test_sql_gives_the_rows_of_a_query_with_numbers_as_numbers(store: Store, run: Run) -> None:
    _add_images(store)
    with open_snapshot(store.path) as snapshot:
        view = query_view(snapshot, "SELECT source, count(*) AS n, avg(age) AS n FROM image GROUP BY source ORDER BY 1")
    assert _table(view, "rows") == [
        {"source": "mimic", "n": 3, "n 2": 50.0},
        {"source": "vindr", "n": 1, "n 2": None},
    ]


def test_sql_says_that_there_is_more(store: Store, run: Run) -> None:
    _add_images(store)
    with open_snapshot(store.path) as snapshot:
        view = query_view(snapshot, "SELECT image_id FROM image", limit=2)
    assert len(view.tables[0].rows) == 2
    assert view.tables[0].notes == ("only the first 2 rows: --limit",)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM run",
        "UPDATE image SET path = '/etc/passwd'",
        "DROP TABLE run",
        "CREATE TABLE mine (x)",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "SELECT 1; DELETE FROM run",
        "SELEC 1",
        "",
    ],
)
def test_sql_that_does_more_than_read_is_refused_and_leaves_no_file(store: Store, run: Run, sql: str) -> None:
    with open_snapshot(store.path) as snapshot, pytest.raises(ConfigError):
        query_view(snapshot, sql)
    assert list(Path().iterdir()) == [Path("store")]
    assert store.value("SELECT count(*) FROM run") == 1


def test_a_query_that_takes_too_long_can_be_stopped(snapshot: Snapshot) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(Interrupted, match="changes nothing"):
            query_view(snapshot, endless)
    finally:
        timer.cancel()


def test_a_snapshot_stays_as_it_was_while_a_run_writes(store: Store, run: Run) -> None:
    with open_snapshot(store.path) as snapshot:
        assert snapshot.value("SELECT count(*) FROM image") == 0
        _add_images(store)
        assert snapshot.value("SELECT count(*) FROM image") == 0
    assert store.value("SELECT count(*) FROM image") == 4


def test_a_store_in_a_folder_that_cannot_be_written_is_read(store: Store, run: Run, tmp_path: Path) -> None:
    _add_images(store)
    folder = tmp_path / "closed"
    folder.mkdir()
    with closing(sqlite3.connect(store.path)) as source, closing(sqlite3.connect(folder / "radvlm.db")) as copy:
        source.backup(copy)
    folder.chmod(0o500)
    try:
        with open_snapshot(folder / "radvlm.db") as snapshot:
            assert snapshot.value("SELECT count(*) FROM image") == 4
    finally:
        folder.chmod(0o700)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "radvlm.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match="not a radvlm store"), open_snapshot(path):
        pass
    with pytest.raises(StoreError, match="There is no store"), open_snapshot(tmp_path / "none.db"):
        pass
