"""What a dialogue about one image must be: 5 to 10 rounds, about what is seen, with exactly the annotation's boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from radvlm_cli.language import Fault, Scene
from radvlm_cli.language.temporal import comparisons
from radvlm_cli.records import Box, Turn

ROUNDS = (5, 10)
_REPORT = re.compile(
    r"\b(?:report(?:s|ed|ing)?|description|according to|as (?:described|documented|stated|noted in|mentioned in)"
    r"|documented|dictat\w+|transcri\w+|(?:the|this|given|provided) (?:text|labels?|list|annotations?|information)"
    r"|radiologist(?:'s)? (?:wrote|notes?|says|said|described)|findings section|impression section|metadata|dataset)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<image>|```|<\|[^|>]*\|>|\*\*|</?\w+>", re.IGNORECASE)
_BOX = re.compile(r"\[\s*(-?\d*\.?\d+(?:\s*,\s*-?\d*\.?\d+)*)\s*\]")
_PLACE = re.compile(
    r"\b(?:where|locat\w+|point|show|position\w*|mark\w*|outline|box\w*|coordinates?|which (?:part|side|area|lung)"
    r"|place|indicate|highlight|find|region|area|see (?:it|that|this))\b",
    re.IGNORECASE,
)

Corners = tuple[str, ...]


def quote_box(box: Box) -> str:
    """A box as dialogues quote it: two decimals."""
    return f"[{', '.join(_corners(box))}]"


def dialogue_faults(turns: Sequence[Turn], scene: Scene) -> list[Fault]:
    """What is wrong with a dialogue, given what it may speak of."""
    if any(turn.role != ("human", "gpt")[place % 2] for place, turn in enumerate(turns)) or len(turns) % 2:
        return [Fault("the turns do not alternate, human first", "")]
    return [*_form(turns), *_words(turns), *_boxes(turns, scene)]


def _form(turns: Sequence[Turn]) -> Iterator[Fault]:
    if not ROUNDS[0] <= len(turns) // 2 <= ROUNDS[1]:
        yield Fault("fewer than 5 or more than 10 rounds", f"{len(turns) // 2} rounds")
    if not all(turn.text.strip() for turn in turns):
        yield Fault("a turn is empty", "")


def _words(turns: Sequence[Turn]) -> Iterator[Fault]:
    texts = [turn.text for turn in turns]
    if compared := [text[m.start : m.end] for text in texts for m in comparisons(text)]:
        yield Fault("comparison language is used", _listed(compared))
    if named := [m[0] for text in texts for m in _REPORT.finditer(text)]:
        yield Fault("the report is mentioned", _listed(named))
    if marks := [m[0] for text in texts for m in _MARKUP.finditer(text)]:
        yield Fault("an image token or markup is used", _listed(marks))


def _boxes(turns: Sequence[Turn], scene: Scene) -> Iterator[Fault]:
    questions, answers = [t.text for t in turns[::2]], [t.text for t in turns[1::2]]
    if asked := [quoted for text in questions for quoted in _quoted(text)]:
        yield Fault("coordinates in a question", _listed(map(_shown, asked)))
    given = {quoted for text in answers for quoted in _quoted(text)}
    wanted = {_corners(box) for located in scene.located for box in located.boxes}
    if given and not scene.located:
        yield Fault("coordinates in a dialogue without boxes", _listed(map(_shown, sorted(given))))
        return
    if missing := wanted - given:
        yield Fault("a box of the annotation is missing", _listed(map(_shown, sorted(missing))))
    if invented := given - wanted:
        yield Fault("a box that the annotation does not have", _listed(map(_shown, sorted(invented))))
    unasked = [
        _shown(quoted)
        for question, answer in zip(questions, answers, strict=True)
        if not _PLACE.search(question)
        for quoted in _quoted(answer)
    ]
    if unasked:
        yield Fault("a box is given that nobody asked about", _listed(unasked))


def _quoted(text: str) -> list[Corners]:
    """The bracketed lists of numbers in a text, to two decimals; `[1]` is a footnote, not a box."""
    found = []
    for match in _BOX.finditer(text):
        numbers = [float(number) for number in match[1].split(",")]
        if len(numbers) > 1:
            found.append(tuple(f"{number:.2f}" for number in numbers))
    return found


def _corners(box: Box) -> Corners:
    return tuple(f"{corner:.2f}" for corner in box)


def _shown(corners: Corners) -> str:
    return f"[{', '.join(corners)}]"


def _listed(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))
