"""curate: report texts that refer to no other study, by a language model or by rules, checked either way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from radvlm_cli.language import Fault
from radvlm_cli.language.report_checks import has_content, report_faults
from radvlm_cli.language.rewrite import without_comparisons
from radvlm_cli.llm.prompting import find_object
from radvlm_cli.stages.texts.asking import Statement
from radvlm_cli.stages.texts.tasks import Accepted, Faulty, Item, Nothing
from radvlm_cli.store.engine import Store
from radvlm_cli.store.generated import DROP_TEXT_SQL, TEXT_SQL, StudyItem, studies, study_items

_RAW = ("chexpert-plus",)
"""Sources whose reports come as typed, with typing errors and marks of the reporting system."""
NO_TEXT = "the report has no findings, impression or last paragraph"
NOTHING_LEFT = "nothing is left without comparisons"
_ALL_GONE = Fault("none of the report's findings is left", "")


class Curation:
    """The reports of one source. See tasks.Task."""

    stage = "curate"
    step = "texts"
    without_text = NO_TEXT
    schema: dict[str, Any] = {  # noqa: RUF012 - a constant
        "type": "object",
        # The text first: a small model that has to say beforehand whether anything is left then writes nothing.
        "properties": {"text": {"type": "string"}, "nothing_left": {"type": "boolean"}},
        "required": ["text", "nothing_left"],
        "additionalProperties": False,
    }

    def __init__(self, store: Store, source: str, splits: Sequence[str]) -> None:
        self.source = source
        self.split = ", ".join(splits) or "all"
        self.prompt_name = "curate-raw" if source in _RAW else "curate-dictated"
        self._store = store
        self._ids = studies(store, source, splits)

    @property
    def label(self) -> str:
        """What its counts are stored under."""
        return f"{self.source} {self.step}"

    def count(self) -> int:
        """How many reports there are."""
        return len(self._ids)

    def items(self) -> Iterator[Item]:
        """Every report, with its findings, else its impression, else its last paragraph (as published)."""
        for study in study_items(self._store, self.source, self._ids):
            text = chosen_section(study)
            yield Item(study.study_id, text, text, study.known)

    def judge(self, item: Item, text: str) -> Accepted | Nothing | Faulty:
        """Read the answer's JSON, or take it for the text itself, and check that."""
        answer = find_object(text, "text", "nothing_left")
        if answer is None:
            curated = _unquoted(text)
        elif answer.get("nothing_left") is True:
            if has_content(without_comparisons(item.message)):
                return Faulty((_ALL_GONE,), None)
            return Nothing(NOTHING_LEFT)
        else:
            curated = _spaced(answer["text"]) if isinstance(answer.get("text"), str) else ""
        faults = tuple(report_faults(curated, item.message))
        if curated and not has_content(curated) and has_content(without_comparisons(item.message)):
            faults = (_ALL_GONE, *faults)
        return Faulty(faults, curated or None) if faults else Accepted(curated)

    def complaint(self, faults: Sequence[Fault]) -> str:
        """Name what is wrong, word for word."""
        lines = [f"- {fault.reason}{f': {fault.words}' if fault.words else ''}" for fault in faults]
        return (
            "This is not right yet:\n" + "\n".join(lines) + "\nWrite it again, from the report above alone, with these "
            "mended and everything else as it was. Answer with the JSON object only."
        )

    def by_rules(self, item: Item) -> Accepted | Nothing | Faulty:
        """Take comparisons out by rules."""
        curated = without_comparisons(item.message)
        if not curated or not has_content(curated):
            return Nothing(NOTHING_LEFT)
        faults = tuple(report_faults(curated, item.message))
        return Faulty(faults, curated) if faults else Accepted(curated)

    def save(self, item: Item, content: str, *, origin: str, key: bytes, call: bytes | None, run: int) -> Statement:
        """Keep a text."""
        return TEXT_SQL, (self.source, item.name, content, origin, key, call, None, run)

    def drop(self, item: Item) -> Statement:
        """Remove a text."""
        return DROP_TEXT_SQL, (self.source, item.name)


def chosen_section(study: StudyItem) -> str:
    """Findings, else impression, else last paragraph, on one line; '' if there is none of them."""
    return _spaced(study.findings or study.impression or study.last_paragraph or "")


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _unquoted(text: str) -> str:
    """An answer that is no JSON, without the quotation marks or fence that models put around a whole text."""
    text = text.strip()
    for mark in ("```", '"""', '"'):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            text = text[len(mark) : -len(mark)]
    return _spaced(text)
