"""Sentences of a report: dictated, typed, in capitals, numbered, or de-identified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_BLOCK = re.compile(r"\n\s*\n|(?:^|\n)\s*[-*\u2022]\s+")
"""Where a sentence ends whatever stands there: a blank line, a bullet. Other line ends are wrapping."""
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"(?:(?<=[\s.!?])|^)\(?(\d{1,2})[.)]\s*(?=[^\W\d_])")
_STOP = re.compile(r"[.!?]+[)\"'\]>]*")
_ABBREVIATIONS = frozenset(
    ["dr", "drs", "mr", "mrs", "ms", "prof", "e.g", "eg", "i.e", "ie", "vs", "cf", "approx", "resp"]
)
_INITIAL = re.compile(r"\b(?:Drs?|Mrs?|Ms|Prof)\.? (?:[A-Z]\. ?)*[A-Z]\Z")
"""What stands before the stop in `Dr. J. Smith`."""
_STRETCH_END = re.compile(r"[.!?](?!\d)|[;:]")
_GLUED = re.compile(r"[A-Z][A-Za-z]")
"""How a sentence starts where its writer forgot the blank before it: `clear.The`."""


@lru_cache(maxsize=16)  # a text and its source are gone through by several checks
def stretches(text: str) -> tuple[tuple[int, str], ...]:
    """Cut a text after each stop, semicolon and colon: where a stretch starts, and its words with what ends them.

    No finding, comparison or measurement goes on over such an end, so what a stretch says can be read once and
    remembered: reports say the same things, and a curated text says most of what its source says.
    """
    found, start = [], 0
    for match in _STRETCH_END.finditer(text):
        end = match.end()
        words = text[start:end].lstrip()
        found.append((end - len(words), words))
        start = end
    if words := text[start:].lstrip():
        found.append((len(text) - len(words), words))
    return tuple(found)


def split_sentences(text: str) -> list[str]:
    """Split a report into sentences, white space normalised; bullets and the numbers of list items are left out."""
    blocks = (" ".join(block.split()) for block in _BLOCK.split(text))
    pieces = (piece for block in blocks for item in _items(block) for piece in _pieces(item))
    return [piece for piece in pieces if any(map(str.isalpha, piece))]


def _items(block: str) -> Iterator[str]:
    """Split at the numbers of a list, where each follows a full stop or the number before it: `1. Scar 2. No edema`."""
    start, expected = 0, 0
    if not _DIGIT.search(block):
        yield block
        return
    for number in _NUMBER.finditer(block):
        before = block[: number.start()].rstrip()
        if not before or before[-1] in ".!?:" or int(number[1]) == expected:
            yield before[start:]
            start, expected = number.end(), int(number[1]) + 1
    yield block[start:]


def _pieces(item: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(item):
        if _ends_sentence(item[start : stop.start()], item[stop.end() : stop.end() + 2]):
            yield item[start : stop.end()].strip()
            start = stop.end()
    yield item[start:].strip()


def _ends_sentence(before: str, after: str) -> bool:
    last = before[max(before.rfind(" "), before.rfind("(")) + 1 :]
    if last.lower() in _ABBREVIATIONS or (before[-1:].isupper() and _INITIAL.search(before)):
        return False
    if after[:1].isspace():
        within_clock = before.lower().endswith(("a.m", "p.m"))
        within_query = before.endswith((" ", "("))  # `opacity (? pneumonia)`
        return not (after[1:].islower() and (within_clock or within_query))
    return bool(_GLUED.match(after)) and not re.search(r"(?:^|[\s.(])\w\Z", before)  # nor within `U.S.A`
