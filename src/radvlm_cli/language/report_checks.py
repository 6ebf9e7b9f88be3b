"""What a curated report must not do: compare, invent, drop all, or talk about itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from radvlm_cli.language import Fault
from radvlm_cli.language.findings import acceptable, findings
from radvlm_cli.language.meta import meta_text
from radvlm_cli.language.temporal import comparisons

_LONGER = 1.2
_SLACK = 40
"""Characters that a short text may grow by."""
_MEASURE = re.compile(r"(\d+(?:\.\d+)?)\s*-?\s*(mm|cm|millimeters?|centimeters?|degrees?|%)", re.I)
_SIDES = {
    "left": re.compile(r"\bleft\b", re.I),
    "right": re.compile(r"\bright\b", re.I),
}
_BOTH = re.compile(r"\b(?:bilateral(?:ly)?|both|bi-?(?:basilar|basal|apical|hilar|basal)|bibasilar)\b", re.I)
_PLURAL = re.compile(r"\b(?:lungs|bases|apices|effusions|hemithoraces|hila|angles|spaces|diaphragms)\b", re.I)
"""Both sides without the word."""


def report_faults(text: str, source: str) -> list[Fault]:
    """What is wrong with a curated text, given the report that it was made from."""
    if not text.strip():
        return [Fault("the text is empty", "")]
    return list(_faults(text, source))


def has_content(text: str) -> bool:
    """Whether a text says of anything that it is there, is normal or is not there."""
    return bool(findings(text))


def _faults(text: str, source: str) -> Iterator[Fault]:
    if left := comparisons(text):
        yield Fault("comparison language is left", _listed(text[m.start : m.end] for m in left))
    yield from _inventions(text, source)
    if words := [word for word in meta_text(text) if word.casefold() not in source.casefold()]:
        yield Fault("words that are not report text", _listed(words))
    if len(text) > _LONGER * len(source) + _SLACK:
        yield Fault("longer than the source", "")


def _inventions(text: str, source: str) -> Iterator[Fault]:
    said: dict[str, set[str]] = {}
    for finding in findings(source):
        for concept in acceptable(finding.concept):
            said.setdefault(concept, set()).add(finding.polarity)
    new, denied = [], []
    for finding in findings(text):
        polarities = said.get(finding.concept, set())
        if finding.polarity == "absent":
            if not polarities & {"absent", "uncertain"}:
                denied.append(finding.words)
        elif not polarities & {"present", "uncertain"}:
            new.append(finding.words)
    if new:
        yield Fault("a finding that the source does not have", _listed(new))
    if denied:
        yield Fault("a denial that the source does not have", _listed(denied))
    if numbers := [
        m[0] for m in _MEASURE.finditer(text) if _measure(m) not in set(map(_measure, _MEASURE.finditer(source)))
    ]:
        yield Fault("a measurement that the source does not have", _listed(numbers))
    sides = [side for side, words in _SIDES.items() if words.search(text) and not _has_side(source, side)]
    if _BOTH.search(text) and not _speaks_of_both(source):
        sides.append("bilateral")
    if sides:
        yield Fault("a side that the source does not have", _listed(sides))


def _measure(match: re.Match[str]) -> tuple[float, str]:
    return float(match[1]), match[2].casefold()[0]


def _has_side(source: str, side: str) -> bool:
    return bool(_SIDES[side].search(source) or _BOTH.search(source))


def _speaks_of_both(source: str) -> bool:
    return bool(_BOTH.search(source) or _PLURAL.search(source) or all(side.search(source) for side in _SIDES.values()))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
