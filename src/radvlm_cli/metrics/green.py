"""GREEN: matched findings over matched findings and clinically significant errors, as a language model counts them.

The prompt is the one that the GREEN models were trained with (green-score, MIT: Ostmeier et al., arXiv 2405.03595);
with another they do not keep to the form. A completion that does not keep to it is unparsable: the published code takes
it for 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.records import JudgeReply

MODEL = "StanfordAIMI/GREEN-radllama2-7b"
KINDS = (
    "false_finding",
    "missing_finding",
    "wrong_location",
    "wrong_severity",
    "false_comparison",
    "missing_comparison",
)
"""The error categories (a) to (f)."""

_HEADER = re.compile(r"^[ \t]*\[([A-Za-z][A-Za-z ]+)\][ \t]*:", re.MULTILINE)
_SIGNIFICANT, _MATCHED = "clinically significant errors", "matched findings"
_NONE = re.compile(r"\s*(no|none)\b", re.IGNORECASE)
_MATCHED_COUNT = re.compile(r"\s*(\d{1,3})(?:\.(?!\d)|[ \t]*\n)")
_ERRORS_LINE = re.compile(r"^[ \t]*\(([a-f1-6])\)([^\n]*)", re.MULTILINE)
_ERRORS_COUNT = re.compile(r"[^:\n]*:[ \t]*(\d{1,3})(?:\.(?!\d)|[ \t]*$)")


class Counts(NamedTuple):
    """What the model counted."""

    matched: int
    errors: tuple[int, int, int, int, int, int]
    """Clinically significant ones, by KINDS."""

    @property
    def green(self) -> float:
        """0-1; 0 where nothing is matched."""
        return self.matched / (self.matched + sum(self.errors)) if self.matched else 0.0


@cache
def _template() -> str:
    return files(__package__).joinpath("prompts", "green.txt").read_text(encoding="utf-8")


def green_prompt(reference: str, candidate: str) -> str:
    """What the model is asked about a pair of reports."""
    before, after = _template().split("{reference}")
    between, end = after.split("{candidate}")
    return f"{before}{reference}{between}{candidate}{end}"


def parse_green(completion: str) -> Counts | None:
    """The counts in a completion; None where it does not keep to the form, e.g. because it is cut off.

    Both sections have to be there once. Significant errors are lettered lines with a number after the colon (a letter
    that is left out stands for 0, as published), or `No ...`; matched findings begin with a number, or `No ...`.
    """
    sections = _sections(completion)
    if sections is None or _SIGNIFICANT not in sections or _MATCHED not in sections:
        return None
    matched, errors = _matched(sections[_MATCHED]), _errors(sections[_SIGNIFICANT])
    return None if matched is None or errors is None else Counts(matched, errors)


def _sections(completion: str) -> dict[str, str] | None:
    """Text by heading; None where one comes twice."""
    found = list(_HEADER.finditer(completion))
    names = [" ".join(header[1].lower().split()) for header in found]
    if len(set(names)) != len(names):
        return None
    ends = [*(header.start() for header in found[1:]), len(completion)]
    return {name: completion[header.end() : end] for name, header, end in zip(names, found, ends, strict=False)}


def _matched(section: str) -> int | None:
    if _NONE.match(section):
        return 0
    count = _MATCHED_COUNT.match(section)
    return int(count[1]) if count else None


def _errors(section: str) -> tuple[int, int, int, int, int, int] | None:
    if _NONE.match(section):
        return (0, 0, 0, 0, 0, 0)
    counts: dict[int, int] = {}
    for line in _ERRORS_LINE.finditer(section):
        place = ("abcdef" if line[1].isalpha() else "123456").index(line[1])
        count = _ERRORS_COUNT.match(line[2])
        if count is None or place in counts:
            return None
        counts[place] = int(count[1])
    if not counts:
        return None
    a, b, c, d, e, f = (counts.get(place, 0) for place in range(6))
    return (a, b, c, d, e, f)


class Green:
    """GREEN and its error counts, means over the reports that were judged. See metrics.family.Family.

    Predictions are the judge's replies, not the reports. An empty report is worth 0 and is not asked about; where the
    judge failed, or there is no reply, there is no score, and `green_coverage` is lower.
    """

    name = "green"
    version = 1
    columns = ("green", "matched", *KINDS, "judged", "scored", "samples")

    def missing(self) -> tuple[Need, ...]:
        """Nothing: the model's need is the judging worker's."""
        return ()

    def per_sample(self, predictions: Sequence[JudgeReply | None], references: Sequence[object]) -> Table:
        """Shape (samples, 11): GREEN, the counts, whether the judge counted, whether there is a score, 1."""
        table = np.zeros((len(predictions), len(self.columns)))
        table[:, -1] = 1
        for row, (reply, _reference) in enumerate(zip(predictions, references, strict=True)):
            if reply is None:
                continue
            counts = parse_green(reply.text) if reply.status == "ok" else None
            if counts is not None:
                table[row, :-1] = (counts.green, counts.matched, *counts.errors, 1, 1)
            elif reply.status == "empty":
                table[row, -2] = 1
        return table

    def values(self, sums: Table) -> dict[str, Table]:
        """`green` over scored reports (empty ones are 0), counts per judged report, and how many have a score."""
        green, matched, *errors, judged, scored, samples = np.moveaxis(sums, -1, 0)
        counted = {"green_matched": ratio(matched, judged), "green_errors": ratio(sum(errors), judged)}
        counted |= {f"green_{kind}": ratio(total, judged) for kind, total in zip(KINDS, errors, strict=True)}
        return {"green": ratio(green, scored), **counted, "green_coverage": ratio(scored, samples)}
