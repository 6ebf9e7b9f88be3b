"""Ask each request once: from the ledger if it was ever answered, else over the network, with retries and limits.

An answer is in the ledger, durably, before `ask` returns it. Two equal requests in flight share one call. When the
user stops the job, calls in flight end and are kept, and nothing new is sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from radvlm_cli.errors import Interrupted, RadvlmError
from radvlm_cli.llm import Answer, Request
from radvlm_cli.llm.breaker import Breaker, EndpointError
from radvlm_cli.llm.chat import Chat
from radvlm_cli.llm.limiter import Limiter, Rates
from radvlm_cli.llm.meter import BudgetError, Meter
from radvlm_cli.llm.replies import Reply, Respell, Retry, Stop
from radvlm_cli.progress import StopSignal

ATTEMPTS = 6
"""HTTP requests for one call, those that were throttled not counted."""
_RESPELLINGS = 4
_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_LOOK_FOR_STOP_S = 0.1


class Ledger(Protocol):
    """Remembers calls."""

    def find(self, request: Request) -> Answer | None:
        """The answer that was given before; None if there was none, or only a failure."""

    async def record(self, request: Request, answer: Answer) -> None:
        """Keep an answer; return when it is durable."""


class Engine:
    """One job's calls to one endpoint. All methods belong to one event loop."""

    def __init__(
        self,
        chat: Chat,
        ledger: Ledger,
        limiter: Limiter,
        meter: Meter,
        stop: StopSignal,
        *,
        backoff_s: float = _FIRST_BACKOFF_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        self.limiter = limiter
        self._chat = chat
        self._ledger = ledger
        self._stop = stop
        self._backoff_s = backoff_s
        self._breaker = Breaker(chat.endpoint.host, clock=clock)
        self._shared: dict[bytes, asyncio.Future[Answer]] = {}
        self._posting = 0
        self._money_back = asyncio.Event()
        self._ended = asyncio.Event()
        self._why: RadvlmError | None = None

    @property
    def in_flight(self) -> int:
        """Calls on the network."""
        return self._posting

    @property
    def ended(self) -> bool:
        """Whether no new call will be made."""
        return self._ended.is_set()

    async def ask(self, request: Request) -> Answer:
        """Answer a request. Raises what ended the job, e.g. Interrupted, EndpointError or BudgetError."""
        key = request.key
        while (shared := self._shared.get(key)) is not None:
            await asyncio.wait([shared])
            if not shared.cancelled():  # else whoever made the call has been cancelled, which is not our end
                return shared.result()
        known = self._ledger.find(request)
        if known is not None:
            self.meter.cached += 1
            return known
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._shared[key] = future
        try:
            answer = await self._call(request)
            future.set_result(answer)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # nobody need be waiting for it
            raise
        finally:
            del self._shared[key]
            if not future.done():
                future.cancel()
        return answer

    def end(self, why: RadvlmError) -> None:
        """Make no new call; calls in flight end."""
        if self._why is None:
            self._why = why
            self._ended.set()
            self._money_back.set()
            self.limiter.close(why)

    @property
    def why(self) -> RadvlmError | None:
        """What ended the job."""
        return self._why

    def raise_if_ended(self) -> None:
        """Raise what ended the job, if anything has."""
        if self._why is not None:
            raise self._why.with_traceback(None)  # raised for many: each would add its frames

    async def watch(self) -> None:
        """Look for the user's wish to stop until cancelled."""
        while not self._stop.requested:
            await asyncio.sleep(_LOOK_FOR_STOP_S)
        self.end(Interrupted("Stopped; everything answered so far is kept."))

    async def _call(self, request: Request) -> Answer:
        tokens = self.meter.input_estimate(request)
        tries = respellings = attempt = 0
        while True:
            reserved = await self._admit(request, tokens)
            attempt += 1
            try:
                reply, seconds, rates = await self._chat.post(request)
                tries += isinstance(reply, Retry) and reply.kind != "throttled"
                wait = self._learn(reply, seconds, rates, tries)  # before the place goes to the next call
            finally:
                self._give_back(reserved)
            if isinstance(reply, Respell):
                respellings += 1
                if respellings > _RESPELLINGS:
                    reply = Answer("rejected", error=f"HTTP 400 {reply.parameter}", http_status=400)
            elif isinstance(reply, Retry):
                if tries < ATTEMPTS:
                    await self._sleep(wait)
                else:
                    reply, reserved = Answer("failed", error=reply.error, http_status=reply.http_status), 0.0
            if isinstance(reply, Answer):
                return await self._keep(request, reply, attempt, seconds, reserved)

    async def _admit(self, request: Request, tokens: int) -> float:
        """Wait for a place in flight and set money aside for the call; what calls in flight do not use comes back."""
        await self.limiter.acquire(tokens + int(request.prompt.parameters.get("max_tokens", 0)))
        try:
            while True:
                self.raise_if_ended()
                try:
                    reserved = self.meter.reserve(request, tokens)
                    break
                except BudgetError as error:
                    if self._posting == 0:
                        self.end(error)
                    else:
                        self._money_back.clear()
                        await self._money_back.wait()
        except BaseException:
            self.limiter.release()
            raise
        self._posting += 1
        return reserved

    def _give_back(self, reserved: float) -> None:
        self._posting -= 1
        self.meter.free(reserved)
        self._money_back.set()
        self.limiter.release()

    def _learn(self, reply: Reply, seconds: float, rates: Rates | None, tries: int) -> float:
        """Take in what a reply tells of the endpoint; return the seconds to wait before the next attempt."""
        if rates is not None:
            self.limiter.observe(rates)
        if isinstance(reply, Stop):
            self.end(_refused(self._chat, reply))
            self.raise_if_ended()
        elif isinstance(reply, Retry):
            return self._wait_after(reply, tries)
        elif isinstance(reply, Answer):
            self._breaker.answered()
            self.limiter.probing = False
            self.limiter.succeeded(seconds)
        return 0.0

    async def _keep(self, request: Request, answer: Answer, attempt: int, seconds: float, reserved: float) -> Answer:
        answer = self.meter.priced(answer._replace(attempts=attempt, latency_ms=round(1000 * seconds)), reserved)
        self.meter.count(answer)
        await self._ledger.record(request, answer)
        return answer

    def _wait_after(self, reply: Retry, tries: int) -> float:
        """Seconds to wait before the next attempt; ends the job when the endpoint is down or out of quota."""
        try:
            if reply.kind == "throttled":
                self.meter.throttled += 1
                self.limiter.throttled(reply.after_s)
                self._breaker.throttled(reply.after_s)
                return 0.0  # the limiter's pause holds it back, with all the others
            self.meter.retries += 1
            self.limiter.failed()
            self.limiter.pause(self._breaker.failed(reply.error, reply.after_s))
            self.limiter.probing = self._breaker.probing
        except EndpointError as error:
            self.end(error)
            self.raise_if_ended()
        longest = min(_LONGEST_BACKOFF_S, self._backoff_s * 2.0 ** (tries - 1))
        return max(reply.after_s or 0.0, longest * random.uniform(0.5, 1.0))

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ended.wait(), timeout=seconds)
        except TimeoutError:
            return
        self.raise_if_ended()


@asynccontextmanager
async def watched(engine: Engine) -> AsyncIterator[Engine]:
    """Listen for the user's wish to stop while the body runs."""
    watcher = asyncio.ensure_future(engine.watch())
    try:
        yield engine
    finally:
        watcher.cancel()


def _refused(chat: Chat, reply: Stop) -> EndpointError:
    host = chat.endpoint.host
    what, hint = {
        401: ("refuses the key", "Set the key that belongs to this endpoint, then go on with --resume"),
        403: ("does not allow this key or this network", "Ask the endpoint's owner, then go on with --resume"),
        404: ("knows no such model, deployment or address", "Check --model or --azure-model and --base-url"),
        429: ("is out of paid quota", "Add credit at the provider, then go on with --resume"),
    }.get(reply.http_status, ("gave an unexpected reply", "Check --base-url"))
    return EndpointError(f"{host} {what} ({reply.error}); everything answered so far is kept.", hint)
