"""What the workers of an evaluation are told: a manifest, and a file of what is to be asked, a line per sample.

Workers open no store: these two files in the run's folder, which all nodes see, are all that they read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.adapters.protocol import Task
from radvlm_cli.errors import ConfigError, DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import canonical_json

FILE = "answering.json"
STOP_FILE = "stop"
FORMAT = 1


class Ask(NamedTuple):
    """One sample to ask about."""

    evaluation_id: int
    position: int
    attempt: int
    key: str
    """The sample's id."""
    image: str
    questions: tuple[str, ...]
    """What is said to the model, one after another."""
    task: Task
    most: int
    """Most new tokens per answer."""
    alone: bool = False
    """To be asked by itself: a worker died on the batch that it was in."""


class Job(NamedTuple):
    """What is to be done."""

    run_id: int
    model: str
    """Name of the card."""
    loading: dict[str, Any]
    """Fields of adapters.protocol.Loading."""
    batch: int | Literal["auto"]
    workers: int
    """On all nodes together; worker i takes the lines i, i + workers, ..."""
    per_node: int
    asks: str
    """Name of the file of what is to be asked."""
    judge: str | None = None
    """Name of the judge that the model is; None: its answers are predictions."""
    adapter: dict[str, Any] | None = None
    """What the model said of itself when the evaluation began."""


def write_job(folder: Path, job: Job, asks: Iterable[Ask]) -> Path:
    """Write both files; the manifest last. Returns its path."""
    with atomic_write(folder / job.asks) as stream:
        for ask in asks:
            stream.write(canonical_json(list(ask)) + "\n")
    path = folder / FILE
    with atomic_write(path) as stream:
        stream.write(canonical_json({"format": FORMAT, **job._asdict()}))
    return path


def read_job(manifest: Path) -> Job:
    """Read a manifest. DataError where it is none."""
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise DataError(f"{manifest} is of another version of radvlm.", "Start the evaluation again.")
        return Job(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{manifest} is no manifest of an evaluation: {error}.", "radvlm eval --help") from error


def read_asks(folder: Path, job: Job, rank: int) -> Iterator[Ask]:
    """A worker's share of what is to be asked, streamed."""
    with (folder / job.asks).open(encoding="utf-8") as stream:
        for line in islice(stream, rank, None, job.workers):
            ask = Ask._make(json.loads(line))
            yield ask._replace(questions=tuple(ask.questions))


def check_adapter(before: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """ConfigError naming what a model says otherwise than when the evaluation began: its answers would not be alike."""
    changed = sorted(name for name in {*before, *said} if before.get(name) != said.get(name))
    if changed:
        listed = "; ".join(f"{n}: was {_brief(before.get(n))}, now {_brief(said.get(n))}" for n in changed)
        raise ConfigError(
            f"The model would not answer as it did when this evaluation began ({listed}).",
            "Run it under the same conditions, or begin anew: --again",
        )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
