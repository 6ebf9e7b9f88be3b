"""Dialogues: from the JSON that other programs write to turns, and to and from the store."""

from __future__ import annotations

import json
from typing import Any, Literal

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Turn

_ROLES: dict[str, Literal["human", "gpt"]] = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}
_IMAGE_TOKEN = "<image>"


def parse(document: Any) -> tuple[Turn, ...]:
    """Turns of a list of {from, value} or {role, content}, bare or under `conversation` or `conversations`.

    Human first, roles alternating, none empty, an answer at the end; an image token at the head of the first question
    is dropped. Raises DataError with the reason, and no text, where that is not so.
    """
    if isinstance(document, dict):
        document = document.get("conversation", document.get("conversations"))
    if not isinstance(document, list) or len(document) < 2:
        raise DataError("the dialogue is not a list of at least two turns")
    turns = [_turn(entry) for entry in document]
    turns[0] = Turn(turns[0].role, turns[0].text.removeprefix(_IMAGE_TOKEN).lstrip())
    for place, turn in enumerate(turns):
        if turn.role != ("human", "gpt")[place % 2]:
            raise DataError("the turns do not alternate, human first")
        if not turn.text:
            raise DataError("a turn is empty")
        if _IMAGE_TOKEN in turn.text:
            raise DataError("an image token stands elsewhere than before the first question")
    if len(turns) % 2:
        raise DataError("the last question has no answer")
    return tuple(turns)


def encode(turns: tuple[Turn, ...]) -> str:
    """Turns as the store keeps them: canonical JSON, a list of [role, text]."""
    return canonical_json([list(turn) for turn in turns])


def decode(stored: str) -> tuple[Turn, ...]:
    """Turns from the store."""
    return tuple(map(Turn._make, json.loads(stored)))


def _turn(entry: Any) -> Turn:
    if not isinstance(entry, dict):
        raise DataError("a turn is not an object")
    speaker, text = entry.get("from", entry.get("role")), entry.get("value", entry.get("content"))
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(text, str):
        raise DataError("a turn lacks its role or its text")
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character: no file or database takes that
        raise DataError("a turn holds half of a surrogate pair") from None
    return Turn(role, text.strip())
