"""Which finding a dialogue's words give to a box, and whether that is the annotation's.

In an answer, a box belongs to a name that stands before it (`the effusion at [..]`) or after it (`[..] is the
effusion`); several boxes share a name, or take several names in turn. Where the sentence names nothing, what was
spoken of last counts, or what the question is about. An answer is good if it can be read so that every box is beside a
name of its finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from radvlm_cli.language.findings import Finding, Side, findings, narrower
from radvlm_cli.language.sentences import split_sentences

MARK = "\N{LATIN LETTER BILABIAL CLICK}"
"""Stands for a box in a text: a letter, so that a sentence of nothing but a box is one, and in no word of English."""
_WORD = re.compile(r"[^\W\d_]{4,}")
_SAYS_NO_NAME = re.compile(
    r"left|right|both|bilateral|small|moderate|large|mild(?:ly)?|severe|minimal|lungs?|lobe|upper|lower|middle|bas(?:es?|al)"
    r"|apex|apical|zone|field|chest|image|there|this|that|these|those|with|within|from|into|seen|noted|visible|present"
    r"|which|where|here|have|also|more|some|other|another|side|sided|areas?|regions?|part|finding|marked|near|under|over"
    r"|above|below|beside|behind|between|adjacent|around"
)
"""Words of a phrase that say where or how large, but not what."""
_ADJOINING = re.compile(rf"[\s-]+(?:(?:{_SAYS_NO_NAME.pattern})[\s-]+)?")
"""What stands between two words of one name."""
_EVERYDAY = {
    "fluid": ("effusion", "edema"),
    "water": ("effusion", "edema"),
    "heart": ("cardiomegaly",),
    "cardiac": ("cardiomegaly",),
    "silhouette": ("cardiomegaly",),
    "collapse": ("pneumothorax", "atelectasis"),
    "collapsed": ("pneumothorax", "atelectasis"),
    "spot": ("nodule", "mass", "opacity", "granuloma"),
    "lump": ("nodule", "mass"),
    "tumour": ("mass",),
    "growth": ("nodule", "mass"),
    "broken": ("fracture",),
    "break": ("fracture",),
    "cloudy": ("opacity", "consolidation", "infiltrate"),
    "whiter": ("opacity", "consolidation", "infiltrate"),
    "aorta": ("aortic ectasia",),
    "aortic": ("aortic ectasia",),
    "spine": ("scoliosis", "degenerative change"),
    "wire": ("pacemaker", "sternotomy", "central line"),
}
"""What people call findings -> their concepts in findings.yaml, beside its own words."""
_LANDMARK = re.compile(
    r"\b(?:above|below|beneath|under|underneath|over|overlying|behind|beside|near|nearby|(?:next|adjacent|close|lateral"
    r"|medial|superior|inferior) to|(?:left|right) of|between|alongside)(?:\s+\w+){0,3}?\s*\Z",
    re.IGNORECASE,
)
"""What makes a name the place of something else: `just above the nodule`."""
_OF_THE_HEART = re.compile(r"\b(?:heart|cardiac)\s+\Z", re.IGNORECASE)
"""What makes a `shadow` or a `density` of the lexicon's one of the heart's own."""
_AS_SHOWN = re.compile(
    r"\b(?:left|right)\b[^.;]{0,30}\b(?:of the|in the|on the|your) (?:image|picture|screen|film)", re.IGNORECASE
)
"""A side of the picture, which is the patient's other one."""

Corners = tuple[str, ...]


class Annotated(NamedTuple):
    """A phrase of the annotation, and its boxes as they are quoted."""

    phrase: str
    boxes: frozenset[Corners]


class _Name(NamedTuple):
    """Words that name findings of the annotation."""

    places: frozenset[int]
    """Which of them."""
    landmark: bool


_Segment = tuple[_Name, ...]


def boxes_beside_other_names(
    questions: Sequence[str], answers: Sequence[tuple[str, Sequence[Corners]]], annotated: Sequence[Annotated]
) -> Iterator[tuple[Corners, str]]:
    """The boxes that stand beside no name of their finding, each with its phrase.

    Of an answer come the text, with MARK in the place of each box, and the boxes in order. Boxes that the annotation
    does not have, and those of phrases that hold no name, are passed over.
    """
    names = _Names([item.phrase for item in annotated])
    owners: dict[Corners, frozenset[int]] = {}
    for place, item in enumerate(annotated):
        owners |= {box: owners.get(box, frozenset()) | {place} for box in item.boxes}
    before: _Segment = ()
    for question, (answer, boxes) in zip(questions, answers, strict=True):
        asked = names.of(question)
        context = asked or before
        left = list(boxes)
        for sentence in split_sentences(answer):
            parts = [names.of(part) for part in sentence.split(MARK)]
            given, left = left[: len(parts) - 1], left[len(parts) - 1 :]
            wanted = [owners.get(box, frozenset()) for box in given]
            checked = [not names.unnamed(places) for places in wanted]
            if not _readable(parts, wanted, checked, context, asked):
                for box, places, named in zip(given, wanted, checked, strict=True):
                    if named:
                        yield box, annotated[min(places)].phrase
            context = tuple(name for part in parts for name in part) or context
        before = context


class _Names:
    """What the phrases of an annotation can be called."""

    def __init__(self, phrases: Sequence[str]) -> None:
        found = [findings(phrase) for phrase in phrases]
        self._concepts = [{finding.concept for finding in mentions} for mentions in found]
        self._sides: list[frozenset[Side]] = [frozenset().union(*(f.sides for f in mentions)) for mentions in found]
        words = [set(_telling_words(phrase)) for phrase in phrases]
        # A word of two phrases tells nothing where a concept does: `pleural effusion`, `pleural thickening`.
        self._words = [
            {word for word in own if not concepts or sum(word in other for other in words) == 1}
            for own, concepts in zip(words, self._concepts, strict=True)
        ]

    def unnamed(self, places: Iterable[int]) -> bool:
        """Whether one of some phrases, or all of none, cannot be called anything."""
        return not places or any(not self._concepts[place] and not self._words[place] for place in places)

    def of(self, text: str) -> _Segment:
        """The names in a text, in order."""
        as_shown = _AS_SHOWN.search(text) is not None
        found = [
            (mention.start, mention.end, places)
            for mention in findings(text)
            if not (mention.concept == "opacity" and _OF_THE_HEART.search(text[: mention.start]))
            and (places := self._called(mention, as_shown=as_shown))
        ]
        for match in _WORD.finditer(text):
            within = any(start <= match.start() < end for start, end, _places in found)
            if not within and (places := self._called_by_word(match[0].lower())):
                found.append((match.start(), match.end(), places))
        return tuple(
            _Name(places, _LANDMARK.search(text[:start]) is not None) for start, places in _one_by_one(text, found)
        )

    def _called(self, mention: Finding, *, as_shown: bool) -> frozenset[int]:
        """The phrases that a finding of the lexicon may be: of its concept, else of a wider or narrower one."""
        concept = mention.concept
        exact = [place for place, known in enumerate(self._concepts) if concept in known]
        places = exact or [place for place, known in enumerate(self._concepts) if _related(concept, known)]
        if mention.sides and not as_shown and len(places) > 1:
            there = [p for p in places if not self._sides[p] or self._sides[p] & mention.sides]
            places = there or places
        return frozenset(places)

    def _called_by_word(self, word: str) -> frozenset[int]:
        stem = word.removesuffix("s")
        concepts = {*_EVERYDAY.get(word, ()), *_EVERYDAY.get(stem, ())}
        return frozenset(
            place
            for place, (words, known) in enumerate(zip(self._words, self._concepts, strict=True))
            if stem in words or not concepts.isdisjoint(known)
        )


def _one_by_one(text: str, found: Iterable[tuple[int, int, frozenset[int]]]) -> Iterator[tuple[int, frozenset[int]]]:
    """Where each name starts, and what it may mean: what all its words may: `patchy lung opacity` is no nodule."""
    begun, last, meant = 0, -1, frozenset[int]()
    for start, end, places in sorted(found, key=lambda name: name[0]):
        if meant & places and _ADJOINING.fullmatch(text[last:start]):
            last, meant = end, meant & places
            continue
        if meant:
            yield begun, meant
        begun, last, meant = start, end, places
    if meant:
        yield begun, meant


@lru_cache(maxsize=10_000)
def _telling_words(phrase: str) -> tuple[str, ...]:
    words = _WORD.findall(phrase.lower())
    return tuple(word.removesuffix("s") for word in words if not _SAYS_NO_NAME.fullmatch(word))


def _related(concept: str, known: Iterable[str]) -> bool:
    return any(concept in narrower(other) or other in narrower(concept) for other in known)


def _readable(
    parts: Sequence[_Segment],
    wanted: Sequence[frozenset[int]],
    checked: Sequence[bool],
    context: _Segment,
    asked: _Segment,
) -> bool:
    """Whether a sentence, cut at its boxes, can be read so that each box that is checked has its own name."""
    if not any(checked):
        return True
    for keeps_landmarks in (False, True):
        kept = [tuple(n for n in part if keeps_landmarks or not n.landmark) for part in parts]
        spoken_of = [names for names in (context, asked) if _is_one(names) or not any(kept)]
        openings = [kept[0]] if kept[0] else [*spoken_of, ()]
        if any(_attaches((opening, *kept[1:]), wanted, checked) for opening in openings):
            return True
    return False


def _is_one(names: _Segment) -> bool:
    """Whether names may all mean the same one finding."""
    return bool(names) and bool(frozenset.intersection(*(name.places for name in names)))


def _attaches(parts: Sequence[_Segment], wanted: Sequence[frozenset[int]], checked: Sequence[bool]) -> bool:
    """Whether every box finds its name in the part before or after its group; no name serves both sides."""
    states = {0}  # how many names of the part before are taken
    start = 0
    while start < len(wanted):
        end = start + 1
        while end < len(wanted) and not parts[end]:
            end += 1
        group = [w for w, c in zip(wanted[start:end], checked[start:end], strict=True) if c]
        states = {
            taken
            for used in states
            for count in range(len(group) + 1)
            if _in_turn(group[:count], parts[start], used) is not None
            and (taken := _in_turn(group[count:], parts[end], 0)) is not None
        }
        start = end
    return bool(states)


def _in_turn(boxes: Sequence[frozenset[int]], names: _Segment, used: int) -> int | None:
    """How many names are taken once each box has one, later boxes no earlier one; None if one finds none."""
    place, taken = used, used
    for owners in boxes:
        while place < len(names) and names[place].places.isdisjoint(owners):
            place += 1
        if place == len(names):
            return None
        taken = place + 1
    return taken
