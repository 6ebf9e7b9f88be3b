"""Run a task's items through a language model or the rules: skip what is done, judge, write, count."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.chat import open_chat
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.engine import Engine, watched
from radvlm_cli.llm.limiter import Limiter
from radvlm_cli.llm.meter import Meter
from radvlm_cli.llm.pricing import Price
from radvlm_cli.llm.prompting import load_prompt
from radvlm_cli.stages.tasks import (
    Accepted,
    Faulty,
    Item,
    Nothing,
    Task,
    Unanswered,
    Written,
    converse_with,
    item_key,
    statements,
)
from radvlm_cli.store.calls import CALL_SQL, Asked, answered_keys, call_row, find_answer, pack, register_prompt, spent
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.writer import GroupWriter

RULES_WRITER = b"rules"
_RULES_BATCH = 1000
_RETRY_TEMPERATURE = 0.7
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


class Writer(NamedTuple):
    """Who writes: a model at an endpoint, or the rules (no endpoint)."""

    endpoint: Endpoint | None
    parameters: dict[str, Any]

    @property
    def origin(self) -> str:
        """As it stands in `origin` of every text."""
        return "rules" if self.endpoint is None else self.endpoint.provider


class Selection(NamedTuple):
    """Which of the items that are not done to take up."""

    retry_failed: bool = False
    """Ask anew about quarantined items, with another seed; else they stay where they are."""
    limit: int | None = None
    """At most so many."""


class Generated(NamedTuple):
    """What a job did. Items by how they stand now, calls by how they ended."""

    items: Counter[str]
    meter: Meter | None

    def counts(self) -> dict[str, int]:
        """The numbers that are printed and stored."""
        names = ("items", "done before", "kept", "written", "repaired", "nothing to say", "quarantined", "unanswered")
        counts = {name: self.items[name] for name in names}
        if self.meter is not None:
            counts |= {
                "calls": self.meter.calls,
                "calls known": self.meter.cached,
                "retries": self.meter.retries,
                "throttled": self.meter.throttled,
                "input tokens": self.meter.input_tokens,
                "output tokens": self.meter.output_tokens,
            }
        return counts


def prompt_for(task: Task, writer: Writer, attempt: int = 0) -> Prompt:
    """The prompt of a task; another attempt has another seed, and so other keys."""
    assert writer.endpoint is not None
    assert writer.endpoint.model is not None
    parameters = dict(writer.parameters)
    if attempt:
        parameters |= {"seed": attempt, "temperature": _RETRY_TEMPERATURE}
    return load_prompt(task.prompt_name, writer.endpoint.model, parameters, task.schema)


class Pending(NamedTuple):
    """An item to take up, with the key that its text will have."""

    item: Item
    key: bytes


def pending(task: Task, writer: Writer, selection: Selection, items: Counter[str]) -> Iterator[Pending | None]:
    """Go through a task's items: those to take up, and None for each that is finished; counts the latter."""
    writes = RULES_WRITER if writer.endpoint is None else prompt_for(task, writer).hash
    taken = 0
    for item in task.items():
        items["items"] += 1
        key = item_key(writes, item.message)
        known = item.known
        if known.untouchable:
            items["kept"] += 1
        elif known.key == key:
            items["done before"] += 1
        elif known.quarantine == key and not selection.retry_failed:
            items["quarantined"] += 1
        elif selection.limit is not None and taken >= selection.limit:
            items["left for later"] += 1
        else:
            taken += 1
            yield Pending(item._replace(known=_next_attempt(known, key, selection)), key)
            continue
        yield None


def _next_attempt(known: Any, key: bytes, selection: Selection) -> Any:
    retried = selection.retry_failed and known.quarantine == key
    return known._replace(attempt=known.attempt + 1 if retried else 0)


def write_by_rules(run: Run, task: Task, selection: Selection) -> Generated:
    """Write every pending item by rules, in transactions of a thousand."""
    from radvlm_cli.store.bulk import batched, execute_many

    items: Counter[str] = Counter()
    writer = Writer(None, {})
    run.progress.start(f"{task.source}: {task.stage} {task.step}, by rules", task.count())
    for batch in batched(pending(task, writer, selection, items), _RULES_BATCH):
        run.stop.check()
        by_sql: dict[str, list[Any]] = {}
        for found in batch:
            if found is not None:
                written = Written(without_text(task, found.item) or task.by_rules(found.item), None, False)
                count_verdict(items, written)
                for sql, row in statements(task, found.item, written, origin="rules", key=found.key, run=run.id):
                    by_sql.setdefault(sql, []).append(row)
        with run.store.write() as connection:
            for sql, rows in by_sql.items():
                execute_many(connection, sql, rows)
        run.progress.advance(len(batch))
    return Generated(items, None)


def write_by_model(run: Run, task: Task, writer: Writer, selection: Selection, options: Options) -> Generated:
    """Ask a model about every pending item, many at once; raises what ended the job early, with all answers kept."""
    assert writer.endpoint is not None
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
        row = call_row(key, prompt_id, pack(list(request.messages)), self._who, answer)
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
        self._errors: list[BaseException] = []
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
            if engine.ended or self._errors:
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
        except BaseException as error:  # raised by work(), once the other items in hand are done
            self._errors.append(error)
            engine.limiter.close(error)
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
            except Exception:
                if engine.ended:  # what ended it is raised once, by work()
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
        self._run.tally(f"{self._task.source} {self._task.step}", Generated(self.items, self.meter).counts())


def without_text(task: Task, item: Item) -> Nothing | None:
    """Nothing is asked about an item of which there is nothing to tell."""
    from radvlm_cli.stages.curate import NO_TEXT

    return None if item.message else Nothing(NO_TEXT if task.stage == "curate" else "the image has nothing to tell of")


def count_verdict(items: Counter[str], written: Written) -> None:
    """Count how an item came out."""
    verdict = written.verdict
    if isinstance(verdict, Accepted):
        items["written"] += 1
        items["repaired"] += written.repaired
    elif isinstance(verdict, Nothing):
        items["nothing to say"] += 1
    elif isinstance(verdict, Faulty):
        items["quarantined"] += 1
    elif isinstance(verdict, Unanswered):
        items["unanswered"] += 1


def _raise_file_limit(connections: int) -> None:
    """Each connection is an open file, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 512
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard >= 0 else wanted, hard))
