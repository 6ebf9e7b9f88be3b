"""Dialogues as the fake server writes them: right, wrapped in words, cut off, or with the wrong boxes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

Rounds = list[tuple[str, str]]

_LOCATED = re.compile(r"^- (.*?) (\[[\d., \[\]]+\])$", re.MULTILINE)
_BOX = re.compile(r"\[[\d., ]+\]")
_TALK = (
    ("Is this a photograph?", "No, it is an X-ray."),
    ("Can you tell me how old this person is?", "The image does not tell that."),
    ("Can an X-ray show everything?", "No. Some things are too faint to be visible."),
    ("Thank you.", "You are welcome."),
)


def rounds_about(body: dict[str, Any]) -> Rounds:
    """A dialogue that passes every check, from what the request tells of the image."""
    told = _asked(body)
    described = re.search(r"^Description: (.*)$", told, re.MULTILINE)
    rounds = [("What do you see?", described[1] if described and described[1] != "none" else "A chest X-ray.")]
    for phrase, boxes in _LOCATED.findall(told):
        rounds.append((f"Where is this: {phrase}?", f"{phrase} It is at {' and '.join(_BOX.findall(boxes))}."))
    return [*rounds, *_TALK]


def right(body: dict[str, Any]) -> str:
    """Answer as asked."""
    return _json(rounds_about(body))


def right_in_the_end(body: dict[str, Any]) -> str:
    """Answer as asked; about one image in four only after a complaint."""
    if not _is_repair(body) and sha256(_asked(body).encode()).digest()[0] < 64:
        return _json([("What has changed?", "Everything is unchanged."), *rounds_about(body)])
    return right(body)


def compared(body: dict[str, Any]) -> str:
    """Speak of an earlier study, complaint or not."""
    return _json([*rounds_about(body), ("And the bones?", "They are unchanged since the prior study.")])


def swapped(body: dict[str, Any]) -> str:
    """Give every box to the next finding, complaint or not."""
    answers = _json(rounds_about(body))
    boxes = _BOX.findall(answers)
    turned = iter([*boxes[1:], *boxes[:1]])
    return _BOX.sub(lambda _match: next(turned), answers)


def cut(body: dict[str, Any]) -> str:
    """Stop in the middle of the JSON without saying so."""
    text = right(body)
    return text[: len(text) // 2]


def wrapped(before: str, after: str) -> Callable[[dict[str, Any]], str]:
    """Answer as asked, between words."""
    return lambda body: f"{before}{right(body)}{after}"


def _json(rounds: Rounds) -> str:
    return json.dumps({"rounds": [{"question": question, "answer": answer} for question, answer in rounds]})


def _asked(body: dict[str, Any]) -> str:
    """What the request tells of its image: after the prompt's examples, before a complaint."""
    said = [str(message["content"]) for message in body["messages"] if message["role"] == "user"]
    return said[-2 if _is_repair(body) else -1]


def _is_repair(body: dict[str, Any]) -> bool:
    return "not right yet" in body["messages"][-1]["content"]
