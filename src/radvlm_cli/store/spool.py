"""Spools: how worker processes, on this node or another, report to the one writer.

A worker appends JSON lines to a file of its own in the run's folder. The parent tails the files into the store as
they grow, and once more at its next start. A torn last line waits until it is whole; a line read twice is one row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import StoreError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.store.bulk import execute_many
from radvlm_cli.store.engine import Store
from radvlm_cli.store.spool_writer import SUFFIX

_AT_ONCE = 5000
"""Lines per transaction."""


class Into(NamedTuple):
    """Where the lines of one kind go instead of the table `event`."""

    sql: str
    """Must leave the table as it is where a line comes a second time."""
    row: Callable[[int, dict[str, Any]], Sequence[Any]]
    """Run and body of a line -> parameters. LookupError, TypeError or ValueError where the line lacks what it needs."""


class Taken(NamedTuple):
    """What one look at a run's spools brought."""

    events: int
    damaged: int
    """Whole lines that are not JSON objects with a kind (torn by a death); passed over."""
    rows: int = 0
    """Rows that came, or changed, outside the table `event`."""


class _Lines(NamedTuple):
    """Some lines of a spool."""

    events: list[tuple[int, str, str]]
    """Offset, kind, body."""
    rows: dict[str, list[Sequence[Any]]]
    """By SQL."""
    damaged: int
    end: int
    """Byte after the last of them."""


def take_in(store: Store, run_id: int, folder: Path, into: Mapping[str, Into] | None = None) -> Taken:
    """Read what has been added to the run's spools since the last look, into the `event` table.

    `into` names kinds of lines that go elsewhere. Memory does not grow with the spools. A spool that is shorter than
    what was read from it (deleted and begun anew, or cut by a power failure) is read from its beginning where lines go
    `into` other tables, which bear that; else StoreError.
    """
    events = damaged = others = 0
    offsets = dict(store.rows("SELECT file, offset FROM spool WHERE run_id = ?", (run_id,)))
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        start = offsets.get(path.name, 0)
        if path.stat().st_size < start:
            if into is None:
                raise StoreError(f"The spool {path} is shorter than what was read from it: it was replaced or cut.")
            _forget(store, run_id, path.name)
            start = 0
        for lines in _read_lines(path, start, run_id, into or {}):
            damaged += lines.damaged
            with store.write() as connection:
                events += execute_many(
                    connection,
                    "INSERT OR IGNORE INTO event (run_id, file, offset, kind, body) VALUES (?, ?, ?, ?, ?)",
                    [(run_id, path.name, *event) for event in lines.events],
                )
                for sql, rows in lines.rows.items():
                    others += execute_many(connection, sql, rows)
                connection.exec_driver_sql(
                    "INSERT INTO spool (run_id, file, offset) VALUES (?, ?, ?) "
                    "ON CONFLICT (run_id, file) DO UPDATE SET offset = excluded.offset",
                    (run_id, path.name, lines.end),
                )
    return Taken(events, damaged, others)


def forget_gone(store: Store, run_id: int, folder: Path) -> None:
    """Forget what was read from spools that are not there any more: what comes under their names is new."""
    for (file,) in list(store.rows("SELECT file FROM spool WHERE run_id = ?", (run_id,))):
        if not (folder / file).exists():
            _forget(store, run_id, file)


def _forget(store: Store, run_id: int, file: str) -> None:
    with store.write() as connection:
        for table in ("event", "spool"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE run_id = ? AND file = ?", (run_id, file))


def _read_lines(path: Path, start: int, run_id: int, into: Mapping[str, Into]) -> Iterator[_Lines]:
    """Whole lines from byte `start` on, some thousand at a time. A torn last line is left for the next look."""
    position = start
    with path.open("rb") as stream:
        stream.seek(start)
        while lines := list(islice(stream, _AT_ONCE)):
            events: list[tuple[int, str, str]] = []
            rows: dict[str, list[Sequence[Any]]] = {}
            damaged, before = 0, position
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                if line.strip():
                    try:
                        event = json.loads(line)
                        kind = event.pop("kind")
                        if kind in into:
                            rows.setdefault(into[kind].sql, []).append(into[kind].row(run_id, event))
                        else:
                            events.append((position, kind, canonical_json(event)))
                    except (ValueError, LookupError, AttributeError, TypeError):
                        damaged += 1
                position += len(line)
            if position > before:
                yield _Lines(events, rows, damaged, position)
            if not lines[-1].endswith(b"\n"):
                return


class Tail:
    """Reads a run's events from the store as they come in, each once, file by file."""

    def __init__(self, store: Store, run_id: int, folder: Path) -> None:
        """Begin after what the spools in `folder` hold now."""
        self._store, self._run_id = store, run_id
        self._next = {path.name: path.stat().st_size for path in folder.glob(f"*{SUFFIX}")}

    def new(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """File, kind and body of each event since the last call."""
        files = [file for (file,) in self._store.rows("SELECT file FROM spool WHERE run_id = ?", (self._run_id,))]
        for file in sorted(files):
            found = self._store.rows(
                "SELECT offset, kind, body FROM event WHERE run_id = ? AND file = ? AND offset >= ? ORDER BY offset",
                (self._run_id, file, self._next.get(file, 0)),
            )
            for offset, kind, body in found:
                self._next[file] = offset + 1
                yield file, kind, json.loads(body)
