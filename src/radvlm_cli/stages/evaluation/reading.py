"""What an answer says: its text, boxes or findings, read by the parsers of the model and the task.

Reading takes raw text from the store and needs no model, so it can be done again whenever a parser has changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from radvlm_cli.adapters import answers, boxes
from radvlm_cli.adapters.protocol import BoxCodec, Card, Task
from radvlm_cli.language import label_answers
from radvlm_cli.language.findings import findings
from radvlm_cli.language.refusals import refuses
from radvlm_cli.metrics.boxes import Located, answer_status
from radvlm_cli.metrics.family import Status
from radvlm_cli.records import Box
from radvlm_cli.store.evaluations import EvaluationRow
from radvlm_cli.store.scores import Answered

_OBJECT = re.compile(r"\{[^{}]*\}?")
"""A JSON object without others in it; the last may be cut off."""
_LABELLED = re.compile(r"[\"']label[\"']\s*:")


class Read(NamedTuple):
    """What was read from an answer."""

    status: Status
    content: Any
    """As it is stored, JSON; None for an answer that counts as wrong."""
    prediction: Any
    """As the task's metrics take it. Of an answer that failed: the empty text or conversation; for findings and boxes
    None, since naming none is an answer too, and may be right."""


class Reader(NamedTuple):
    """How the answers of a model to a task are read."""

    parser: str
    """Name and version."""
    read: Callable[[Answered], Read]


class _Rule(NamedTuple):
    """How the answer is found in the text."""

    extractor: str
    unfinished: bool


def reader(card: Card, task: Task, options: Sequence[str], *, unfinished: bool = False) -> Reader:
    """How `card`'s answers to `task` are read; `options`: the findings to choose among.

    An answer that was cut off at the most new tokens is a failure, unless `unfinished` has it read as far as it goes.
    Conversations are read so in any case: whoever judges them sees where a round breaks off.
    """
    rule = _Rule(card.extractor, unfinished)
    if task == "report":
        name, read = "text/2", _text(rule)
    elif task == "classification":
        name, read = f"labels/{label_answers.VERSION}", _labels(rule)
    elif task == "conversation":
        name, read = "conversation/1", _conversation
    else:
        codec = boxes.codec(card.codec or "radvlm")
        found = _labelled(rule, codec, options) if task == "detection" else _boxes(rule, codec)
        labelled = "labelled/2 " if task == "detection" else ""
        name, read = f"{labelled}boxes:{codec.name}/{codec.version}", found
    return Reader(f"{name} {card.extractor}/{answers.VERSION}{' unfinished' if unfinished else ''}", read)


def takes_unfinished(evaluation: EvaluationRow) -> bool:
    """Whether an answer that was cut off is scored for what there is of it, as the published evaluation did."""
    return evaluation.identity.get("protocol") == "paper"


def _text(rule: _Rule) -> Callable[[Answered], Read]:
    def read(sample: Answered) -> Read:
        text, failed = _said(rule, sample, "")
        if failed is None and refuses(text) and not findings(text):
            failed = Read("refused", None, "")
        return failed or Read("ok", text, text)

    return read


def _labels(rule: _Rule) -> Callable[[Answered], Read]:
    def read(sample: Answered) -> Read:
        text, failed = _said(rule, sample, None)
        if failed is not None:
            return failed
        found = label_answers.read_labels(text)
        content = {
            "labels": found.values(),
            "evidence": [[*each[:2], text[each.start : each.end]] for each in found.evidence],
            "others": found.others,
            "unknown": found.unknown,
            "form": found.form,
        }
        said = found.values() if found.status == "ok" else None
        return Read(found.status, content, said)

    return read


def _boxes(rule: _Rule, codec: BoxCodec) -> Callable[[Answered], Read]:
    def read(sample: Answered) -> Read:
        text, failed = _said(rule, sample, None)
        if failed is not None:
            return failed
        found = codec.read(text, sample.size, sample.seen)
        status = _status(text, found.boxes, found.malformed)
        content = {"boxes": [list(box) for box in found.boxes], "malformed": found.malformed}
        # Of what is like a box and none the metrics keep count.
        return Read(status, content, None if status == "refused" else found)

    return read


def _status(text: str, found: Sequence[Box], malformed: int) -> Status:
    """How an answer with or without boxes came out."""
    if not found and refuses(text):
        return "refused"
    return answer_status(text, Located(found, malformed))


def _labelled(rule: _Rule, codec: BoxCodec, options: Sequence[str]) -> Callable[[Answered], Read]:
    def read(sample: Answered) -> Read:
        text, failed = _said(rule, sample, None)
        if failed is not None:
            return failed
        found, malformed = labelled_boxes(text, options, codec, sample.size, sample.seen)
        status = _status(text, [box for each in found.values() for box in each], malformed)
        by_label = {label: [list(box) for box in each] for label, each in found.items()}
        content = {"boxes": by_label, "malformed": malformed}
        return Read(status, content, found if status == "ok" else None)

    return read


def labelled_boxes(
    text: str, labels: Sequence[str], codec: BoxCodec, size: tuple[int, int], seen: tuple[int, int] | None
) -> tuple[dict[str, list[Box]], int]:
    """Boxes by label, and how many places look like a box and are none.

    A box belongs to the label that stands last before it; before any label, to `""`. In a JSON object of one finding it
    belongs to the label of the object, which may stand after it.
    """
    found: dict[str, list[Box]] = {}
    malformed = 0
    for name, part in _parts(text, labels):
        read = codec.read(part, size, seen)
        malformed += read.malformed
        if read.boxes:
            found.setdefault(name, []).extend(read.boxes)
    return found, malformed


def _parts(text: str, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The pieces of a text, each with the label that boxes in it belong to."""
    pattern = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    mentioned = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)" if labels else r"(?!)", re.IGNORECASE)
    known = {label.casefold(): label for label in labels}
    name, start = "", 0

    def place(end: int) -> Iterator[tuple[str, str]]:
        nonlocal name, start
        for mention in mentioned.finditer(text, start, end):
            yield name, text[start : mention.start()]
            name, start = known[mention[0].casefold()], mention.start()
        yield name, text[start:end]
        start = end

    for entry in _OBJECT.finditer(text):
        own = mentioned.findall(entry[0])
        if len(own) > 1 or not (own or _LABELLED.search(entry[0]) or not entry[0].endswith("}")):
            continue  # several findings, or none named: what stands before counts
        yield from place(entry.start())
        name, start = known[own[0].casefold()] if own else "", entry.end()
        yield name, entry[0]
    yield from place(len(text))


def _conversation(sample: Answered) -> Read:
    """The answers, one per round; the judge reads them."""
    if sample.status not in ("ok", "truncated"):
        return Read(_failed(sample), None, [])
    said = [str(text) for text in json.loads(sample.text)]
    return Read("ok", said, said)


def _said(rule: _Rule, sample: Answered, nothing: Any) -> tuple[str, Read | None]:
    """The answer within the text; or, where it counts as wrong, how it came out."""
    unfinished = sample.status == "truncated"
    if sample.status != "ok" and not (unfinished and rule.unfinished):
        return "", Read(_failed(sample), None, nothing)
    found = answers.extract(rule.extractor, sample.text)
    if not found.text.strip():
        return "", Read("empty", None, nothing)
    if found.missing and unfinished:
        return "", Read("truncated", None, nothing)  # it was cut off while it thought: there is no answer
    return found.text, None


def _failed(sample: Answered) -> Status:
    known: dict[str, Status] = {"empty": "empty", "truncated": "truncated", "refused": "refused"}
    return known.get(sample.status, "error")


def references(task: Task, samples: Sequence[Answered]) -> list[Any]:
    """What is right, as the task's metrics take it."""
    take: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "report": lambda reference: reference["text"],
        "classification": lambda reference: reference["positive"],
        "conversation": lambda reference: reference["turns"],
    }
    if task in take:
        return [take[task](sample.reference) for sample in samples]
    return [sample.reference["boxes"] for sample in samples]
