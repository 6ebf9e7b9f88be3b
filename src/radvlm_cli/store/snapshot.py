"""Read the store and nothing else: a connection that cannot write, light enough for a command that must be quick."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from radvlm_cli.errors import StoreError
from radvlm_cli.store.faults import BUSY_TIMEOUT_S, plain_errors
from radvlm_cli.store.revisions import is_current, revision_in

_CACHE_KIB = 65536
_MAPPED = 1 << 40
"""Bytes of the file that are read as memory where SQLite can do so, not copied page by page: counting a million rows
takes a third of the time."""
_DENIED = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
"""ATTACH would make a file of its own beside a store that cannot be written."""
_MAY = {
    *("schema_version", "table_info", "table_xinfo", "table_list"),
    *("index_list", "index_info", "index_xinfo", "foreign_key_list"),
}
_PRAGMAS = {*_MAY, "database_list", "integrity_check", "quick_check", "user_version", "compile_options"}


class Snapshot:
    """The store as it was when it was first read: all reads see the same rows, whatever is written meanwhile."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Stream the rows of a query."""
        with plain_errors(self.path):
            yield from self.connection.execute(sql, tuple(parameters))

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query at once: for many small rows this takes half the time."""
        with plain_errors(self.path):
            return self.connection.execute(sql, tuple(parameters)).fetchall()

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = next(self.rows(sql, parameters), None)
        return row[0] if row else None

    def plan(self, sql: str, parameters: Sequence[Any] = ()) -> list[str]:
        """How SQLite would go about a query: which tables it searches by which index, and which it walks."""
        return [str(row[3]) for row in self.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)]


@contextmanager
def open_snapshot(path: Path) -> Iterator[Snapshot]:
    """Open the store for reading only; a store that is behind is brought up to date first, as everywhere.

    StoreError where there is none, it is of another program, or ahead of this radvlm. Nothing is written, no lock is
    held that a writer would wait for, and a folder that cannot be written is no hindrance.
    """
    if not path.is_file():
        raise StoreError(f"There is no store at {path}.", "radvlm prepare --source all --data-dir YOUR_DATA")
    with plain_errors(path):
        with closing(connect_read_only(path)) as connection:
            current = is_current(path, revision_in(connection, path))
        if not current:
            from radvlm_cli.store.migrate import ensure_current  # Alembic takes a second to load

            ensure_current(path)
        with closing(connect_read_only(path)) as connection:
            connection.execute("BEGIN")
            restrict(connection)
            yield Snapshot(path, connection)


def restrict(connection: sqlite3.Connection) -> None:
    """Let SQL that somebody else wrote do nothing but read this one file."""
    connection.set_authorizer(_authorise)


def connect_read_only(path: Path, *, one_thread: bool = True) -> sqlite3.Connection:
    """A connection that cannot write, without a transaction: each statement sees the store as it is by then.

    Where even the shared memory of the write-ahead log cannot be made, and there is no log, it is read as a plain file.
    `one_thread=False` lets it be closed by another thread than the one that reads.
    """
    place = path.absolute().as_uri()
    connection = _open(f"{place}?mode=ro", one_thread)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if "unable to open" not in str(error) or path.with_name(f"{path.name}-wal").exists():
            raise
        connection = _open(f"{place}?immutable=1", one_thread)
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute(f"PRAGMA mmap_size={_MAPPED}")
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def _open(uri: str, one_thread: bool) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=one_thread)


def _authorise(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    """What a query of a user may do: read. (Writing is refused by SQLite itself, the connection being read-only.)"""
    if action in _DENIED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").casefold() not in _PRAGMAS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").casefold() == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
