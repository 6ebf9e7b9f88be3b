"""Prompts from `prompts/*.md`, and answers back into JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

from radvlm_cli.llm import Message, Prompt, Request

_ROLE = re.compile(r"^# (system|user|assistant)\n", re.MULTILINE)
_OBJECTS_TRIED = 50
_NO_CHARACTER = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Halves of characters, which no file or store takes, and control characters."""


@cache
def load_messages(name: str) -> tuple[Message, ...]:
    """The messages of `prompts/<name>.md`: under each heading (system, user, assistant) stands one."""
    text = files(__package__).joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    _before, *parts = _ROLE.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(role=cast(Literal["system", "user"], role), content=body.strip()) for role, body in pairs)


def load_prompt(name: str, model: str, parameters: dict[str, Any], schema: Any) -> Prompt:
    """A prompt of ours for a model."""
    return Prompt(name, model, parameters, load_messages(name), schema)


def ask(prompt: Prompt, text: str) -> Request:
    """The first request about an item."""
    return Request(prompt, (Message(role="user", content=text),))


def ask_again(request: Request, answer: str, complaint: str) -> Request:
    """The request to repair an answer: the conversation so far, and what is wrong with it."""
    said = (*request.messages, Message(role="assistant", content=answer), Message(role="user", content=complaint))
    return Request(request.prompt, said)


def find_object(text: str, *names: str) -> dict[str, Any] | None:
    """The JSON object in an answer, with or without words and fences around it; None if there is none that is whole.

    Of several, the last with one of the `names`: models think aloud, quote what they were asked for, and then answer.
    """
    found = list(_objects(text))
    named = [document for document in found if any(name in document for name in names)]
    return named[-1] if named else next(iter(found), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The whole JSON objects in a text, from the left, none within another."""
    decoder = json.JSONDecoder(strict=False)
    start = 0
    for _ in range(_OBJECTS_TRIED):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            found, start = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start += 1
            continue
        yield cast(dict[str, Any], _readable_in(found))


def readable(text: str) -> str:
    """A model's text with spaces for what is no character, so that it can be kept."""
    return _NO_CHARACTER.sub(" ", text)


def _readable_in(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list):
        return [_readable_in(one) for one in value]
    if isinstance(value, dict):
        return {readable(name): _readable_in(one) for name, one in value.items()}
    return value
