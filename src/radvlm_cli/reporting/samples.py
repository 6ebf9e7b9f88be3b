"""Rows of single samples: the picture, what is right, what the model said, and both as boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Why = Literal["worst", "random", "best"]


class Picture(NamedTuple):
    """A small copy of an image."""

    key: str
    """The same for the same file, so that a page has it once."""
    jpeg: bytes
    width: int
    height: int


class DrawnBox(NamedTuple):
    """A box to draw; corners as records.Box."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    label: str | None = None


class Sample(NamedTuple):
    """A sample with its answer. What may not be shown is None."""

    name: str
    """Its id, or a hash of it."""
    why: Why
    status: str
    """How the answer came out when it was read."""
    score: float | None
    """The main metric of this sample alone."""
    person: str | None
    """Sex, age, view, as far as known."""
    prompt: str | None
    answer: str | None
    read: str | None
    """What was read from the answer, where that is not the answer itself."""
    right: str | None
    rounds: tuple[tuple[str, str, str], ...]
    """Of a conversation: question, answer, reference."""
    true: tuple[DrawnBox, ...]
    predicted: tuple[DrawnBox, ...]
    picture: Picture | None
    missing: str | None
    """Why there is no picture."""
    aspect: float
    """Width by height of the original image."""


class SampleGroup(NamedTuple):
    """Samples of one evaluation."""

    title: str
    metric: str | None
    """What the scores are; None where the task has no metric of single samples."""
    note: str
    """How they were chosen."""
    samples: Sequence[Sample]
