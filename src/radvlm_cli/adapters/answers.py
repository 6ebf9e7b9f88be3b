"""The answer within what a model says: models that think aloud, or put the answer between tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from radvlm_cli.errors import ConfigError

VERSION = 1
"""Raised when an extractor takes out something else than before."""

_ANSWER = re.compile(r"<answer>(?P<inner>(?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
_BRACE = re.compile(r"\\boxed\s*\{|\\[{}]|[{}]")


class Extracted(NamedTuple):
    """The answer."""

    text: str
    missing: bool = False
    """The mark of the answer is not there (cut off, or left out), and the text is the whole one."""


def extract(name: str, text: str) -> Extracted:
    """Take the answer out; `name` may join several with +, applied in turn. ConfigError for an unknown name only."""
    missing = False
    for step in name.split("+"):
        if step not in EXTRACTORS:
            raise ConfigError(f"There is no extractor {step!r}; known are {', '.join(EXTRACTORS)}.")
        found = EXTRACTORS[step](text)
        missing = missing or found is None
        text = text if found is None else found.strip()
    return Extracted(text, missing)


def _whole(text: str) -> str | None:
    return text


def _after_thinking(text: str) -> str | None:
    """What follows the last `</think>`."""
    _before, tag, after = text.rpartition("</think>")
    return after if tag else None


def _between_tags(text: str) -> str | None:
    """What stands in the last `<answer>...</answer>`."""
    found = None
    for match in _ANSWER.finditer(text):
        found = match["inner"]
    return found


def _boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}` whose braces are balanced; of one in another the outer one."""
    opened: list[tuple[bool, int]] = []
    found: tuple[int, int] | None = None
    for match in _BRACE.finditer(text):
        if match[0].endswith("{") and match[0] != "\\{":
            opened.append((match[0] != "{", match.end()))
        elif match[0] == "}" and opened:
            is_box, start = opened.pop()
            if is_box:
                found = (start, match.start())
    return None if found is None else text[slice(*found)]


EXTRACTORS: Mapping[str, Callable[[str], str | None]] = {
    "whole": _whole,
    "think": _after_thinking,
    "answer": _between_tags,
    "boxed": _boxed,
}
"""By name; None where the mark is not there."""
