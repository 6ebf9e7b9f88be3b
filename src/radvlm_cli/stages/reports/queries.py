"""A user's own SQL over the store, which it cannot change."""

from __future__ import annotations

import sqlite3
from typing import Any

from radvlm_cli.errors import ConfigError, Interrupted
from radvlm_cli.reporting.tables import Cell, Column, Kind, Table, View
from radvlm_cli.store.snapshot import Snapshot

_TABLES = """radvlm report sql "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')" """.strip()
_STOPPED = "Stopped; a query changes nothing."
_EVERY = 1_000_000
"""Steps of SQLite's machine between two looks for Ctrl-C."""


def query_view(store: Snapshot, sql: str, limit: int | None = None) -> View:
    """The rows of one statement, at most `limit`; ConfigError with SQLite's words where it cannot be carried out."""
    store.connection.set_progress_handler(lambda: 0, _EVERY)  # Python looks for Ctrl-C whenever it is called
    try:
        cursor = store.connection.execute(sql)
        rows = cursor.fetchmany(limit + 1) if limit is not None else cursor.fetchall()
    except KeyboardInterrupt as error:
        raise Interrupted(_STOPPED) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        if str(error) == "interrupted":  # Ctrl-C came while SQLite was at work
            raise Interrupted(_STOPPED) from error
        raise ConfigError(f"SQLite cannot carry that out: {_reason(error)}.", _TABLES) from error
    if cursor.description is None:
        raise ConfigError("That statement has no rows to show; only reading is possible here.", _TABLES)
    names = _unique([str(each[0]) for each in cursor.description])
    more = limit is not None and len(rows) > limit
    shown = rows[:limit] if more else rows
    columns = tuple(_column(name, place, [row[place] for row in shown]) for place, name in enumerate(names))
    notes = (f"only the first {limit:,} rows: --limit",) if more else ()
    return View("sql", "Query", (Table("rows", f"{len(shown):,} rows", columns, tuple(shown), notes),))


def _reason(error: Exception) -> str:
    text = str(error)
    if "readonly" in text or "not authorized" in text or "query_only" in text:
        return f"{text} (the store is open for reading only)"
    return text


def _unique(names: list[str]) -> list[str]:
    """Columns of one name get numbers, so that each stays a column in JSON."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return found


def _column(name: str, place: int, values: list[Any]) -> Column:
    known = [value for value in values if value is not None]
    kind: Kind = "words"
    if known and all(isinstance(value, int) for value in known):
        kind = "count"
    elif known and all(isinstance(value, int | float) for value in known):
        kind = "number"

    def get(row: tuple[Any, ...]) -> Cell:
        value = row[place]
        if isinstance(value, bytes):
            return f"x'{value.hex()}'" if len(value) <= 32 else f"{len(value):,} bytes"
        cell: Cell = value
        return cell

    return Column(name, get, kind)
