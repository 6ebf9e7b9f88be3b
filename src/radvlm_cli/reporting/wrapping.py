"""Text in columns of a terminal: how wide it is there, and its lines where there is less room."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

_WORDS = re.compile(r"\s*\S+\s*")


def wide(text: str) -> int:
    """Columns that a line takes: letters of East Asia take two, marks on letters none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


@cache
def _columns(char: str) -> int:
    if unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.category(char) in ("Mn", "Me", "Cf") else 1


def wrapped(text: str, width: int) -> Iterator[str]:
    """The lines of a text, none wider than `width`, broken between words where that can be done."""
    for line in text.expandtabs(8).split("\n"):
        if wide(line) <= width:
            yield line
        else:
            yield from _broken(line, width)


def _broken(line: str, width: int) -> Iterator[str]:
    part = ""
    for match in _WORDS.finditer(line):
        word = match[0]
        if wide(part) + wide(word.rstrip()) <= width:
            part += word
            continue
        if part:
            yield part.rstrip()
        part = word
        while wide(part.rstrip()) > width:  # a word that is too long by itself
            end = _end(part, width)
            yield part[:end]
            part = part[end:]
    yield part.rstrip()


def _end(text: str, width: int) -> int:
    """How many characters fit; one at least."""
    used = 0
    for place, char in enumerate(text):
        used += _columns(char)
        if used > width:
            return max(place, 1)
    return len(text)
