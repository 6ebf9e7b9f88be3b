"""What a dialogue about one image must be: 5 to 10 rounds, about what is seen, with exactly the annotation's boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from radvlm_cli.language import Fault, Scene
from radvlm_cli.language.box_names import MARK, Annotated, Corners, boxes_beside_other_names
from radvlm_cli.language.findings import findings
from radvlm_cli.language.temporal import comparisons
from radvlm_cli.records import Box, Turn

ROUNDS = (5, 10)
_REPORT = re.compile(
    r"\b(?:report(?:s|ed|edly|ing)?|(?:the|this|that|given|provided|above|on|in|by|from|per) descriptions?|according to"
    r"|as (?:described|stated|written)|as (?:noted|mentioned|indicated|listed) (?:in|by) the"
    r"|document(?:ed|s|ation)|dictat(?:ed|ion)|transcri(?:bed|pt|pts|ption)|(?:the|this|given|provided) text(?!-)"
    r"|labels|(?:the|this|given|provided) (?:label|list)|labell?ed (?:as|for|present|absent|positive|negative)"
    r"|listed|list of (?:abnormalit|finding|label)\w+|findings list"
    r"|(?:provided|given|supplied) (?:information|details|data|findings)"
    r"|(?:information|details|findings|data) (?:I was given|(?:is|are|was|were )?(?:provided|given|supplied))"
    r"|radiologists?(?:'s)? (?:has |have )?(?:wrote|written|writes?|not(?:ed|es)|sa(?:id|ys)|stat(?:ed|es)|describe[ds]"
    r"|mention(?:ed|s))|(?:findings|impression) (?:section|say|says|states?|mentions?|reads?)"
    r"|written findings|(?:as )?per the (?:findings|impression|notes?)"
    r"|annotat(?:ions?|ed|ors?)|ground[- ]truth|meta-?data|data ?sets?)\b",
    re.IGNORECASE,
)
"""`Reported` counts wherever it stands: nobody reports anything to who only looks. `A description`, `a label` on the
film, `information` and `as mentioned` are what people say in a conversation; whose they are makes them a fault."""
_MARKUP = re.compile(
    r"<image>|\[(?:image|img)\]|```|<\|[^|>]*\|>|\*\*|</?[a-z]\w*[^<>]*>|^#{1,6} |\]\(", re.IGNORECASE | re.MULTILINE
)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_BOX = re.compile(rf"\[\s*({_NUMBER}(?:\s*,\s*{_NUMBER})+)\s*\]")
"""`[1]` is a footnote, not a box."""
_PART = r"(?<![\d.])(?:[01]?\.\d+|[01])(?![\d.]*\d|%)"
_STRAY = re.compile(rf"(?:{_PART}(?:\s*[,;]\s*|\s+)){{3}}{_PART}|\b[xy]_?(?:min|max|[12](?=\s*[=:]))\b", re.IGNORECASE)
"""Coordinates that no reader of boxes would find: four fractions in a row outside brackets, or named."""
_PLACE = re.compile(
    r"\b(?:where\w*|locat\w+|locali[sz]\w+|(?:pin)?point\w*|show (?:me|us|it|this|that|these|them|where|on)"
    r"|position\w*|mark(?:ed|s)?|outlin\w+|box(?:es)?|coordinates?|places?|indicate|highlight|circle|draw|regions?|areas?"
    r"|(?:which|what) (?:part|side|lung|lobe|zone|spot|level)s?|find (?:it|this|that|these|them|the)"
    r"|see (?:it|this|that|these|them))\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^\W\d_]{4,}")
_NO_NAME = re.compile(
    r"left|right|both|bilateral|small|moderate|large|mild(?:ly)?|severe|minimal|lungs?|lobe|upper|lower|middle|bas(?:es?|al)"
    r"|apex|apical|zone|field|chest|image|there|this|that|these|with|within|from|seen|noted"
)
"""Words of a phrase that say where or how large, but not what."""


def quote_box(box: Box) -> str:
    """A box as dialogues quote it: two decimals."""
    return f"[{', '.join(_corners(box))}]"


def dialogue_faults(turns: Sequence[Turn], scene: Scene) -> list[Fault]:
    """What is wrong with a dialogue, given what it may speak of."""
    if any(turn.role != ("human", "gpt")[place % 2] for place, turn in enumerate(turns)) or len(turns) % 2:
        return [Fault("the turns do not alternate, human first", "")]
    return [*_form(turns), *wording_faults([turn.text for turn in turns]), *_boxes(turns, scene)]


def wording_faults(texts: Sequence[str]) -> Iterator[Fault]:
    """What no turn of any dialogue may say: comparisons, where its writer knows it from, markup."""
    if compared := [text[m.start : m.end] for text in texts for m in comparisons(text)]:
        yield Fault("comparison language is used", _listed(compared))
    if named := [m[0] for text in texts for m in _REPORT.finditer(text)]:
        yield Fault("the report is mentioned", _listed(named))
    if marks := [m[0] for text in texts for m in _MARKUP.finditer(text)]:
        yield Fault("an image token or markup is used", _listed(marks))


def has_coordinates(text: str) -> bool:
    """Whether a text gives coordinates, well written or not."""
    return bool(_BOX.search(text) or _STRAY.search(text))


@lru_cache(maxsize=10_000)  # reports say the same things
def sayable(text: str) -> bool:
    """Whether a turn may say a text of the annotation or report as it stands."""
    return bool(text.strip()) and not has_coordinates(text) and next(wording_faults([text]), None) is None


def _form(turns: Sequence[Turn]) -> Iterator[Fault]:
    if not ROUNDS[0] <= len(turns) // 2 <= ROUNDS[1]:
        yield Fault("fewer than 5 or more than 10 rounds", f"{len(turns) // 2} rounds")
    if not all(turn.text.strip() for turn in turns):
        yield Fault("a turn is empty", "")


def _boxes(turns: Sequence[Turn], scene: Scene) -> Iterator[Fault]:
    questions, answers = [t.text for t in turns[::2]], [t.text for t in turns[1::2]]
    if asked := [words for text in questions for words in (*map(_shown, _quoted(text)), *_stray(text))]:
        yield Fault("coordinates in a question", _listed(asked))
    given = {quoted for text in answers for quoted in _quoted(text)}
    stray = [words for text in answers for words in _stray(text)]
    if not scene.located:
        if given or stray:
            yield Fault("coordinates in a dialogue without boxes", _listed([*map(_shown, sorted(given)), *stray]))
        return
    if stray:
        yield Fault("coordinates that are not four numbers in brackets", _listed(stray))
    wanted = {_corners(box) for located in scene.located for box in located.boxes}
    if missing := wanted - given:
        yield Fault("a box of the annotation is missing", _listed(map(_shown, sorted(missing))))
    if invented := given - wanted:
        yield Fault("a box that the annotation does not have", _listed(map(_shown, sorted(invented))))
    if unasked := list(_unasked(questions, answers, scene)):
        yield Fault("a box is given that nobody asked about", _listed(map(_shown, unasked)))
    if misplaced := list(_misplaced(questions, answers, scene)):
        yield Fault("a box is not beside the name of its finding", _listed(misplaced))


def _unasked(questions: Sequence[str], answers: Sequence[str], scene: Scene) -> Iterator[Corners]:
    """The boxes of answers to questions that neither ask for a place nor name what the box is of."""
    for question, answer in zip(questions, answers, strict=True):
        if (quoted := _quoted(answer)) and not _PLACE.search(question):
            names = _names(question)
            named = {_corners(b) for located in scene.located if names & _names(located.phrase) for b in located.boxes}
            yield from (corners for corners in quoted if corners not in named)


def _misplaced(questions: Sequence[str], answers: Sequence[str], scene: Scene) -> Iterator[str]:
    """The boxes that another finding's name, or none, stands beside, with what they are of."""
    marked = [(_BOX.sub(MARK, answer.replace(MARK, " ")), _quoted(answer)) for answer in answers]
    annotated = [
        # What may not be said whole cannot be demanded as a name.
        Annotated(item.phrase if sayable(item.phrase) else "", frozenset(map(_corners, item.boxes)))
        for item in scene.located
    ]
    for corners, phrase in boxes_beside_other_names(questions, marked, annotated):
        yield f"{_shown(corners)} is of `{phrase}`"


def _names(text: str) -> set[str]:
    """What a text is about: findings of the lexicon, and its other telling words, singular."""
    words = {word for word in _NAME.findall(text.lower()) if not _NO_NAME.fullmatch(word)}
    return {finding.concept for finding in findings(text)} | {word.removesuffix("s") for word in words}


def _quoted(text: str) -> list[Corners]:
    return [tuple(_two_decimals(number.strip()) for number in match[1].split(",")) for match in _BOX.finditer(text)]


def _two_decimals(number: str) -> str:
    """`0.5` as `0.50`; more decimals than the annotation was given with stay as they are, and so equal nothing."""
    value = float(number)
    return f"{value:.2f}" if round(value, 2) == value else number


def _stray(text: str) -> list[str]:
    return [match[0] for match in _STRAY.finditer(_BOX.sub(" | ", text))]


def _corners(box: Box) -> Corners:
    return tuple(f"{corner:.2f}" for corner in box)


def _shown(corners: Corners) -> str:
    return f"[{', '.join(corners)}]"


def _listed(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))
