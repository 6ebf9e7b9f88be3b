"""What a text made from a report must not do: compare, say what the report doesn't, or talk about itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from radvlm_cli.language import Fault
from radvlm_cli.language.findings import Finding, denied_by, findings, findings_in, narrower
from radvlm_cli.language.meta import meta_text
from radvlm_cli.language.sentences import split_sentences, stretches
from radvlm_cli.language.temporal import comparisons

_LONGER = 1.2
_SLACK = 40
"""Characters that a short text may grow by."""
_MEASURE = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)?(?:\s*(?:x|by|to|-)\s*\d+(?:\.\d+)?){0,3})\s*-?\s*"
    r"(?P<unit>mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|degrees?|%|percent)(?!\w)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_BOTH = r"bilateral(?:ly)?|both|bi-?(?:basilar|basal|apical|hilar)"
_SIDES = {
    "left": re.compile(r"\b(?:left(?:ward)?|l[ul]l)\b", re.IGNORECASE),
    "right": re.compile(r"\b(?:right(?:ward)?|r[uml]l)\b", re.IGNORECASE),
    "both": re.compile(rf"\b(?:{_BOTH})\b", re.IGNORECASE),
    "pair": re.compile(
        r"\b(?:lungs|bases|apices|effusions|hemithoraces|hila|angles|sulci|pleural spaces|(?:hemi)?diaphragms)\b",
        re.IGNORECASE,
    ),
}
"""`pair`: what has both sides without saying so."""
_LONG_WORD = re.compile(r"[a-z]{7,}")
_SAME_WORD = 0.87
"""One letter of eight or more dropped, doubled or swapped (difflib's ratio); effusion and infusion are at 0.75."""
_STATE = re.compile(r"\b(?:normal|unremarkable|clear|intact|negative|abnormal)\b", re.IGNORECASE)


def report_faults(text: str, source: str) -> list[Fault]:
    """List what is wrong with a text that was made from a report by taking the comparisons out."""
    if not text.strip():
        return [Fault("the text is empty", "")]
    return list(_faults(text, source))


def unsupported(text: str, source: str) -> list[Fault]:
    """List what a text says that its source doesn't: findings, denials, measurements, sides."""
    said = _stretches(source)
    if not (own := [words for words in _stretches(text) if words not in said]):
        return []  # what stands in the source word for word says nothing that the source doesn't
    return [*_findings(text, own, source), *_measures(own, said), *_sides(own, said)]


def lost(text: str, source: str) -> list[Fault]:
    """List what is left out: findings and devices of source sentences that compare nothing, which the text ignores."""
    own = [finding for finding in findings(text) if finding.polarity != "absent"]
    said = frozenset().union(*(narrower(f.concept) for f in own), (f.concept for f in own))
    missing = [
        words
        for sentence in split_sentences(source)
        for concept, words in _asserted_in(sentence)
        if concept not in said and said.isdisjoint(narrower(concept))
    ]
    return [Fault("a finding of the source is lost", _listed(missing))] if missing else []


@lru_cache(maxsize=10_000)
def _asserted_in(sentence: str) -> tuple[tuple[str, str], ...]:
    """Concept and words of what a sentence says is there; nothing of one that compares, or of a normal state."""
    if comparisons(sentence):
        return ()
    present = [f for f in findings(sentence) if f.polarity == "present" and not denied_by(f.concept)]
    return tuple((f.concept, sentence[f.start : f.end]) for f in present)


def has_content(source: str) -> bool:
    """Whether a report says of anything that it is there, is normal, or isn't there."""
    return bool(_STATE.search(source) or any(map(findings_in, _stretches(source))))


def _faults(text: str, source: str) -> Iterator[Fault]:
    if left := comparisons(text):
        yield Fault("comparison language is left", _listed(text[m.start : m.end] for m in left))
    yield from unsupported(text, source)
    if words := [word for word in meta_text(text) if word.casefold() not in source.casefold()]:
        yield Fault("words that are not report text", _listed(words))
    if len(text) > _LONGER * len(source) + _SLACK:
        yield Fault("longer than the source", "")
    yield from lost(text, source)


def _stretches(text: str) -> dict[str, None]:
    """The stretches of a text in order, each once."""
    return dict.fromkeys(words for _, words in stretches(text))


def _findings(text: str, own: Iterable[str], source: str) -> Iterator[Fault]:
    if faults := list(_findings_beyond(own, source)):
        faults = list(_findings_beyond(own, _spelled_like(text, source)))
    return iter(faults)


def _spelled_like(text: str, source: str) -> str:
    """The source with those of its words that are no terms spelled as the text spells them: `atelectsis`."""
    known, given = (set(_LONG_WORD.findall(t.casefold())) for t in (source, text))
    for word in sorted(given - known):
        strange = [w for w in sorted(known - given) if not findings(w)]
        for near in get_close_matches(word, strange, n=1, cutoff=_SAME_WORD):
            source = re.sub(rf"\b{near}\b", word, source, flags=re.IGNORECASE)
    return source


def _findings_beyond(own: Iterable[str], source: str) -> Iterator[Fault]:
    said = findings(source)
    alike = {(f.concept, f.polarity, f.sides) for f in said}
    asserted, denied, misplaced = [], [], []
    for stretch, finding in [(words, finding) for words in own for finding in findings_in(words)]:
        if (finding.concept, finding.polarity, finding.sides) in alike:
            continue  # the most of them; the rest of this loop would pass it, too
        words = stretch[finding.start : finding.end]
        if finding.polarity == "absent":
            if not any(_denies(other, finding.concept) for other in said):
                denied.append(words)
        elif not (grounds := [f for f in said if f.polarity != "absent" and f.concept in narrower(finding.concept)]):
            asserted.append(words)
        elif all(f.sides for f in grounds) and not finding.sides <= frozenset().union(*(f.sides for f in grounds)):
            misplaced.append(words)
    if asserted:
        yield Fault("a finding that the source does not have", _listed(asserted))
    if denied:
        yield Fault("a denial that the source does not have", _listed(denied))
    if misplaced:
        yield Fault("a finding on a side where the source does not have it", _listed(misplaced))


def _denies(finding: Finding, concept: str) -> bool:
    """Whether it denies the concept, or one that includes it, or is in doubt about it."""
    if finding.polarity == "uncertain":
        return finding.concept == concept
    if finding.polarity == "absent":
        return concept in narrower(finding.concept)
    return any(concept in narrower(denied) for denied in denied_by(finding.concept))


def _measures(own: Iterable[str], said: Iterable[str]) -> Iterator[Fault]:
    if not (given := [measure for words in own for measure in _measures_in(words)]):
        return
    known = {value for words in said for measure in _measures_in(words) for value in measure.values}
    if new := [measure.words for measure in given if not known.issuperset(measure.values)]:
        yield Fault("a measurement that the source does not have", _listed(new))


class _Measure(NamedTuple):
    words: str
    values: frozenset[tuple[float, str]]
    """Its numbers with the unit, lengths in millimetres: 1.2 x 3 cm and 12 mm x 30 mm are the same."""


@lru_cache(maxsize=10_000)
def _measures_in(stretch: str) -> tuple[_Measure, ...]:
    return tuple(_Measure(match[0], _values(match)) for match in _MEASURE.finditer(stretch))


def _values(match: re.Match[str]) -> frozenset[tuple[float, str]]:
    unit = {"p": "%"}.get(match["unit"][0].lower(), match["unit"][0].lower())
    scale, unit = (10, "m") if unit == "c" else (1, unit)
    return frozenset((round(float(number) * scale, 3), unit) for number in _NUMBER.findall(match["numbers"]))


def _sides(own: Iterable[str], said: Iterable[str]) -> Iterator[Fault]:
    if not (named := _sides_of(own)):
        return
    known = _sides_of(said)
    if "both" in known:
        known |= {"left", "right"}
    if {"left", "right"} <= known or "pair" in known:
        known |= {"both"}
    if new := [side for side in _SIDES if side != "pair" and side in named - known]:
        yield Fault("a side that the source does not have", ", ".join(new))


def _sides_of(texts: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*map(_sides_in, texts))


@lru_cache(maxsize=10_000)
def _sides_in(stretch: str) -> frozenset[str]:
    return frozenset(side for side, pattern in _SIDES.items() if pattern.search(stretch))


def _listed(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))
