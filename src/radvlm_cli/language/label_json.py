"""Labels in JSON, in the many shapes that models give it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from radvlm_cli.language.findings import Polarity
from radvlm_cli.language.label_names import NOTHING, Piece, Said, group_of, label_of, of_number, polarity_of

_NAMES = ("label", "name", "finding", "abnormality", "disease", "condition", "class", "pathology", "diagnosis")
_STATES = (
    "status",
    "present",
    "presence",
    "state",
    "polarity",
    "answer",
    "result",
    "prediction",
    "probability",
    "value",
)
_DEEPEST = 20
"""Levels of nesting that are read."""


def read_json(text: str) -> Said:
    """Read the first JSON value that names labels (Python's spelling is taken too); nothing where there is none."""
    for start in _json_starts(text):
        value, end = _decoded(text, start)
        if end:
            pieces, unknown = _Walk(text, start, end).read(value)
            if pieces:
                return Said(tuple(pieces), (), tuple(unknown))
    return Said(rest=text)


def _json_starts(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"[\[{]", text)][:8]


_PYTHON = ((re.compile(r"\bTrue\b"), "true"), (re.compile(r"\bFalse\b"), "false"), (re.compile(r"\bNone\b"), "null"))
_DECODER = json.JSONDecoder()


def _decoded(text: str, start: int) -> tuple[Any, int]:
    """The value and where it ends; 0: there is none. Each spelling keeps places: quotes for quotes."""
    for candidate in (text, text.replace("'", '"')):
        try:
            value, end = _DECODER.raw_decode(candidate, start)
        except (ValueError, RecursionError):
            continue
        return value, end
    spelled = text[start:].replace("'", '"')
    for pattern, word in _PYTHON:
        spelled = pattern.sub(word, spelled)
    try:
        return _DECODER.raw_decode(spelled)[0], len(text)
    except (ValueError, RecursionError):
        return None, 0


class _Walk:
    """Goes through a JSON value; finds each name's place in the text, in order."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._lower, self._next, self._end = text.lower(), start, end
        self._start = start
        self.pieces: list[Piece] = []
        self.unknown: list[str] = []

    def read(self, value: Any) -> tuple[list[Piece], list[str]]:
        if value in ([], {}):
            if any(map(str.isalnum, (self._lower[: self._start] + self._lower[self._end :]).replace("json", ""))):
                return [], []  # `- [ ] Edema`
            self._say(NOTHING, "present", "")
        else:
            self._go(value, "present", _DEEPEST)
        return self.pieces, self.unknown

    def _go(self, value: Any, group: Polarity, depth: int) -> None:
        if not depth:
            self.unknown.append("...")
        elif isinstance(value, str):
            self._item(value, group)
        elif isinstance(value, list):
            for item in value:
                self._go(item, group, depth - 1)
        elif isinstance(value, dict):
            low = {str(key).casefold(): inner for key, inner in value.items()}
            name = next((low[key] for key in _NAMES if isinstance(low.get(key), str)), None)
            if name is not None:
                state = next((low[key] for key in _STATES if key in low), None)
                said = group if state is None else _state(state)
                self._name(name, said)
            else:
                self._mapping(value, group, depth)

    def _mapping(self, value: dict[str, Any], group: Polarity, depth: int) -> None:
        for key, inner in value.items():
            if label_of(key):
                self._name(key, _state(inner))
            elif (below := group_of(key.replace("_", " "))) and isinstance(inner, list | dict | str):
                if inner == [] and below == "present":
                    self._say(NOTHING, "present", key)
                self._go(inner, below, depth - 1)
            elif isinstance(inner, list | dict):
                self._go(inner, group, depth - 1)
            elif not isinstance(inner, str) or polarity_of(inner):
                self.unknown.append(key)

    def _item(self, text: str, group: Polarity) -> None:
        if label_of(text):
            self._name(text, group)
            return
        for part in re.split(r"[,;]|\band\b", text):
            plain = re.sub(r"^\s*(?:no|without|possible|probable|likely)\s+", "", part, flags=re.IGNORECASE)
            own = polarity_of(part) if plain != part else None
            if part.strip():
                self._name(plain, own or group)

    def _name(self, name: str, said: Polarity | None) -> None:
        if label := label_of(name):
            if said:
                self._say(label, said, name)
        else:
            self.unknown.append(name.strip())

    def _say(self, label: str, said: Polarity, name: str) -> None:
        place = self._lower.find(name.lower().strip(), self._next, self._end) if name.strip() else -1
        if place < 0:
            self.pieces.append((label, said, self._start, self._end))
        else:
            self._next = place + len(name.strip())
            self.pieces.append((label, said, place, self._next))


def _state(value: Any) -> Polarity | None:
    if isinstance(value, bool):
        return "present" if value else "absent"
    if isinstance(value, int | float):
        return of_number(value)
    if isinstance(value, str):
        return polarity_of(value) or ("present" if value.strip() else None)
    if isinstance(value, Mapping):
        low = {str(key).casefold(): inner for key, inner in value.items()}
        inner = next((low[key] for key in _STATES if key in low), None)
        return "present" if inner is None or isinstance(inner, Mapping) else _state(inner)
    if isinstance(value, list):
        return "present" if value else "absent"
    return None
