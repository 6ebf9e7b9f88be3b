"""Prompts from `prompts/*.md`, and answers back into JSON."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Literal, cast

from radvlm_cli.documents import json_objects
from radvlm_cli.llm import Message, Prompt, Request

_ROLE = re.compile(r"^# (system|user|assistant)\n", re.MULTILINE)


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
    found = list(json_objects(text))
    named = [document for document in found if any(name in document for name in names)]
    return named[-1] if named else next(iter(found), None)
