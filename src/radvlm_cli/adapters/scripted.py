"""A model that says what a file tells it to, or follows simple rules: for trying things out without any weights.

    {"answers": {"sample-1": ["Normal chest."], "sample-2": ["Yes.", "On the left."]}, "delay": 0.01, ...}

Of a key's texts the first answers the first question, the second the next, and so on; the last one answers the rest. A
key that the file lacks is answered by the rules. The other names of the file are the fields of `Script`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, get_args

from radvlm_cli.adapters.protocol import Adapter, Asked, Card, Loading, Protocols, Reply, Request, Task
from radvlm_cli.errors import ConfigError

_RULES: Mapping[Task, str] = {
    "report": "The lungs are clear. The heart is of normal size. No pleural effusion or pneumothorax.",
    "classification": "No abnormality is seen in this chest X-ray.",
    "region": "It is located at [0.25, 0.25, 0.75, 0.75].",
    "abnormality": "It is located at [0.25, 0.25, 0.75, 0.75].",
    "phrase": "It is located at [0.25, 0.25, 0.75, 0.75].",
    "detection": "There are no abnormal findings.",
    "conversation": "Nothing abnormal can be seen.",
}


@dataclass(frozen=True)
class Script:
    """What to say, and what is to go wrong."""

    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Request's key -> answer to each question in turn."""
    delay: float = 0.0
    """Seconds per request."""
    fail: Sequence[str] = ()
    """Keys whose reply is an error."""
    room: int | None = None
    """Most requests that fit into memory together; more raise torch.OutOfMemoryError."""
    too_large: Sequence[str] = ()
    """Keys that do not fit into memory even alone."""
    die_at: str | None = None
    """Key at which the process ends at once, as if it were killed."""


class Scripted:
    """Says what the script tells it to."""

    batches = True

    def __init__(self, script: Script, identity: Mapping[str, Any]) -> None:
        self._script = script
        self.identity = identity

    def cost(self, request: Request) -> int:
        """A token per four characters."""
        return 1 + sum(len(turn.text) for turn in request.turns) // 4

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """See Adapter. A token is a word here."""
        script = self._script
        keys = {request.key for request in requests}
        if (script.room is not None and len(requests) > script.room) or keys & set(script.too_large):
            import torch

            raise torch.OutOfMemoryError("the script says so")
        if script.die_at in keys:
            import os

            os._exit(9)
        time.sleep(script.delay * len(requests))
        return [self._reply(request, most) for request in requests]

    def _reply(self, request: Request, most: int) -> Reply:
        if request.key in self._script.fail:
            return Reply("", error="the script says so")
        asked = len(request.turns) // 2
        texts = self._script.answers.get(request.key) or (_RULES[request.task],)
        text = texts[min(asked, len(texts) - 1)]
        words = text.split(" ")
        said = " ".join(words[:most])
        return Reply(said, truncated=len(words) > most, tokens_in=self.cost(request), tokens_out=len(words[:most]))

    def close(self) -> None:
        """Nothing is held."""


def card_of(file: str | None) -> Card:
    """The card of `scripted` (the rules alone) or `scripted:FILE`. ConfigError where the file cannot be used."""
    document = _read(Path(file)) if file else {}
    return Card(
        name=f"scripted:{file}" if file else "scripted",
        title="scripted answers",
        tasks=frozenset(get_args(Task)),
        weights=(),
        load=partial(_load, document),
        prompt=_prompt,
        codec="radvlm",
    )


def _prompt(asked: Asked, _protocol: Protocols) -> str:
    return asked.question


def _load(document: Mapping[str, Any], loading: Loading) -> Adapter:
    given = {**document, **loading.options}
    known = [each.name for each in fields(Script)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigError(f"A script has no {unknown[0]!r}; known are {', '.join(known)}.")
    # Faults and delays do not change an answer.
    return Scripted(Script(**given), {"backend": "scripted/1", "answers": dict(given.get("answers", {}))})


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The script {file} cannot be read: {error}") from error
    answers = document.get("answers", {}) if isinstance(document, dict) else None
    if not isinstance(answers, dict) or not all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in answers.values()
    ):
        raise ConfigError(f'The script {file} is no JSON object with "answers": {{KEY: [TEXT, ...]}}.')
    made: dict[str, Any] = document
    return made
