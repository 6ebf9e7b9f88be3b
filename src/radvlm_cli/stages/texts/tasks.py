"""What `curate` and `converse` have in common: items, a request about each, a verdict on each answer."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from radvlm_cli.documents import readable
from radvlm_cli.language import Fault
from radvlm_cli.llm import Answer, Prompt, Request
from radvlm_cli.llm.prompting import ask, ask_again
from radvlm_cli.records import Status
from radvlm_cli.stages.texts.asking import Statement
from radvlm_cli.store.bulk import OUTCOME_SQL
from radvlm_cli.store.generated import FORGET_OUTCOME_SQL, QUARANTINE_SQL, RELEASE_SQL, Known

CHECKS_VERSION = 6
"""Part of every item's key: raise it when a check or rule changes, and finished items are judged anew (no call is
made again for that)."""
_NO_TEXT: dict[Status, str] = {
    "filtered": "the provider's content filter refused it",
    "refused": "the model refused",
    "rejected": "the endpoint does not take the request",
    "truncated": "the answer was cut off at max_tokens",
}


class Accepted(NamedTuple):
    """The item has its text."""

    content: str
    """The text, or the encoded turns."""


class Nothing(NamedTuple):
    """There is nothing to write about the item."""

    reason: str


class Faulty(NamedTuple):
    """The answer does not pass the checks."""

    faults: tuple[Fault, ...]
    candidate: str | None
    """What a person may still accept; None if the answer holds nothing of the form."""
    repairable: bool = True


class Unanswered(NamedTuple):
    """There is no answer; the next run asks again."""

    error: str


Verdict = Accepted | Nothing | Faulty | Unanswered


class Item(NamedTuple):
    """One thing to write a text about."""

    name: str
    """The dataset's own id of the study or image."""
    message: str
    """What a model is told about it; '' where there is nothing to tell."""
    content: Any
    """What the task itself needs to judge an answer."""
    known: Known


class Task(Protocol):
    """A stage's part of the work: which items, how an answer is judged, where it goes."""

    stage: str
    source: str
    split: str
    """The splits, for people: `train`, `train, test`, `all`."""
    step: str
    prompt_name: str
    schema: dict[str, Any]
    without_text: str
    """Why nothing is asked about an item of which there is nothing to tell."""

    @property
    def label(self) -> str:
        """What its counts are stored under."""

    def count(self) -> int:
        """How many items there are."""

    def items(self) -> Iterator[Item]:
        """Every item, in a fixed order, in constant memory."""

    def judge(self, item: Item, text: str) -> Accepted | Nothing | Faulty:
        """Judge an answer."""

    def complaint(self, faults: Sequence[Fault]) -> str:
        """What to tell the model that is to repair its answer."""

    def by_rules(self, item: Item) -> Accepted | Nothing | Faulty:
        """Write the text without a model."""

    def save(self, item: Item, content: str, *, origin: str, key: bytes, call: bytes | None, run: int) -> Statement:
        """The statement that keeps an accepted text."""

    def drop(self, item: Item) -> Statement:
        """The statement that removes a text that is not good any more."""


class Written(NamedTuple):
    """How an item came out, with where that came from."""

    verdict: Verdict
    call: bytes | None
    """Key of the call whose answer was judged last."""
    repaired: bool


def item_key(writer: bytes, message: str) -> bytes:
    """What decides an item's text: who writes it (a prompt's hash, or the rules), what it is told, and the checks."""
    return sha256(b"%d\0%b\0%b" % (CHECKS_VERSION, writer, message.encode())).digest()


def converse_with(task: Task, item: Item, prompt: Prompt) -> Generator[Request, Answer, Written]:
    """The calls about one item, one after another: ask, judge, and once more with the reason if it is no good."""
    request = ask(prompt, item.message)
    answer = yield request
    verdict = _judge(task, item, answer)
    if not isinstance(verdict, Faulty) or not verdict.repairable:
        return Written(verdict, request.key, False)
    again = ask_again(request, answer.text or "", task.complaint(verdict.faults))
    answer = yield again
    second = _judge(task, item, answer)
    if isinstance(second, Unanswered):
        return Written(second, request.key, False)
    if isinstance(second, Faulty) and second.candidate is None:
        second = second._replace(candidate=verdict.candidate)
    return Written(second, again.key, True)


def _judge(task: Task, item: Item, answer: Answer) -> Verdict:
    if answer.status == "failed":
        return Unanswered(answer.error or "no answer")
    if answer.status == "ok":
        return task.judge(item, readable(answer.text or ""))
    reason = _NO_TEXT[answer.status]
    if answer.status == "filtered" and answer.error:
        reason = f"{reason}: {answer.error.removeprefix('content_filter').strip(' ()')}".rstrip(": ")
    return Faulty((Fault(reason, ""),), None, repairable=answer.status == "truncated")


def statements(task: Task, item: Item, written: Written, *, origin: str, key: bytes, run: int) -> list[Statement]:
    """What to write for a verdict; all of it goes into one transaction."""
    where = (task.stage, task.source, task.step, item.name)
    verdict, known = written.verdict, item.known
    if isinstance(verdict, Unanswered):
        return [(OUTCOME_SQL, (*where, "failed", f"no answer from the endpoint ({verdict.error})", run))]
    if isinstance(verdict, Accepted):
        rows = [task.save(item, verdict.content, origin=origin, key=key, call=written.call, run=run)]
        if known.quarantine is not None:
            rows.append((RELEASE_SQL, where))
        if known.outcome is not None:
            rows.append((FORGET_OUTCOME_SQL, where))
        return rows
    rows = [task.drop(item)] if known.origin is not None else []
    if isinstance(verdict, Nothing):
        rows.append((OUTCOME_SQL, (*where, "skipped", verdict.reason, run)))
        if known.quarantine is not None:
            rows.append((RELEASE_SQL, where))
        return rows
    reason = verdict.faults[0].reason
    words = "\n".join(f"{fault.reason}: {fault.words}" if fault.words else fault.reason for fault in verdict.faults)
    kept = (*where, key, verdict.candidate, words, origin, written.call, known.attempt, run)
    return [*rows, (QUARANTINE_SQL, kept), (OUTCOME_SQL, (*where, "failed", reason, run))]
