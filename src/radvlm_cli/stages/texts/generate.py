"""Which of a task's items to take up, by whom, and how they came out; the offline way to write them, by rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from radvlm_cli.llm import Prompt
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.meter import Meter
from radvlm_cli.llm.prompting import load_prompt
from radvlm_cli.stages.texts.asking import Statement, call_counts
from radvlm_cli.stages.texts.tasks import (
    Accepted,
    Faulty,
    Item,
    Nothing,
    Task,
    Unanswered,
    Written,
    item_key,
    statements,
)
from radvlm_cli.store.bulk import batched, execute_grouped
from radvlm_cli.store.runs import Run

RULES_WRITER = b"rules"
_RULES_BATCH = 1000
_RETRY_TEMPERATURE = 0.7


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
            counts |= call_counts(self.meter)
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
    items: Counter[str] = Counter()
    writer = Writer(None, {})
    run.progress.start(f"{task.source}: {task.stage} {task.step}, by rules", task.count())
    for batch in batched(pending(task, writer, selection, items), _RULES_BATCH):
        run.stop.check()
        rows: list[Statement] = []
        for found in batch:
            if found is not None:
                written = Written(without_text(task, found.item) or task.by_rules(found.item), None, False)
                count_verdict(items, written)
                rows += statements(task, found.item, written, origin=writer.origin, key=found.key, run=run.id)
        with run.store.write() as connection:
            execute_grouped(connection, rows)
        run.progress.advance(len(batch))
    generated = Generated(items, None)
    run.tally(task.label, generated.counts())
    return generated


def without_text(task: Task, item: Item) -> Nothing | None:
    """Nothing is asked about an item of which there is nothing to tell."""
    return None if item.message else Nothing(task.without_text)


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
