"""Time that passes at once: an event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Skipping(selectors.DefaultSelector):
    """Never waits; tells how long it would have waited."""

    def __init__(self, skip: Callable[[float], None]) -> None:
        super().__init__()
        self._skip = skip

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "every task waits, and nothing will wake one"
            self._skip(timeout)
        return events


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop for tests without network or threads. `time()` begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Skipping(self._pass))

    def time(self) -> float:
        """Seconds, of which none were waited for."""
        return self._now

    def _pass(self, seconds: float) -> None:
        self._now += seconds


def skipping(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop that skips all waiting."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(coroutine)


def now() -> float:
    """The clock of the running loop; for what takes an injected clock."""
    return asyncio.get_running_loop().time()
