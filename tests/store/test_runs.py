import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radvlm_cli.errors import ConfigError, DataError, Interrupted, StoreError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import mark_dead_runs, open_run


def _run(store: Store, run_id: int) -> tuple[str, str | None]:
    return next(store.rows("SELECT status, message FROM run WHERE id = ?", (run_id,)))  # type: ignore[return-value]


def test_a_run_is_recorded_from_start_to_end(store: Store) -> None:
    with open_run(store, "prepare", {"source": ["mimic"]}) as run:
        assert _run(store, run.id)[0] == "running"
    command, arguments, host, pid, ended = next(
        store.rows("SELECT command, arguments, host, pid, ended_at FROM run WHERE id = ?", (run.id,))
    )
    assert (command, arguments, host, pid) == ("prepare", '{"source":["mimic"]}', socket.gethostname(), os.getpid())
    assert _run(store, run.id) == ("done", None)
    assert ended is not None


def test_a_run_with_failed_items_is_partial(store: Store) -> None:
    with open_run(store, "prepare", {}) as run:
        run.failed_items = 3
    assert _run(store, run.id)[0] == "partial"


def test_a_user_error_is_kept_with_its_message(store: Store) -> None:
    with pytest.raises(DataError), open_run(store, "prepare", {}) as run:
        raise DataError("the file is short")
    assert _run(store, run.id) == ("failed", "the file is short")


def test_of_a_bug_only_the_type_is_kept(store: Store) -> None:
    with pytest.raises(KeyError), open_run(store, "prepare", {}) as run:
        raise KeyError("text of a report")
    assert _run(store, run.id) == ("failed", "KeyError")


def test_resume_goes_on_with_the_interrupted_record(store: Store) -> None:
    with pytest.raises(Interrupted), open_run(store, "prepare", {"size": 1024}) as first:
        raise Interrupted("Stopped")
    with open_run(store, "prepare", {"size": 1024}, resume=True) as second:
        assert second.id == first.id
    assert store.value("SELECT resumed FROM run WHERE id = ?", (first.id,)) == 1
    assert _run(store, first.id) == ("done", None)


def test_resume_refuses_changed_options_and_names_them(store: Store) -> None:
    with pytest.raises(Interrupted), open_run(store, "prepare", {"size": 1024, "square": False}):
        raise Interrupted("Stopped")
    with (
        pytest.raises(ConfigError, match=r"size: was 1024, now 512\)"),
        open_run(store, "prepare", {"size": 512, "square": False}, resume=True),
    ):
        pass


def test_resume_after_a_finished_run_starts_a_new_one(store: Store) -> None:
    with open_run(store, "prepare", {}) as first:
        pass
    with open_run(store, "prepare", {}, resume=True) as second:
        assert second.id != first.id


def test_two_runs_of_one_stage_do_not_work_on_one_store(store: Store) -> None:
    with (
        open_run(store, "prepare", {}),
        pytest.raises(StoreError, match=f"process {os.getpid()}"),
        open_run(store, "prepare", {}),
    ):
        pass


def test_runs_of_different_stages_work_side_by_side(store: Store) -> None:
    with open_run(store, "prepare", {}), open_run(store, "build", {}) as second:
        assert _run(store, second.id)[0] == "running"


def test_a_run_whose_process_is_gone_is_marked_interrupted(store: Store, tmp_path: Path) -> None:
    with open_run(store, "prepare", {}) as run:
        pass
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE run SET status = 'running', pid = ? WHERE id = ?", (child, run.id))
    assert mark_dead_runs(store) == 1
    assert _run(store, run.id)[0] == "interrupted"


def test_tallies_of_a_run_are_stored_and_replaced(store: Store) -> None:
    with open_run(store, "prepare", {}) as run:
        run.tally("mimic", {"images": 3, "reports": 2})
        run.tally("mimic", {"images": 4})
    assert list(store.rows("SELECT name, value FROM tally ORDER BY name")) == [("images", 4), ("reports", 2)]


def test_a_killed_run_that_nobody_has_taken_note_of_is_resumed(store: Store) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    with open_run(store, "stage", {}) as run:
        pass
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE run SET status = 'running', pid = ? WHERE id = ?", (killed.pid, run.id))
    time.sleep(0.5)  # it has ended, and is a zombie until we wait for it
    with open_run(store, "stage", {}, resume=True) as resumed:
        assert resumed.id == run.id
    killed.wait()
