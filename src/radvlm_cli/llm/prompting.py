"""Prompts from `prompts/*.md`, and answers back into JSON."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

from radvlm_cli.llm import Message, Prompt, Request

_ROLE = re.compile(r"^# (system|user|assistant)\n", re.MULTILINE)
_OBJECTS_TRIED = 20


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


def find_object(text: str) -> dict[str, Any] | None:
    """The JSON object in an answer, with or without words and fences around it; None if there is none that is whole."""
    decoder = json.JSONDecoder(strict=False)
    start = -1
    for _ in range(_OBJECTS_TRIED):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None
