"""What tiny models that answer one question at a time are asked."""

from __future__ import annotations

from pathlib import Path

from radvlm_cli.adapters.protocol import Request, Task
from radvlm_cli.records import Turn

QUESTIONS = ("in the heart", "Where is the   thorax, and what else is there to be seen?", "a")
"""Of different lengths: a batch of them has to be padded."""


def asking(image: Path, text: str, task: Task = "report") -> Request:
    """One question about one picture."""
    return Request(text, image, (Turn("human", text),), task)
