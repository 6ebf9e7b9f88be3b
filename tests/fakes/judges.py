"""Judges as the fake server plays them: sound, wordy, undecided, or never of the form."""

from __future__ import annotations

import json
from typing import Any


def told(body: dict[str, Any]) -> dict[str, Any]:
    """The conversation that a request is about: the last JSON that a user sent."""
    said = [message["content"] for message in body["messages"] if message["role"] == "user"]
    return dict(json.loads(next(text for text in reversed(said) if text.startswith("{"))))


def repairing(body: dict[str, Any]) -> bool:
    """Whether the request sends an answer back."""
    return not body["messages"][-1]["content"].startswith("{")


def grade(answer: str, reference: str) -> int:
    """10 for the reference's own words, 0 for nothing, else 4."""
    return 10 if answer == reference else 4 if answer else 0


def sound(body: dict[str, Any]) -> str:
    """Grade every round, and the whole by its worst round."""
    scores = [grade(one["answer"], one["reference"]) for one in told(body)["rounds"]]
    rounds = [{"round": n, "reason": "Compared.", "score": score} for n, score in enumerate(scores, start=1)]
    return json.dumps({"rounds": rounds, "reason": "The worst round decides.", "overall": min(scores)})


def prose(_body: dict[str, Any]) -> str:
    """Grade without the form, complaint or not."""
    return "A good conversation. Overall score: 8/10"


def in_the_end(body: dict[str, Any]) -> str:
    """Keep to the form only after a complaint."""
    return sound(body) if repairing(body) else prose(body)


def twice(body: dict[str, Any]) -> str:
    """Give two results that differ, complaint or not."""
    first = json.loads(sound(body))
    return f"{json.dumps(first)}\nOn second thought: {json.dumps(first | {'overall': 9})}"


def sound_with_a_seed(body: dict[str, Any]) -> str:
    """Keep to the form only when asked with a seed."""
    return sound(body) if "seed" in body else prose(body)
