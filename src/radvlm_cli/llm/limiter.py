"""How many calls may be in flight, and how fast they may start.

Three gates, all of which a call must pass, in the order in which calls arrive:

- concurrency, found by trial: it doubles each round until the endpoint says no (429) or answers twice as slowly, then
  grows by a twentieth a round; a 429 takes a fifth off, at most once per cooldown;
- requests and tokens per minute, from the endpoint's headers or the user, spread evenly over the minute;
- a pause that holds every call until the endpoint's Retry-After has passed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_FIRST_CONCURRENCY = 16
_SHRINK = 0.8
_GROWTH = 0.05
"""Of the limit, per round of calls, after the doubling has ended."""
_LEAST_COOLDOWN_S = 2.0
_BURST_S = 1.0
"""Requests that may start at once, as seconds of their rate: endpoints look at short windows."""
_TOKEN_BURST_S = 5.0
_SLOWER = 2.0
_LATENCY_ROUND = 50
"""Answers whose mean latency is compared with the fastest such mean."""


class Rates(NamedTuple):
    """What an endpoint's headers say of its limits per minute, and what is left of them."""

    requests: float | None = None
    tokens: float | None = None
    requests_left: float | None = None
    tokens_left: float | None = None


class _Bucket:
    """A rate per minute, filled evenly. A call may start while anything is left, and may run up a debt."""

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.rate = per_minute / 60
        self.most = max(1.0, self.rate * burst_s)
        self.level = self.most
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until something is left."""
        self.level = min(self.most, self.level + (now - self._at) * self.rate)
        self._at = now
        return 0.0 if self.level > 0 else (1e-6 - self.level) / self.rate


class Limiter:
    """Admission of calls. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.most = most
        self.limit = float(min(_FIRST_CONCURRENCY, most))
        self.in_flight = 0
        self.probing = False
        """Whether to let only one call out at a time, to see if the endpoint is back."""
        self._doubling = True
        self._closed: BaseException | None = None
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._paused_until = 0.0
        self._shrunk_until = 0.0
        self._growth_from = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._asked = Rates(requests_per_minute, tokens_per_minute)
        self._requests: _Bucket | None = None
        self._tokens: _Bucket | None = None
        self._set_rates(requests_per_minute, tokens_per_minute)
        self._latency = _Latency()

    async def acquire(self, tokens: int) -> None:
        """Wait for a place; `tokens` is what the endpoint will charge at admission (prompt and max_tokens)."""
        if self._closed is not None:
            raise self._closed
        if not self._waiting and self._wait() == 0.0:
            self._admit(tokens)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, tokens))
        self._pump()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release()
            raise

    def close(self, why: BaseException) -> None:
        """Admit nobody any more: those who wait, and those who come, get `why`."""
        self._closed = why
        while self._waiting:
            future, _tokens = self._waiting.popleft()
            if not future.done():
                future.set_exception(why)

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._pump()

    def succeeded(self, latency_s: float) -> None:
        """Grow after an answer, if the places were all taken and the endpoint is not getting slower."""
        now = self._clock()
        slower = self._latency.slower(latency_s)
        if slower:
            self._doubling = False
        if now < self._growth_from or slower or self.in_flight < self.limit - 1:
            return
        self.limit = min(float(self.most), self.limit + (1.0 if self._doubling else _GROWTH))

    def throttled(self, retry_after_s: float | None) -> None:
        """Shrink after a 429, and hold every call for as long as the endpoint asks."""
        now = self._clock()
        wait = retry_after_s if retry_after_s is not None else 1.0
        self.pause(wait)
        if now >= self._shrunk_until:
            self._doubling = False
            self.limit = max(1.0, self.limit * _SHRINK)
            self._shrunk_until = now + max(_LEAST_COOLDOWN_S, wait)

    def failed(self) -> None:
        """Stop growing for a while after a server error."""
        self._growth_from = self._clock() + 5.0

    def pause(self, seconds: float) -> None:
        """Admit nobody for this long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def observe(self, rates: Rates) -> None:
        """Take over limits from an answer's headers; the user's own are never exceeded."""
        for name in ("requests", "tokens"):
            told, asked = getattr(rates, name), getattr(self._asked, name)
            bucket: _Bucket | None = getattr(self, f"_{name}")
            if told and (bucket is None or abs(bucket.rate * 60 - min(told, asked or told)) > 1e-6):
                self._set_rates(**{f"{name}_per_minute": min(told, asked or told)})
                bucket = getattr(self, f"_{name}")
            left = getattr(rates, f"{name}_left")
            if bucket is not None and left is not None:  # somebody else may draw on the same quota
                bucket.level = min(bucket.level, left)

    @property
    def paused_s(self) -> float:
        """Seconds until the present pause ends."""
        return max(0.0, self._paused_until - self._clock())

    def _set_rates(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        now = self._clock()
        if requests_per_minute:
            self._requests = _Bucket(requests_per_minute, _BURST_S, now)
        if tokens_per_minute:
            self._tokens = _Bucket(tokens_per_minute, _TOKEN_BURST_S, now)

    def _wait(self) -> float:
        """Seconds until the next call may start; infinite if one must end first."""
        if self.in_flight >= (1 if self.probing else int(self.limit)):
            return float("inf")
        now = self._clock()
        wait = self._paused_until - now
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                wait = max(wait, bucket.wait(now))
        return max(0.0, wait)

    def _admit(self, tokens: int) -> None:
        self.in_flight += 1
        if self._requests is not None:
            self._requests.level -= 1
        if self._tokens is not None:
            self._tokens.level -= tokens

    def _pump(self) -> None:
        """Admit those who wait, as far as the gates allow; come back when time alone will open them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, tokens = self._waiting[0]
            if future.done():  # its caller has gone
                self._waiting.popleft()
                continue
            wait = self._wait()
            if wait > 0:
                if wait != float("inf"):
                    self._timer = asyncio.get_running_loop().call_later(wait, self._pump)
                return
            self._waiting.popleft()
            self._admit(tokens)
            future.set_result(None)


class _Latency:
    """Whether answers have become slow: an overloaded local server queues calls and never says 429."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._fastest = float("inf")
        self._slow = False

    def slower(self, latency_s: float) -> bool:
        """Take in one latency; whether the last round was twice as slow as the fastest."""
        self._sum += latency_s
        self._count += 1
        if self._count == _LATENCY_ROUND:
            mean = self._sum / self._count
            self._fastest = min(self._fastest, mean)
            self._slow = mean > _SLOWER * self._fastest
            self._sum, self._count = 0.0, 0
        return self._slow
