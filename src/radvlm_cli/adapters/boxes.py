"""How models write boxes: one codec for each form, to read what was said and to write what could be.

Reading takes text as models give it - cut off, with spaces or without, in code fences, nested - and never raises. A
place that looks like a box and is none is counted, never guessed at: corners in the wrong order, no area, a number that
is none, other units. What lies outside the image by less than half of it is clipped; further out it is another unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from radvlm_cli.adapters.protocol import BoxCodec, ReadBoxes
from radvlm_cli.errors import ConfigError
from radvlm_cli.records import Box

Size = tuple[int, int]
"""Width and height, pixels."""
Corners = tuple[float, float, float, float]

_OUTSIDE = 0.5
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMBERLIKE = re.compile(r"[-+]?(?:\.?[0-9].*|nan|inf|infinity)", re.IGNORECASE | re.DOTALL)
_BRACKETS = re.compile(r"\[(?P<square>[^\[\]]*)(?P<closed>\])?|\((?P<round>[^()\[\]]*)\)")
_POINTS = re.compile(r"\(([^()<>]*)\)(?:\s*,)?\s*\(([^()<>]*)\)")
_LONE_POINT = re.compile(r"\(([^()<>]*)(?:\)(?:(?:\s*,)?\s*\([^()<>]*$)?|$)")
_TAGGED = re.compile(r"<\|box\|>(.*?)(?=<\|/box\|>|<\|box\|>|$)", re.DOTALL)
_CELLS = re.compile(r"<box>((?:\s*<[xy][0-9]+>)*)|((?:<[xy][0-9]+>\s*)+)")
_CELL = re.compile(r"<([xy])([0-9]+)>")
_CROP = 100
"""Cells along the side of the square that MAIRA-2 sees."""


def codec(name: str) -> BoxCodec:
    """The codec of that name. ConfigError where there is none."""
    if name not in CODECS:
        raise ConfigError(f"There is no form of boxes {name!r}; known are {', '.join(CODECS)}.")
    return CODECS[name]


class _Units(Protocol):
    """How far the numbers of a form go along width and height."""

    def __call__(self, size: Size, seen: Size | None) -> Size: ...


def _relative(steps: int) -> _Units:
    return lambda size, seen: (steps, steps)


def _pixels(size: Size, seen: Size | None) -> Size:
    return seen or size


@dataclass
class Bracketed:
    """Four numbers in square brackets, within whatever text or JSON."""

    name: str
    units: _Units
    text: str
    """How one box is written, with {0} to {3} in this form's order."""
    joined: str
    """How several are joined: `words` ("a, b and c") or `json`."""
    y_first: bool = False
    decimals: int = 0
    version: int = 1

    def read(self, text: str, size: Size, seen: Size | None) -> ReadBoxes:
        """See BoxCodec."""
        wide, high = self._ends(size, seen)
        return _settled(self._corners(group, wide, high) for group in _groups(text))

    def _ends(self, size: Size, seen: Size | None) -> tuple[float, float]:
        wide, high = self.units(size, seen)
        # With decimals the numbers are 0-1 themselves; the units are the grid that they are written on.
        return (1, 1) if self.decimals else (wide, high)

    def _corners(self, numbers: list[float] | None, wide: float, high: float) -> Corners | None:
        if numbers is None or len(numbers) != 4:
            return None
        if wide < 1 or high < 1:
            return None
        if wide > 1 and max(numbers) <= 1 and any(number % 1 for number in numbers):
            return None  # fractions of the image, in a form of whole numbers
        first, second, third, fourth = numbers
        if self.y_first:
            first, second, third, fourth = second, first, fourth, third
        return first / wide, second / high, third / wide, fourth / high

    def write(self, boxes: Sequence[Box], size: Size, seen: Size | None) -> str:
        """See BoxCodec."""
        wide, high = self.units(size, seen)
        written = []
        for box in boxes:
            left, right = _ends_on_grid(box.x_min, box.x_max, wide)
            top, bottom = _ends_on_grid(box.y_min, box.y_max, high)
            ends = (top, left, bottom, right) if self.y_first else (left, top, right, bottom)
            shown = [f"{end / wide:.{self.decimals}f}" if self.decimals else str(end) for end in ends]
            written.append(self.text.format(*shown))
        return f"[{', '.join(written)}]" if self.joined == "json" else _in_words(written)


@dataclass
class TwoPoints:
    """CheXagent: `<|box|> (x1,y1),(x2,y2) <|/box|>`, hundredths of the whole image; decoding may lose the tags."""

    name: str = "chexagent"
    version: int = 1

    def read(self, text: str, size: Size, seen: Size | None) -> ReadBoxes:
        """See BoxCodec."""
        tagged = [match[1] for match in _TAGGED.finditer(text)]
        return _settled(corners for part in tagged or [text] for corners in self._found(part, tagged=bool(tagged)))

    def _found(self, part: str, *, tagged: bool) -> Iterator[Corners | None]:
        pairs = [match.groups() for match in _POINTS.finditer(part)]
        # A point without a second one is a box cut off.
        lone = list(_LONE_POINT.finditer(_POINTS.sub(" ", part)))
        if not tagged:
            # Round brackets also stand in prose.
            pairs = [pair for pair in pairs if all(_is_numberlike(inner.strip()) for inner in pair)]
            lone = [each for each in lone if _is_numberlike(each[1].strip()) and _is_point(each)]
        for first, second in pairs:
            one, other = _numbers(first) or [], _numbers(second) or []
            yield _hundredths([*one, *other]) if len(one) == len(other) == 2 else None
        if lone or (tagged and not pairs):
            yield from [None] * max(1, len(lone))

    def write(self, boxes: Sequence[Box], size: Size, seen: Size | None) -> str:
        """See BoxCodec."""
        written = []
        for box in boxes:
            left, right = _ends_on_grid(box.x_min, box.x_max, 100)
            top, bottom = _ends_on_grid(box.y_min, box.y_max, 100)
            written.append(f"<|box|> ({left},{top}),({right},{bottom}) <|/box|>")
        return " ".join(written)


def _is_point(found: re.Match[str]) -> bool:
    """Whether what stands in round brackets is two values, or is cut off."""
    return len(_tokens(found[1])) == 2 or not found[0].endswith(")")


def _hundredths(ends: Sequence[float]) -> Corners | None:
    if max(ends) <= 1 and any(end % 1 for end in ends):
        return None
    left, top, right, bottom = (end / 100 for end in ends)
    return left, top, right, bottom


@dataclass
class CropCells:
    """MAIRA-2: `<box><x10><y20><x55><y70></box>`, cells of the square in the middle of the image.

    The model sees nothing outside of that square; a box there is written as what of it lies inside, or its edge.
    """

    name: str = "maira2"
    version: int = 1

    def read(self, text: str, size: Size, seen: Size | None) -> ReadBoxes:
        """See BoxCodec. Corners are whole pixels of the original image, cut off as MAIRA-2's own code does."""
        return _settled(corners for match in _CELLS.finditer(text) for corners in self._found(match, size))

    def _found(self, match: re.Match[str], size: Size) -> Iterator[Corners | None]:
        cells = _CELL.findall(match[0])
        if not cells:
            yield None  # a <box> with nothing in it
        for start in range(0, len(cells), 4):
            axes, values = zip(*cells[start : start + 4], strict=True)
            places = [_whole(value) for value in values]
            if axes != ("x", "y", "x", "y") or max(places) >= _CROP:
                yield None
            else:
                yield self._onto_image(places, size)

    def _onto_image(self, places: Sequence[int], size: Size) -> Corners | None:
        side = min(size)
        if side < 1:
            return None
        ends = []
        for number, place in enumerate(places):
            whole = size[number % 2]
            ends.append(int((place + 0.5) / _CROP * side + (whole - side) // 2) / whole)
        left, top, right, bottom = ends
        return left, top, right, bottom

    def write(self, boxes: Sequence[Box], size: Size, seen: Size | None) -> str:
        """See BoxCodec."""
        written = []
        for box in boxes:
            left, right = self._cells(box.x_min, box.x_max, size, 0)
            top, bottom = self._cells(box.y_min, box.y_max, size, 1)
            written.append(f"<box><x{left}><y{top}><x{right}><y{bottom}></box>")
        return "".join(written)

    def _cells(self, low: float, high: float, size: Size, axis: int) -> tuple[int, int]:
        side, whole = min(size), size[axis]
        start = (whole - side) // 2
        first, last = (min(max(math.floor((end * whole - start) / side * _CROP), 0), _CROP - 1) for end in (low, high))
        # Both ends in one cell would be no box.
        return (first, last) if first < last else (min(first, _CROP - 2), min(first, _CROP - 2) + 1)


def _groups(text: str) -> Iterator[list[float] | None]:
    """The numbers of each place in brackets that looks like a box; None where they are no numbers or it is cut off."""
    for match in _BRACKETS.finditer(text):
        if match["square"] is None:
            if len(_numbers(match["round"]) or ()) == 4:
                yield None  # another form
            continue
        like = [_is_numberlike(token) for token in _tokens(match["square"])]
        if match["closed"] and sum(like) >= 2:
            yield _numbers(match["square"])
        elif not match["closed"] and like and like[0]:
            yield None


def _tokens(inner: str) -> list[str]:
    return [token.strip("\"'") for token in re.split(r"[,;\s]+", inner.strip()) if token]


def _is_numberlike(token: str) -> bool:
    """Whether a token begins as a number does."""
    return _NUMBERLIKE.fullmatch(token) is not None


def _numbers(inner: str) -> list[float] | None:
    """The numbers that make up a text; None where anything else does."""
    tokens = _tokens(inner)
    if not all(map(_NUMBER.fullmatch, tokens)):
        return None
    return [float(token) for token in tokens]


def _whole(digits: str) -> int:
    # int() refuses thousands of digits.
    return int(digits[-4:]) if len(digits) <= 4 else _CROP


def _settled(found: Iterable[Corners | None]) -> ReadBoxes:
    """Boxes of the candidates, clipped to the image, and how many are none."""
    boxes, malformed = [], 0
    for corners in found:
        box = None if corners is None else _inside(corners)
        if box is None:
            malformed += 1
        else:
            boxes.append(box)
    return ReadBoxes(tuple(boxes), malformed)


def _inside(corners: Corners) -> Box | None:
    if not all(-_OUTSIDE <= end <= 1 + _OUTSIDE for end in corners):  # so is infinity, and what is no number
        return None
    box = Box(*(min(max(end, 0.0), 1.0) for end in corners))
    return box if box.x_min < box.x_max and box.y_min < box.y_max else None


def _ends_on_grid(low: float, high: float, steps: int) -> tuple[int, int]:
    """Both ends as steps of a grid; a side that would round to nothing is widened outward, within the image."""
    first, last = round(low * steps), round(high * steps)
    if first == last:
        first = min(math.floor(low * steps), steps - 1)
        last = max(math.ceil(high * steps), first + 1)
    return first, last


def _in_words(texts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(texts[:-1]), *texts[-1:]) if part)


_json = partial(Bracketed, joined="json")
CODECS: Mapping[str, BoxCodec] = {
    each.name: each
    for each in (
        Bracketed("radvlm", _relative(100), "[{0}, {1}, {2}, {3}]", "words", decimals=2),
        TwoPoints(),
        CropCells(),
        _json("box_2d", _relative(1000), '{{"box_2d": [{0}, {1}, {2}, {3}]}}', y_first=True),
        _json("qwen25", _pixels, '{{"bbox_2d": [{0}, {1}, {2}, {3}]}}'),
        _json("qwen3", _relative(1000), '{{"bbox_2d": [{0}, {1}, {2}, {3}]}}'),
        Bracketed("internvl", _relative(1000), "<box>[[{0}, {1}, {2}, {3}]]</box>", "words"),
    )
}
"""By name: radvlm `[0.12, 0.34, 0.56, 0.78]`; chexagent; maira2; box_2d (MedGemma, y first, thousandths); qwen25
(pixels of the picture as the model saw it); qwen3 and internvl (thousandths)."""
