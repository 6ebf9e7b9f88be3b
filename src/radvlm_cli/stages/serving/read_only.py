"""The store as a database of Datasette that nothing can write to, and that does not count for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasette.database import Database
from datasette.utils.asgi import Forbidden

from radvlm_cli.store.snapshot import Snapshot, connect_read_only, restrict

NAME = "store"
"""What it is called in addresses, whatever the file is called."""
_COUNT_MS = 400
"""A table's rows are counted for so long; of a longer one Datasette does not say how many there are."""
_COUNT = "select count(*) "
T = TypeVar("T")


class ReadOnlyStore(Database):  # type: ignore[misc]  # Datasette has no types
    """Every connection to the file is opened for reading only, and may not even attach another one."""

    def __init__(self, datasette: Any, path: Path) -> None:
        super().__init__(datasette, str(path), is_mutable=True)  # others write to it: nothing of it may be cached

    def connect(self, write: bool = False) -> sqlite3.Connection:
        """A connection for one of Datasette's threads."""
        if write:
            raise Forbidden("The store is open for reading only.")
        connection = connect_read_only(Path(self.path), one_thread=False)
        restrict(connection)
        self._all_file_connections.append(connection)
        return connection

    async def execute_write_fn(self, fn: object, block: bool = True) -> Any:
        """Refuse: all ways of writing lead through here."""
        raise Forbidden("The store is open for reading only.")

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        """As Datasette does, but with less patience where it counts the rows of a table.

        SQL of a user stays as it is: of that alone no more rows than a page takes are asked for (`truncate`).
        """
        if sql.startswith(f"{_COUNT}from ") and not options.get("truncate"):
            # SQLite counts a table in one step, which no time limit interrupts; with a limit it goes row by row.
            sql = f"{_COUNT}from (select 1 {sql.removeprefix(_COUNT)} limit -1)"
            options.setdefault("custom_time_limit", _COUNT_MS)
        return await super().execute(sql, *arguments, **options)

    def interrupt(self) -> None:
        """End what its connections are at."""
        for connection in self._all_file_connections:
            connection.interrupt()

    async def reading(self, read: Callable[[Snapshot], T]) -> T:
        """What `read` makes of one state of the store, in a thread of Datasette's."""

        def within(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return read(Snapshot(Path(self.path), connection))
            finally:
                connection.execute("ROLLBACK")

        found: T = await self.execute_fn(within)
        return found
