"""Ask a model about many things over the network at once, and keep what comes of each: one job of a stage."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from radvlm_cli.errors import RadvlmError
from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.chat import open_chat
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.engine import Engine, watched
from radvlm_cli.llm.limiter import Limiter
from radvlm_cli.llm.meter import Meter
from radvlm_cli.llm.pricing import Price
from radvlm_cli.store.calls import CALL_SQL, Asked, answered_keys, call_row, find_answer, pack, register_prompt, spent
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.writer import GroupWriter

Found = TypeVar("Found")
Outcome = TypeVar("Outcome")
Statement = tuple[str, Sequence[Any]]
_GIVE_WAY_EVERY = 100
"""Finished items after which calls in flight get a turn."""


class Options(NamedTuple):
    """How to make the calls; nothing of this changes an answer."""

    concurrency: int = 512
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 300.0
    max_cost: float | None = None
    price: Price | None = None
    backoff_s: float = 0.5


class Asking(Protocol[Found, Outcome]):
    """What is asked about, and what becomes of the answers."""

    title: str
    """Of the progress bar."""
    items: Counter[str]
    """`items`: how many `pending` has come to so far. What else is counted is the job's own."""

    def count(self) -> int:
        """How many items there are."""

    def failed(self) -> int:
        """How many of them have failed so far."""

    def pending(self) -> Iterator[Found | None]:
        """Go through the items: those to ask about, and None for each that is finished."""

    def steps(self, found: Found) -> Generator[Request, Answer, Outcome]:
        """The calls about one item, one after another; none where nothing need be asked."""

    def rows(self, found: Found, outcome: Outcome) -> list[Statement]:
        """What to write of it; all of it goes into one transaction."""

    def written(self, outcome: Outcome) -> None:
        """Take note of an item whose rows are durable."""


def ask_about(run: Run, asking: Asking[Found, Outcome], endpoint: Endpoint, options: Options, meter: Meter) -> None:
    """Ask about every pending item, many at once; raises what ended the job early, with all answers kept."""
    _raise_file_limit(options.concurrency)
    job = _Job(run, asking, endpoint, options, meter)
    with GroupWriter(run.store) as group:
        asyncio.run(job.work(group))


def new_meter(run: Run, options: Options) -> Meter:
    """A meter for a job of a run, which knows what the run has spent before."""
    return Meter(options.price, cap=options.max_cost, spent=spent(run.store, run.id))


def call_counts(meter: Meter) -> dict[str, int]:
    """The numbers of a job's calls, as they are printed and stored."""
    return {
        "calls": meter.calls,
        "calls known": meter.cached,
        "retries": meter.retries,
        "throttled": meter.throttled,
        "input tokens": meter.input_tokens,
        "output tokens": meter.output_tokens,
    }


def register(store: Store, run_id: int, prompt: Prompt) -> int:
    """The row id of a prompt."""
    return register_prompt(
        store,
        run_id,
        digest=prompt.hash,
        name=prompt.name,
        model=prompt.model,
        parameters=prompt.parameters,
        schema=prompt.schema,
        messages=list(prompt.messages),
    )


class Calls:
    """The engine's ledger over the store."""

    def __init__(self, run: Run, group: GroupWriter, who: Asked) -> None:
        self._run = run
        self._group = group
        self._who = who
        self._prompts: dict[bytes, int] = {}
        self._answered: set[bytes] = set()

    def find(self, request: Request) -> Answer | None:
        """The answer that was given before."""
        self.prompt_id(request.prompt)
        key = request.key
        return find_answer(self._run.store, key) if key in self._answered else None

    async def record(self, request: Request, answer: Answer) -> None:
        """Keep an answer; durable on return."""
        key, prompt_id = request.key, self.prompt_id(request.prompt)
        row = call_row(key, prompt_id, pack(request.asked), self._who, answer)
        await self._group.write((CALL_SQL, row))
        if answer.status != "failed":
            self._answered.add(key)

    def prompt_id(self, prompt: Prompt) -> int:
        """The row of a prompt; on the first sight of it, its answered calls are looked up all at once."""
        known = self._prompts.get(prompt.hash)
        if known is None:
            store = self._run.store
            known = self._prompts[prompt.hash] = register(store, self._run.id, prompt)
            self._answered |= answered_keys(store, [known])
        return known


class _Job(Generic[Found, Outcome]):
    """Items on their way through the engine."""

    def __init__(
        self, run: Run, asking: Asking[Found, Outcome], endpoint: Endpoint, options: Options, meter: Meter
    ) -> None:
        self._run = run
        self._asking = asking
        self._endpoint = endpoint
        self._options = options
        self._meter = meter
        self._errors: list[Exception] = []
        self._begun = time.monotonic()
        self._done = 0

    async def work(self, group: GroupWriter) -> None:
        """Take up items as places come free; when the job is ended, wait for those in hand."""
        options, endpoint = self._options, self._endpoint
        calls = Calls(self._run, group, Asked(endpoint.provider, endpoint.host, self._run.id))
        limiter = Limiter(
            most=options.concurrency,
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
        )
        self._run.progress.start(self._asking.title, self._asking.count())
        async with open_chat(endpoint, connections=options.concurrency, timeout_s=options.timeout_s) as chat:
            engine = Engine(chat, calls, limiter, self._meter, self._run.stop, backoff_s=options.backoff_s)
            async with watched(engine):
                await self._take_up(engine, group)
            engine.raise_if_ended()

    async def _take_up(self, engine: Engine, group: GroupWriter) -> None:
        places = asyncio.Semaphore(2 * self._options.concurrency)
        hands: set[asyncio.Task[None]] = set()
        finished = 0
        for found in self._asking.pending():
            if engine.ended:
                break
            if found is None:
                self._run.progress.advance()
                finished += 1
                if finished % _GIVE_WAY_EVERY == 0:
                    await asyncio.sleep(0)
                continue
            await places.acquire()
            hand = asyncio.create_task(self._one(engine, group, found))
            hands.add(hand)
            hand.add_done_callback(hands.discard)
            hand.add_done_callback(lambda _hand: places.release())
        while hands:
            await asyncio.wait(hands)
        if self._errors:
            raise self._errors[0]

    async def _one(self, engine: Engine, group: GroupWriter, found: Found) -> None:
        try:
            outcomes = await self._outcome(engine, found)
            if not outcomes:
                return
            await group.write(*self._asking.rows(found, outcomes[0]))
        except Exception as error:  # raised by work(), once the other items in hand are done
            self._errors.append(error)
            engine.end(error if isinstance(error, RadvlmError) else RadvlmError("Another item ended the job."))
            return
        self._asking.written(outcomes[0])
        self._done += 1
        self._run.progress.status(self._status(engine))
        self._run.progress.advance()

    async def _outcome(self, engine: Engine, found: Found) -> tuple[Outcome, ...]:
        """Make the calls about an item; () if the job was ended before they were all made."""
        steps = self._asking.steps(found)
        try:
            request = next(steps)
            while True:
                try:
                    answer = await engine.ask(request)
                except RadvlmError as error:
                    if error is engine.why:  # raised once, by work()
                        return ()
                    raise
                request = steps.send(answer)
        except StopIteration as ended:
            return (ended.value,)

    def _status(self, engine: Engine) -> str:
        """Failed, in flight, rate, tokens a minute, cost, time left."""
        meter = self._meter
        rate = self._done / max(1e-3, time.monotonic() - self._begun)
        left = self._asking.count() - self._asking.items["items"] + engine.in_flight
        parts = [f"{self._asking.failed():,} failed", f"{engine.in_flight:,} in flight", f"{rate:,.1f}/s"]
        parts.append(f"{meter.tokens_per_minute() / 1000:,.0f}k tokens/min")
        if meter.price is not None and meter.price.output:
            of = "" if meter.cap is None else f" of ${meter.cap:,.2f}"
            parts.append(f"${meter.spent:,.2f}{of}")
        if rate > 0 and left > 0:
            seconds = int(left / rate)
            parts.append(f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left")
        return ", ".join(parts)


def _raise_file_limit(connections: int) -> None:
    """Each connection is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 512
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard >= 0 else wanted, hard))
