"""What a report says is there, is not there, or may be there: concepts with clause-scoped negation and doubt."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from radvlm_cli.language.lexicon import CONCEPTS, IS_A, NORMAL
from radvlm_cli.language.sentences import split_sentences

Polarity = Literal["present", "absent", "uncertain"]


class Finding(NamedTuple):
    """One mention of a concept."""

    concept: str
    """A key of lexicon.CONCEPTS, or `clear lungs`, `normal bones`, `normal chest`."""
    polarity: Polarity
    words: str


def _pattern(alternatives: tuple[str, ...]) -> str:
    return "|".join(alternatives).replace(" ", r"\s+")


_CONCEPTS = {
    concept: re.compile(rf"(?<![a-z])(?:{_pattern(words)})(?![a-z])", re.I) for concept, words in CONCEPTS.items()
}
_NORMAL = [
    (concept, re.compile(rf"(?<![a-z])(?:{_pattern(words)})(?![a-z])", re.I)) for concept, words in NORMAL.values()
]
_SELF_STATED = {concept for concept, _words in NORMAL.values() if concept not in CONCEPTS}
_CLAUSE = re.compile(
    r"[;:]|,?\s+(?:but|however|although|though|while|whereas|except(?: for)?|aside from|other than|apart from"
    r"|which|with)\s+|,\s+(?:and\s+)?(?=(?:there|the|this|a|an|mild|moderate|small|large|left|right|bilateral)\s)",
    re.I,
)
_NEGATION = re.compile(
    r"\b(?:no|not|without|negative for|free of|clear of|absen(?:t|ce of)|neither|nor|denies|rather than|ruled? out|"
    r"exclud(?:e|es|ed)|lack of|fails to|never|none|resolved|resolution of)\b",
    re.I,
)
_NOT_NEGATION = re.compile(
    r"\b(?:cannot|can not|can't|could not|not)\s+(?:be\s+)?(?:entirely\s+|completely\s+)?"
    r"(?:exclude|excluded|ruled? out)\b"
    r"|\bno(?:t)?\s+(?:significant\s+|definite\s+)?change\b|\bnot only\b|\bnot\s+(?:well|fully|completely)\b",
    re.I,
)
_DOUBT = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|may|might|could|cannot|can not|can't|likely|suggest\w*|suspicio\w+|suspect\w*|"
    r"question\w*|versus|vs|concern\w*|consider|differential|consistent with|compatible with|represent\w*|equivocal|"
    r"exclude[ds]?|rule out|if|evaluat\w+|assess\w*|apparent|presum\w+)\b",
    re.I,
)
_ENDS_NEGATION = re.compile(r"\b(?:is|are|was|were|has|have|seen|noted|present|there)\b", re.I)
_NEGATED_AFTER = re.compile(
    r"^[^.;]{0,40}?\b(?:is|are|was|were|has been|have been)\s+(?:not\s+(?:seen|identified|present|visuali[sz]ed|"
    r"evident|appreciated|demonstrated)|absent|excluded|ruled out|resolved)",
    re.I,
)


def findings(text: str) -> list[Finding]:
    """Every mention of a concept, sentence by sentence."""
    return [finding for sentence in split_sentences(text) for finding in _in_sentence(sentence)]


@lru_cache(maxsize=50_000)  # reports say the same things, and a curated text the same as its source
def _in_sentence(sentence: str) -> tuple[Finding, ...]:
    found = [
        Finding(concept, _normal(concept), m[0]) for concept, pattern in _NORMAL for m in pattern.finditer(sentence)
    ]
    for clause in _clauses(sentence):
        for concept, pattern in _CONCEPTS.items():
            for match in pattern.finditer(clause):
                found.append(Finding(concept, _polarity(clause, match.start(), match.end()), match[0]))
    return tuple(found)


def _normal(concept: str) -> Polarity:
    return "present" if concept in _SELF_STATED else "absent"


def _clauses(sentence: str) -> list[str]:
    """The parts of a sentence over which a negation reaches; a list after `no` stays together."""
    parts, start = [], 0
    for cut in _CLAUSE.finditer(sentence):
        parts.append(sentence[start : cut.start()])
        start = cut.start() + (1 if cut[0][0] in ",;:" else 0)
    parts.append(sentence[start:])
    return parts


def _polarity(clause: str, start: int, end: int) -> Polarity:
    before = clause[:start]
    hidden = _NOT_NEGATION.sub(lambda m: " " * len(m[0]), clause)
    negations = list(_NEGATION.finditer(hidden[:start]))
    if negations and not _ENDS_NEGATION.search(before[negations[-1].end() :]):
        return "absent"
    if _NEGATED_AFTER.match(hidden[end:]):
        return "absent"
    return "uncertain" if _DOUBT.search(clause) else "present"


def acceptable(concept: str) -> frozenset[str]:
    """The concept and those that a faithful paraphrase may put in its place, either way."""
    return _ACCEPTABLE[concept]


_ACCEPTABLE = {
    concept: frozenset((concept, *IS_A.get(concept, ()), *(narrow for narrow, wide in IS_A.items() if concept in wide)))
    for concept in (*CONCEPTS, *_SELF_STATED)
}
