"""One thread that writes rows for many tasks: whatever has come in while it was committing goes into the next commit.

A row is durable when its ticket is done (synchronous=NORMAL with a write-ahead log: a kill loses nothing committed, a
power cut at most the last moments).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from radvlm_cli.errors import StoreError
from radvlm_cli.store.bulk import execute_grouped
from radvlm_cli.store.engine import Store

_MOST_PER_COMMIT = 2000


class _Work(NamedTuple):
    rows: Sequence[tuple[str, Sequence[Any]]]
    loop: asyncio.AbstractEventLoop
    ticket: asyncio.Future[None]


class GroupWriter:
    """Writes rows in the order in which they come. Used from one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Write what is left, then end."""
        self._queue.put(None)
        self._thread.join()

    async def write(self, *rows: tuple[str, Sequence[Any]]) -> None:
        """Write (SQL, parameters) together, in one transaction; return when it is committed."""
        loop = asyncio.get_running_loop()
        ticket: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Work(rows, loop, ticket))
        await ticket

    def _work(self) -> None:
        ending = False
        while not ending:
            batch = [self._queue.get()]
            while len(batch) < _MOST_PER_COMMIT and not self._queue.empty():
                batch.append(self._queue.get())
            ending = None in batch
            self._commit([work for work in batch if work is not None])

    def _commit(self, batch: list[_Work]) -> None:
        if not batch:
            return
        broken: BaseException | None = None
        try:
            self._execute(batch)
        except BaseException as error:  # handed to every task that waits: none of its rows is there
            broken = error
        if broken is not None and len(batch) > 1 and not isinstance(broken, StoreError):
            for work in batch:  # some row is bad; the others may be answers that were paid for
                self._commit([work])
            return
        try:
            batch[0].loop.call_soon_threadsafe(_settle, batch, broken)
        except RuntimeError:  # the loop is gone: stopped at once, nobody waits
            return

    def _execute(self, batch: list[_Work]) -> None:
        # A row that rests on another comes once that one is committed, so grouping keeps every order that counts.
        with self._store.write() as connection:
            execute_grouped(connection, (pair for work in batch for pair in work.rows))


def _settle(batch: list[_Work], error: BaseException | None) -> None:
    for work in batch:
        if work.ticket.done():
            continue
        if error is None:
            work.ticket.set_result(None)
        else:
            work.ticket.set_exception(error)
