"""A judge's reply as JSON: one result, or none."""

from __future__ import annotations

import re
from typing import Any

from radvlm_cli.documents import json_objects

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


def sole_object(text: str, *names: str) -> dict[str, Any] | None:
    """The JSON object in a reply that has all of `names`; None if there is none, or more than one.

    Words or a fence around it do no harm. Thoughts in front are not looked at.
    """
    answers = json_objects(_THOUGHT.sub("", text), unique=True)
    found = [document for document in answers if all(name in document for name in names)]
    return found[0] if len(found) == 1 else None
