"""What the evaluation asks of a model, and what a model says: the one protocol that all adapters speak.

A `Card` is what is known of a model without loading it: which tasks it can do, the words it is asked in, the form of
its boxes, where its weights are found. `Card.load` makes the `Adapter` that answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from radvlm_cli.records import Box, Turn

Task = Literal["report", "classification", "region", "abnormality", "phrase", "detection", "conversation"]
GROUNDING: tuple[Task, ...] = ("region", "abnormality", "phrase")
Protocols = Literal["default", "paper"]
"""`paper` asks each model as the published evaluation did, handicaps included."""
Device = Literal["cpu", "cuda"]


class Asked(NamedTuple):
    """What a prompt can be made of."""

    task: Task
    subject: str | None
    """Region, finding or phrase that is to be located."""
    question: str
    """The question as the built test set has it, in RadVLM's own wording."""
    options: tuple[str, ...] = ()
    """Findings to choose among, for classification and detection."""
    indication: str | None = None
    """Why the study was made, where the source says; only for models that were trained with it."""


class Request(NamedTuple):
    """One thing to answer."""

    key: str
    """The sample's id."""
    image: Path
    """An 8-bit picture file."""
    turns: tuple[Turn, ...]
    """Human first, human and gpt in turns, ending with the human turn to answer; no image token in the text. Every
    adapter shows the picture to the model whatever the number of turns."""
    task: Task


class Reply(NamedTuple):
    """What a model says to one request."""

    text: str
    """Newly generated text only, special tokens left out unless the model's boxes are made of them."""
    truncated: bool = False
    """Cut off at the most new tokens."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    seen: tuple[int, int] | None = None
    """Width and height, pixels, of the picture as the model got it, for boxes in pixels of that picture."""
    error: str | None = None
    """Why there is no answer (the picture cannot be read, the endpoint refuses, ...), without a patient's words."""
    refused: bool = False
    """The error is the model's own refusal or a content filter: asking again would end the same."""


class ReadBoxes(NamedTuple):
    """The boxes that a text holds, on the original image."""

    boxes: tuple[Box, ...]
    """Normalised xyxy, clipped to the image, in the order of the text; none without area."""
    malformed: int = 0
    """How many places look like a box and are none (wrong order, cut off, other units, no area)."""


class BoxCodec(Protocol):
    """How a family of models writes boxes."""

    name: str
    version: int

    def read(self, text: str, size: tuple[int, int], seen: tuple[int, int] | None) -> ReadBoxes:
        """Boxes of a text. `size`: width and height of the original image; `seen`: see Reply. Never raises."""

    def write(self, boxes: Sequence[Box], size: tuple[int, int], seen: tuple[int, int] | None) -> str:
        """Boxes as the model would write them, to the grid of the form."""


class WeightsNeed(NamedTuple):
    """A repository of weights that a model is loaded from."""

    hub_id: str
    """Hugging Face id."""
    revision: str | None
    """Commit that the adapter was written against; None: not known."""
    licence: str
    note: str = ""
    """How to get it where it is not simply downloaded (gated, PhysioNet, ...)."""
    model_types: tuple[str, ...] = ()
    """`model_type` in its config.json; empty: not known, or it has no such file."""
    convertible: tuple[str, ...] = ()
    """`model_type` of checkpoints that `radvlm convert` makes into one of this."""


class Loading(NamedTuple):
    """How to load a model."""

    weights: tuple[Path, ...]
    """A local folder for each of the card's `weights`, in that order."""
    device: Device
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    attention: str | None = None
    protocol: Protocols = "default"
    base_url: str | None = None
    """Of an endpoint."""
    options: Mapping[str, Any] = {}
    """What is particular to a kind of model, e.g. the name of an endpoint's model."""


class Adapter(Protocol):
    """A loaded model."""

    identity: Mapping[str, Any]
    """JSON values that decide an answer besides weights and prompts: preprocessing, template, dtype, attention,
    backend with its version. Part of the run's identity."""
    batches: bool
    """Whether several requests are answered faster together."""

    def cost(self, request: Request) -> int:
        """About how many tokens the request takes, without opening the picture more than its header."""

    def answer(self, requests: Sequence[Request], most: int) -> list[Reply]:
        """Answer a batch greedily, one reply per request in order, at most `most` new tokens each.

        Texts are those that each request alone would get (float32). A picture that cannot be read is a reply with an
        error. Raises torch.OutOfMemoryError where the batch does not fit: the caller tries smaller ones.
        """

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True)
class Card:
    """What is known of a model before it is loaded."""

    name: str
    title: str
    tasks: frozenset[Task]
    weights: tuple[WeightsNeed, ...]
    load: Callable[[Loading], Adapter]
    """Import heavy packages inside. Raises DataError naming every missing or unexpected weight."""
    prompt: Callable[[Asked, Protocols], str]
    """The first user turn for a single-turn task. ConfigError for a task that is not among `tasks`."""
    codec: str | None = None
    """Name of the box codec (adapters.boxes); None: it writes no boxes."""
    extractor: str = "whole"
    """Name of what takes the answer out of the text (adapters.answers), e.g. what follows `</think>`."""
    most: Mapping[Task, int] = field(default_factory=dict)
    """Most new tokens where the task's usual number (adapters.MOST) is not right."""
    version: int = 1
    """Raise it when prompts or preprocessing change."""
