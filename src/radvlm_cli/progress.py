"""How a long job tells where it is, and hears that it should stop.

Stages talk to these two small classes; the command line puts a live bar and a signal handler behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from radvlm_cli.errors import Interrupted

T = TypeVar("T")


class Progress(Protocol):
    """Where a stage says what it is doing. All of it goes to stderr."""

    def start(self, task: str, total: int | None = None, done: int = 0) -> None:
        """Begin a task of `total` items (None: unknown), `done` of them done before."""

    def advance(self, count: int = 1) -> None:
        """Count items of the current task as finished."""

    def status(self, text: str) -> None:
        """Say how the current task is going; replaces what was said before."""

    def note(self, message: str) -> None:
        """Say one line that stays on the screen."""

    def warn(self, message: str) -> None:
        """Say one line that stays on the screen and asks for attention."""


class Silent:
    """Progress for nobody: tests, and use as a library."""

    def start(self, task: str, total: int | None = None, done: int = 0) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def status(self, text: str) -> None: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class StopSignal:
    """Set by the first Ctrl-C or SIGTERM; stages look at it between items."""

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raise Interrupted if somebody asked to stop."""
        if self.requested:
            raise Interrupted("Stopped; everything finished so far is kept.")

    def watch(self, items: Iterable[T], every: int = 1) -> Iterator[T]:
        """Pass `items` on, checking before each (or every n-th)."""
        for position, item in enumerate(items):
            if position % every == 0:
                self.check()
            yield item
