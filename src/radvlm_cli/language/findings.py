"""What a report says is there, is not there, or may be there: concepts, with clause-scoped negation and doubt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal, NamedTuple

from radvlm_cli.language.sentences import stretches

Polarity = Literal["present", "absent", "uncertain"]
Side = Literal["left", "right"]


class Finding(NamedTuple):
    """One mention of a concept."""

    concept: str
    """As in findings.yaml: `effusion`, `clear lungs`."""
    polarity: Polarity
    start: int
    end: int
    sides: frozenset[Side] = frozenset()
    """The sides that its clause names; empty where none is named."""


def findings(text: str) -> list[Finding]:
    """List the mentions of findings, normal states and devices, in order."""
    return [
        Finding(f.concept, f.polarity, start + f.start, start + f.end, f.sides)
        for start, words in stretches(text)
        for f in findings_in(words)
    ]


@lru_cache(maxsize=10_000)
def findings_in(stretch: str) -> tuple[Finding, ...]:
    """List what `findings` lists of one stretch (sentences.stretches); remembers what it has read last."""
    found: list[Finding] = []
    for start, words in _parts(stretch):
        found += (Finding(f.concept, f.polarity, start + f.start, start + f.end, f.sides) for f in _in_part(words))
    return tuple(found)


def narrower(concept: str) -> frozenset[str]:
    """The concept and all that it is the wider word for: `opacity` for `pneumonia`."""
    return _lexicon().narrower.get(concept, frozenset((concept,)))


def denied_by(state: str) -> tuple[str, ...]:
    """What a normal state denies: `clear lungs` denies `opacity`."""
    return _lexicon().entails.get(state, ())


_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
"""str.lower may change the length of a text."""
_NAMED = r"(?:Kerley|Swan|Hickman|Broviac|Groshong|Dobb?hoff|Bochdalek|Morgagni|Harrington|Schmorl|Port)"
_STOP = re.compile(
    r"[.!?](?!\d)|[;:]|\n\s*\n|\n\s*[-*\u2022]\s|,\s+(?=(?i:and\s+)?(?i:the|there|this|these|an?)\s)"
    rf"|\s+(?=(?!{_NAMED})[A-Z][a-z]+(?:\s+[a-z]|\.))"
)
"""What ends a clause: punctuation, a bullet; a comma, or a capital, where a new sentence seems to start without one."""
_WORD = re.compile(r"[a-z]+")

_BLANK = r"[\s'-]+"
_COPULA = r"(?:is|are|was|were|be|appears?|remains?|looks?|demonstrates?|shows?|has|have|becomes?)\b"
_NO_GAP = rf"(?:{_COPULA}|(?:with|without|no|but|there|which|however|except)\b)"
_GAP = rf"(?:{_BLANK}(?!{_NO_GAP})\w+){{0,3}}?{_BLANK}"
_SUBJECT_REST = rf"(?:,?{_BLANK}(?!{_NO_GAP})\w+){{0,8}}?"
_ADVERBS = (
    r"(?:\w+ly|not|at|within|in|of|the|overall|stable|unchanged|otherwise|still|again|both|also|and|well|all|quite|very"
    r"|to|be|now|new|similar|comparison|prior|previous|exam|study|midline|size|contour|borderline|top"
    r"|somewhat|upper|limits?|towards?|mild|moderate|severe|marked|expanded|inflated|aerated)\b"
)
_IS = rf"{_SUBJECT_REST}(?:,?{_BLANK}{_COPULA}(?:{_BLANK}{_ADVERBS}){{0,7}}?)?,?{_BLANK}"
_OF = rf"(?:{_BLANK}(?!{_NO_GAP})\w+){{0,5}}?{_BLANK}(?!\w+(?:{_BLANK}\w+){{0,2}}?{_BLANK}{_COPULA})"
_NOT_WITHIN = re.compile(r"\b(?:not|nor|neither|never)\b")
_DOUBT_WITHIN = re.compile(r"\b(?:may|might|could|possibly|probably|likely|borderline|top|upper)\b")

_OPPOSITE: dict[Polarity, Polarity] = {"present": "absent", "absent": "present", "uncertain": "uncertain"}


class _Term(NamedTuple):
    kind: str
    """`concept`, `denial`, or the name of a cue."""
    concept: str
    phrase: str

    @property
    def predicates(self) -> bool:
        """Whether it leads from a subject to what is said of it, or back; its words may belong to other terms too."""
        return "=" in self.phrase or "+" in self.phrase


class _Event(NamedTuple):
    kind: str
    concept: str
    start: int
    end: int
    polarity: Polarity | None = None
    """Where the words themselves decide it."""


class _Clause:
    """The stretch of text over which a negation, a doubt and a side reach."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._polarity: Polarity = "present"
        self._sides: set[Side] = set()

    def hear(self, event: _Event) -> None:
        match event.kind:
            case "concept" | "denial":
                polarity = event.polarity or self._polarity
                said = _OPPOSITE[polarity] if event.kind == "denial" else polarity
                self._found.append(Finding(event.concept, said, event.start, event.end))
            case "negation":
                self._polarity = "absent"
            case "doubt" if self._polarity == "present":
                self._polarity = "uncertain"
            case "verb" if self._polarity == "absent":  # `No effusion is seen and the heart ...`
                self._polarity = "present"
            case "negated":
                self._found = [f._replace(polarity="absent") for f in self._found]
            case "doubted":
                self._doubt_what_was_found()
            case "either":
                self._doubt_what_was_found()
                self._polarity = "absent" if self._polarity == "absent" else "uncertain"
            case "left" | "right" as side:
                self._sides.add(side)
            case "both":
                self._sides |= {"left", "right"}

    def _doubt_what_was_found(self) -> None:
        self._found = [f._replace(polarity="uncertain") if f.polarity == "present" else f for f in self._found]

    def findings(self) -> list[Finding]:
        sides = frozenset(self._sides)
        return [Finding(f.concept, f.polarity, f.start, f.end, sides) for f in self._found] if sides else self._found


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut at the stops: where a part starts, and the part."""
    start = 0
    for stop in _STOP.finditer(text):
        yield start, text[start : stop.start()]
        start = stop.end()
    yield start, text[start:]


def _in_part(words: str) -> list[Finding]:
    found: list[Finding] = []
    clause = _Clause()
    for event in _events(words.translate(_LOWER)):
        if event.kind == "end":
            found += clause.findings()
            clause = _Clause()
        else:
            clause.hear(event)
    return found + clause.findings()


def _events(text: str) -> Iterator[_Event]:
    """Go through the words once; what starts with none of the lexicon's first words costs one look-up."""
    choices = _lexicon().choices
    taken = 0
    for token in _WORD.finditer(text):
        if not (choice := choices.get(token[0])):
            continue
        start = token.start()
        for term, pattern in choice.predicates:
            if match := pattern.match(text, token.end()):
                yield _Event(term.kind, term.concept, start, match.end(), _polarity_within(match[0]))
        if start >= taken and choice.pattern and (match := choice.pattern.match(text, token.end())):
            term = choice.terms[(match.lastindex or 1) - 1]
            taken = match.end()
            yield _Event(term.kind, term.concept, start, taken)


def _polarity_within(words: str) -> Polarity:
    if _NOT_WITHIN.search(words):
        return "absent"
    return "uncertain" if _DOUBT_WITHIN.search(words) else "present"


class _Choice(NamedTuple):
    """Terms that start with the same word."""

    pattern: re.Pattern[str] | None
    """All but the predicates, of which the longest counts; the empty group that took part tells which one matched."""
    terms: tuple[_Term, ...]
    """Of the pattern's groups, in order."""
    predicates: tuple[tuple[_Term, re.Pattern[str]], ...]
    """All of them count."""


class _Lexicon(NamedTuple):
    choices: Mapping[str, _Choice]
    """By first word."""
    narrower: Mapping[str, frozenset[str]]
    entails: Mapping[str, tuple[str, ...]]


@cache
def _lexicon() -> _Lexicon:
    import yaml  # here: the commands that read no report start without it

    table: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("findings.yaml").read_text(encoding="utf-8"))
    by_word: dict[str, list[tuple[_Term, str]]] = {}
    for term in _terms(table):
        for word, rest in _spelled_out(term.phrase):
            by_word.setdefault(word, []).append((term, rest))
    choices = {word: _choice(pairs) for word, pairs in by_word.items()}
    wider = {concept: _closure(concept, table["is_a"]) for concept in table["is_a"]}
    return _Lexicon(choices, wider, {state: tuple(denied) for state, denied in table["entails"].items()})


def _terms(table: Mapping[str, Any]) -> Iterator[_Term]:
    named = chain(
        (("concept", name, phrases) for name, phrases in table["concepts"].items()),
        (("denial", name, phrases) for name, phrases in table["denials"].items()),
        ((cue, "", phrases) for cue, phrases in table["cues"].items()),
    )
    return (_Term(kind, name, phrase) for kind, name, phrases in named for phrase in phrases)


def _choice(pairs: list[tuple[_Term, str]]) -> _Choice:
    predicates = tuple((term, re.compile(rest)) for term, rest in pairs if term.predicates)
    plain = [pair for pair in pairs if not pair[0].predicates]
    plain.sort(key=lambda pair: (-pair[1].count(_BLANK), -len(pair[1])))  # more words first
    pattern = re.compile("|".join(f"{rest}()" for _, rest in plain)) if plain else None
    return _Choice(pattern, tuple(term for term, _ in plain), predicates)


def _spelled_out(phrase: str) -> Iterator[tuple[str, str]]:
    """Each word that a phrase may start with, and the pattern of what follows it."""
    first, _, rest = phrase.partition(") ") if phrase.startswith("(") else phrase.partition(" ")
    for word in first.strip("()").split("|"):
        head, _, tail = word.partition(" ")
        words = f"{tail} {rest}".strip()
        if words:
            yield head, _pattern(words) + _END
        else:
            yield from ((form, _END) for form in _plurals(head))


_END = r"(?![a-z])"


def _pattern(words: str) -> str:
    *others, last = re.split(r" (?![^(]*\))", words)
    last = re.sub(r"y(?=$|[|)])", "(?:y|ies)", last) + "(?:s|es)?"
    pattern = " " + " ".join((*others, last)).replace("(", "(?:").replace("(?:?:", "(?:")
    return pattern.replace(" ~ ", _GAP).replace(" = ", _IS).replace(" + ", _OF).replace(" ", _BLANK)


def _plurals(word: str) -> tuple[str, ...]:
    return (word, f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies")


def _closure(concept: str, is_a: Mapping[str, list[str]]) -> frozenset[str]:
    """All that a concept is the wider word for, over any number of steps."""
    below, open_ends = {concept}, [concept]
    while open_ends:
        new = [c for c in is_a.get(open_ends.pop(), ()) if c not in below]
        below.update(new)
        open_ends += new
    return frozenset(below)
