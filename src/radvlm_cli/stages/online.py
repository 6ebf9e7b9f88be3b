"""Ask a model about a task's items over the network, many at once: the usual way to write them."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter

from radvlm_cli.errors import RadvlmError
from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.chat import open_chat
from radvlm_cli.llm.engine import Engine, watched
from radvlm_cli.llm.limiter import Limiter
from radvlm_cli.llm.meter import Meter
from radvlm_cli.stages.generate import (
    Generated,
    Options,
    Pending,
    Selection,
    Writer,
    count_verdict,
    pending,
    prompt_for,
    register,
    without_text,
)
from radvlm_cli.stages.open_batches import refuse_what_is_at_work
from radvlm_cli.stages.tasks import Item, Task, Written, converse_with, statements
from radvlm_cli.store.calls import CALL_SQL, Asked, answered_keys, call_row, find_answer, pack, spent
from radvlm_cli.store.runs import Run
from radvlm_cli.store.writer import GroupWriter

_GIVE_WAY_EVERY = 100
"""Finished items after which calls in flight get a turn."""


def write_by_model(run: Run, task: Task, writer: Writer, selection: Selection, options: Options) -> Generated:
    """Ask a model about every pending item, many at once; raises what ended the job early, with all answers kept."""
    assert writer.endpoint is not None
    refuse_what_is_at_work(run.store, task.stage, asking=writer.endpoint.host)
    _raise_file_limit(options.concurrency)
    job = _Job(run, task, writer, options)
    try:
        with GroupWriter(run.store) as group:
            asyncio.run(job.work(group, selection))
    finally:
        job.tell()
    return Generated(job.items, job.meter)


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


class _Job:
    """One task's items on their way through the engine."""

    def __init__(self, run: Run, task: Task, writer: Writer, options: Options) -> None:
        assert writer.endpoint is not None
        self.items: Counter[str] = Counter()
        self.meter = Meter(options.price, cap=options.max_cost, spent=spent(run.store, run.id))
        self._run = run
        self._task = task
        self._writer = writer
        self._endpoint = writer.endpoint
        self._options = options
        self._prompts: dict[int, Prompt] = {}
        self._errors: list[Exception] = []
        self._begun = time.monotonic()
        self._judged = 0

    async def work(self, group: GroupWriter, selection: Selection) -> None:
        """Take up items as places come free; when the job is ended, wait for those in hand."""
        task, options = self._task, self._options
        calls = Calls(self._run, group, Asked(self._endpoint.provider, self._endpoint.host, self._run.id))
        limiter = Limiter(
            most=options.concurrency,
            requests_per_minute=options.requests_per_minute,
            tokens_per_minute=options.tokens_per_minute,
        )
        self._run.progress.start(f"{task.source}: {task.stage} {task.step}", task.count())
        async with open_chat(self._endpoint, connections=options.concurrency, timeout_s=options.timeout_s) as chat:
            engine = Engine(chat, calls, limiter, self.meter, self._run.stop, backoff_s=options.backoff_s)
            async with watched(engine):
                await self._take_up(engine, group, selection)
            engine.raise_if_ended()

    async def _take_up(self, engine: Engine, group: GroupWriter, selection: Selection) -> None:
        places = asyncio.Semaphore(2 * self._options.concurrency)
        hands: set[asyncio.Task[None]] = set()
        finished = 0
        for found in pending(self._task, self._writer, selection, self.items):
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

    async def _one(self, engine: Engine, group: GroupWriter, found: Pending) -> None:
        try:
            written = await self._written(engine, found.item)
            if written is None:
                return
            rows = statements(
                self._task, found.item, written, origin=self._writer.origin, key=found.key, run=self._run.id
            )
            await group.write(*rows)
        except Exception as error:  # raised by work(), once the other items in hand are done
            self._errors.append(error)
            engine.end(error if isinstance(error, RadvlmError) else RadvlmError("Another item ended the job."))
            return
        count_verdict(self.items, written)
        self._judged += 1
        self._run.progress.status(self._status(engine))
        self._run.progress.advance()

    async def _written(self, engine: Engine, item: Item) -> Written | None:
        """Make the calls about an item; None if the job was ended before they were all made."""
        if nothing := without_text(self._task, item):
            return Written(nothing, None, False)
        steps = converse_with(self._task, item, self._prompt(item.known.attempt))
        request = next(steps)
        while True:
            try:
                answer = await engine.ask(request)
            except RadvlmError as error:
                if error is engine.why:  # raised once, by work()
                    return None
                raise
            try:
                request = steps.send(answer)
            except StopIteration as ended:
                written: Written = ended.value
                return written

    def _prompt(self, attempt: int) -> Prompt:
        if attempt not in self._prompts:
            self._prompts[attempt] = prompt_for(self._task, self._writer, attempt)
        return self._prompts[attempt]

    def _status(self, engine: Engine) -> str:
        """Done, failed, in flight, rate, tokens a minute, cost, time left."""
        items, meter = self.items, self.meter
        rate = self._judged / max(1e-3, time.monotonic() - self._begun)
        left = self._task.count() - items["items"] + engine.in_flight
        failed = items["quarantined"] + items["unanswered"]
        parts = [f"{failed:,} failed", f"{engine.in_flight:,} in flight", f"{rate:,.1f}/s"]
        parts.append(f"{meter.tokens_per_minute() / 1000:,.0f}k tokens/min")
        if meter.price is not None and meter.price.output:
            of = "" if meter.cap is None else f" of ${meter.cap:,.2f}"
            parts.append(f"${meter.spent:,.2f}{of}")
        if rate > 0 and left > 0:
            seconds = int(left / rate)
            parts.append(f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left")
        return ", ".join(parts)

    def tell(self) -> None:
        """Store the counts, however the job ended."""
        self._run.tally(self._task.label, Generated(self.items, self.meter).counts())


def _raise_file_limit(connections: int) -> None:
    """Each connection is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 512
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard >= 0 else wanted, hard))
