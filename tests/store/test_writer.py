"""The writing thread: a ticket is done when its row is durable, and an error reaches everybody who waits."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import Any

import pytest

from radvlm_cli.errors import StoreError
from radvlm_cli.store import writer
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.writer import GroupWriter

SQL = "INSERT INTO tally (run_id, subject, name, value) VALUES (1, ?, ?, 1)"


def _rows(store: Store) -> int:
    """What another process would see."""
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute("SELECT count(*) FROM tally").fetchone()[0])


def _write(store: Store, *rows: tuple[str, tuple[Any, ...]]) -> list[Any]:
    """Write every row with a ticket of its own; how the tickets ended."""

    async def write(group: GroupWriter) -> list[Any]:
        return await asyncio.gather(*(group.write(row) for row in rows), return_exceptions=True)

    with GroupWriter(store) as group:
        return asyncio.run(write(group))


def test_a_row_is_there_for_everybody_when_its_ticket_is_done(store: Store, run: Run) -> None:
    async def write(group: GroupWriter) -> list[int]:
        seen = []
        for number in range(5):
            await group.write((SQL, ("a", str(number))), (SQL, ("b", str(number))))
            seen.append(_rows(store))
        return seen

    with GroupWriter(store) as group:
        assert asyncio.run(write(group)) == [2, 4, 6, 8, 10]


def test_what_comes_in_during_a_commit_goes_into_the_next_one(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = []
    execute = GroupWriter._execute

    def slowly(self: GroupWriter, batch: list[Any]) -> None:
        commits.append(len(batch))
        threading.Event().wait(0.05)
        execute(self, batch)

    monkeypatch.setattr(GroupWriter, "_execute", slowly)
    monkeypatch.setattr(writer, "_MOST_PER_COMMIT", 400)
    assert _write(store, *((SQL, ("a", str(number))) for number in range(1000))) == [None] * 1000
    assert _rows(store) == 1000
    assert sum(commits) == 1000
    assert len(commits) <= 5
    assert max(commits) <= 400


def test_a_row_that_cannot_be_written_is_told_to_its_waiter_and_takes_no_other_along(store: Store, run: Run) -> None:
    before, behind = ([(SQL, (subject, str(number))) for number in range(50)] for subject in "ab")
    bad = ("INSERT INTO nowhere VALUES (?)", (1,))
    told = _write(store, *before, bad, *behind)
    assert [type(error) for error in told if error is not None] == [sqlite3.OperationalError]
    assert told[50] is not None
    assert _rows(store) == 100


def test_rows_of_one_ticket_are_written_together_or_not_at_all(store: Store, run: Run) -> None:
    async def write(group: GroupWriter) -> None:
        await group.write((SQL, ("a", "1")), ("INSERT INTO nowhere VALUES (?)", (1,)))

    with GroupWriter(store) as group, pytest.raises(sqlite3.OperationalError, match="nowhere"):
        asyncio.run(write(group))
    assert _rows(store) == 0


def test_a_store_that_cannot_be_written_is_a_user_error(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_connection: object, _statements: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(writer, "execute_grouped", full)
    told = _write(store, *((SQL, ("a", str(number))) for number in range(10)))
    assert {type(error) for error in told} == {StoreError}
    assert "space" in told[0].hint


def test_rows_are_written_though_nobody_waits_for_them_any_more(store: Store, run: Run) -> None:
    async def cancel(group: GroupWriter) -> None:
        writing = asyncio.create_task(group.write((SQL, ("a", "1"))))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)

    with GroupWriter(store) as group:
        asyncio.run(cancel(group))
    assert _rows(store) == 1


def test_the_rows_of_a_loop_that_is_gone_are_written_before_the_writer_ends(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    execute = GroupWriter._execute

    def held(self: GroupWriter, batch: list[Any]) -> None:
        begun.set()
        go_on.wait(5)
        execute(self, batch)

    monkeypatch.setattr(GroupWriter, "_execute", held)

    async def leave(group: GroupWriter) -> None:
        writing = [asyncio.create_task(group.write((SQL, ("a", str(number))))) for number in range(3)]
        await asyncio.to_thread(begun.wait, 5)
        for task in writing:
            task.cancel()

    with GroupWriter(store) as group:
        asyncio.run(leave(group))
        go_on.set()
    assert _rows(store) == 3
