from pathlib import Path

import pytest

from radvlm_cli.errors import StoreError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import take_in
from radvlm_cli.store.spool_writer import SpoolWriter


def _events(store: Store) -> list[tuple[str, str]]:
    return list(store.rows("SELECT kind, body FROM event ORDER BY file, offset"))  # type: ignore[arg-type]


def test_events_of_several_workers_come_in_once(run: Run, tmp_path: Path) -> None:
    for rank in range(2):
        worker = SpoolWriter(tmp_path, f"rank-{rank}")
        worker.append("step", rank=rank, loss=0.5)
        worker.close()
    assert take_in(run.store, run.id, tmp_path).events == 2
    assert take_in(run.store, run.id, tmp_path).events == 0
    assert _events(run.store) == [("step", '{"loss":0.5,"rank":0}'), ("step", '{"loss":0.5,"rank":1}')]


def test_only_what_is_new_is_read_again(run: Run, tmp_path: Path) -> None:
    worker = SpoolWriter(tmp_path, "rank-0")
    worker.append("step", n=1)
    take_in(run.store, run.id, tmp_path)
    worker.append("step", n=2)
    assert take_in(run.store, run.id, tmp_path).events == 1
    worker.close()


def test_a_torn_last_line_waits_until_it_is_whole(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "rank-0.spool.jsonl"
    path.write_bytes(b'{"kind":"step","n":1}\n{"kind":"st')
    assert take_in(run.store, run.id, tmp_path).events == 1
    path.write_bytes(b'{"kind":"step","n":1}\n{"kind":"step","n":2}\n')
    assert take_in(run.store, run.id, tmp_path).events == 1
    assert [body for _kind, body in _events(run.store)] == ['{"n":1}', '{"n":2}']


def test_a_line_torn_by_a_death_does_not_swallow_the_next_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rank-0.spool.jsonl").write_bytes(b'{"kind":"step","n":1}\n{"kind":"st')
    worker = SpoolWriter(tmp_path, "rank-0")
    worker.append("step", n=3)
    worker.close()
    taken = take_in(run.store, run.id, tmp_path)
    assert (taken.events, taken.damaged) == (2, 1)
    assert [body for _kind, body in _events(run.store)] == ['{"n":1}', '{"n":3}']


def test_a_repeated_look_after_a_lost_offset_changes_nothing(run: Run, tmp_path: Path) -> None:
    worker = SpoolWriter(tmp_path, "rank-0")
    worker.append("step", n=1)
    worker.close()
    take_in(run.store, run.id, tmp_path)
    with run.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM spool")
    take_in(run.store, run.id, tmp_path)
    assert len(_events(run.store)) == 1


def test_a_spool_that_was_cut_is_an_error(run: Run, tmp_path: Path) -> None:
    worker = SpoolWriter(tmp_path, "rank-0")
    worker.append("step", n=1)
    worker.close()
    take_in(run.store, run.id, tmp_path)
    (tmp_path / "rank-0.spool.jsonl").write_bytes(b"")
    with pytest.raises(StoreError, match="shorter"):
        take_in(run.store, run.id, tmp_path)
