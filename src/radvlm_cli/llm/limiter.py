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

from radvlm_cli.errors import RadvlmError

_FIRST_CONCURRENCY = 16
_SHRINK = 0.8
_GROWTH = 0.05
"""Of the limit, per round of calls, after the doubling has ended."""
_LEAST_COOLDOWN_S = 2.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 15.0
"""What is waited at least after 429s without an answer between them, doubling: some endpoints ask to wait 0 s."""
_BURST_S = 1.0
"""Requests that may start at once, as seconds of their rate: endpoints look at short windows."""
_TOKEN_BURST_S = 5.0
_ROUNDING = 1e-6
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
    """A rate per minute, filled evenly. What is more than it holds starts when it is full, and runs up a debt."""

    def __init__(self, burst_s: float) -> None:
        self.rate = 0.0
        """A second; 0: without limit."""
        self.level = 0.0
        self._burst_s = burst_s
        self._most = 0.0
        self._at = 0.0

    def set_rate(self, per_minute: float, now: float) -> None:
        """Begin full; a rate that changes later fills nothing."""
        before = self.rate
        self.wait(0, now)
        self.rate = per_minute / 60
        self._most = max(1.0, self.rate * self._burst_s)
        self.level = min(self.level, self._most) if before else self._most

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken out."""
        self.level = min(self._most, self.level + (now - self._at) * self.rate)
        self._at = now
        short = min(amount, self._most) - self.level
        return short / self.rate if self.rate and short > _ROUNDING else 0.0


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
        self._closed: RadvlmError | None = None
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._paused_until = 0.0
        self._shrunk_until = 0.0
        self._growth_from = 0.0
        self._refused = 0
        """Rounds of 429s without an answer between them."""
        self._timer: asyncio.TimerHandle | None = None
        self._asked = Rates(requests_per_minute, tokens_per_minute)
        self._requests, self._tokens = _Bucket(_BURST_S), _Bucket(_TOKEN_BURST_S)
        self.observe(self._asked)
        self._latency = _Latency()

    async def acquire(self, tokens: int) -> None:
        """Wait for a place; `tokens` is what the endpoint will charge at admission (prompt and max_tokens)."""
        if self._closed is not None:
            raise self._closed.with_traceback(None)
        if not self._waiting and self._wait(tokens) == 0.0:
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

    def close(self, why: RadvlmError) -> None:
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
        self._refused = 0
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
        if now >= self._paused_until:  # else this call started before the others were refused
            wait = max(wait, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._refused, 30)))
            self._refused += 1
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
        now = self._clock()
        for bucket, told, asked, left in (
            (self._requests, rates.requests, self._asked.requests, rates.requests_left),
            (self._tokens, rates.tokens, self._asked.tokens, rates.tokens_left),
        ):
            if told:
                bucket.set_rate(min(told, asked or told), now)
            if left is not None:  # somebody else may draw on the same quota
                bucket.level = min(bucket.level, left)

    @property
    def paused_s(self) -> float:
        """Seconds until the present pause ends."""
        return max(0.0, self._paused_until - self._clock())

    def _wait(self, tokens: int) -> float:
        """Seconds until a call of so many tokens may start; infinite if one must end first."""
        if self.in_flight >= (1 if self.probing else int(self.limit)):
            return float("inf")
        now = self._clock()
        return max(0.0, self._paused_until - now, self._requests.wait(1, now), self._tokens.wait(tokens, now))

    def _admit(self, tokens: int) -> None:
        self.in_flight += 1
        self._requests.level -= 1
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
            wait = self._wait(tokens)
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
