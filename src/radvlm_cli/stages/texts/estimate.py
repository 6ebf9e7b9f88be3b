"""What a job would ask and cost, before anything is sent."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from radvlm_cli.llm.pricing import Price, batch_share
from radvlm_cli.llm.prompting import ask
from radvlm_cli.llm.tokens import count_tokens, message_tokens
from radvlm_cli.stages.texts.generate import Selection, Writer, pending, prompt_for
from radvlm_cli.stages.texts.tasks import Task
from radvlm_cli.store.calls import answered_keys, asked_messages
from radvlm_cli.store.engine import Store

_COUNTED = 2000
"""Items whose tokens are counted; of the others the characters are."""
_LOOKED_AT = 2000
_ENOUGH = 50
"""Answers from which the store's own experience is used."""
_GUESSED_OUTPUT = {"curate": 1.0, "converse": 0.0}
"""Output tokens per token of the item's message, and..."""
_GUESSED_BASE = {"curate": 12, "converse": 650}
"""...those that come on top, until there is experience."""


class Estimate(NamedTuple):
    """Of one task."""

    source: str
    split: str
    items: int
    done: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    batch_cost: float | None
    measured: bool
    """Whether answers' length and the share of repairs come from earlier calls of this prompt."""


class _Experience(NamedTuple):
    calls_per_item: float
    output: float | None
    """Output tokens per answer."""


def estimate(store: Store, task: Task, writer: Writer, selection: Selection, price: Price | None) -> Estimate:
    """Count the calls and tokens that are still to come for a task."""
    prompt = prompt_for(task, writer)
    items: Counter[str] = Counter()
    known = _known(store, prompt.hash)
    past = _experience(store, task.prompt_name)
    calls = counted = 0
    counted_characters = characters = counted_tokens = 0
    seen: set[bytes] = set()
    for found in pending(task, writer, selection, items):
        if found is None or not found.item.message:
            continue
        request = ask(prompt, found.item.message)
        key = request.key
        if key in known or key in seen:
            continue
        seen.add(key)
        calls += 1
        characters += len(found.item.message)
        if counted < _COUNTED:
            counted += 1
            counted_characters += len(found.item.message)
            counted_tokens += count_tokens(found.item.message)
    told = counted_tokens * characters / counted_characters if counted_characters else 0.0
    fixed = message_tokens((*prompt.messages, {"role": "user", "content": ""}))
    output = calls * past.output if past.output is not None else guessed_output(task.stage, calls, told)
    repairs = calls * (past.calls_per_item - 1)
    inputs = calls * fixed + told + repairs * (fixed + (told + output) / max(calls, 1) + 40)
    output *= past.calls_per_item
    cost = None if price is None else (inputs * price.input + output * price.output) / 1e6
    return Estimate(
        task.source,
        task.split,
        items["items"],
        items["done before"] + items["kept"],
        round(calls * past.calls_per_item),
        round(inputs),
        round(output),
        cost,
        None if cost is None else cost * batch_share(),
        past.output is not None,
    )


def guessed_output(stage: str, calls: float, told: float) -> float:
    """Output tokens of so many calls that are told so many tokens in all, where no answer has been seen yet."""
    return calls * _GUESSED_BASE[stage] + told * _GUESSED_OUTPUT[stage]


def _known(store: Store, digest: bytes) -> set[bytes]:
    prompt_id = store.value("SELECT id FROM prompt WHERE hash = ?", (digest,))
    return answered_keys(store, [prompt_id]) if prompt_id is not None else set()


def _experience(store: Store, prompt_name: str) -> _Experience:
    """How long answers were so far, and how many items needed a second one."""
    sql = (
        "SELECT asked, output_tokens FROM llm_call JOIN prompt ON prompt.id = llm_call.prompt_id "
        "WHERE prompt.name = ? AND llm_call.status = 'ok' AND output_tokens IS NOT NULL "
        "ORDER BY llm_call.id DESC LIMIT ?"
    )
    past = [(len(asked_messages(asked)), output) for asked, output in store.rows(sql, (prompt_name, _LOOKED_AT))]
    firsts = sum(1 for messages, _output in past if messages == 1)
    if firsts < _ENOUGH:
        return _Experience(1.0, None)
    return _Experience(len(past) / firsts, sum(output for _messages, output in past) / len(past))


def rows(estimates: list[Estimate]) -> list[dict[str, Any]]:
    """For printing."""
    return [
        {
            "source": e.source,
            "split": e.split,
            "items": e.items,
            "done": e.done,
            "calls": e.calls,
            "input tokens": e.input_tokens,
            "output tokens": e.output_tokens,
            "dollars": None if e.cost is None else f"{e.cost:,.2f}",
            "in batches": None if e.batch_cost is None else f"{e.batch_cost:,.2f}",
            "answer length": "measured" if e.measured else "assumed",
        }
        for e in estimates
    ]
