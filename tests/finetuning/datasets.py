"""Small datasets on the disk: pictures, and the Parquet file that `radvlm build` writes about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from radvlm_cli.files import atomic_write
from radvlm_cli.recipes import Component
from radvlm_cli.records import Turn as BuiltTurn
from radvlm_cli.stages.datasets.files import Pair, ParquetWriter
from radvlm_cli.store.components import Candidate


@dataclass(frozen=True)
class Given:
    """A pair to write; `turns` are questions and answers, without the image token."""

    image: str
    turns: Sequence[str] = ("Is there an effusion?", "No.")
    size: tuple[int | None, int | None] = (None, None)
    """Width and height as the table tells them."""
    task: str = "classification"
    roles: Sequence[str] = ("human", "gpt")


def write_table(path: Path, pairs: Sequence[Given], *, group: int = 3) -> Path:
    """Write pairs by the builder's own writer, `group` of a task to a row group; their ids are p0, p1, ..."""
    numbered = [(given, number) for number, given in enumerate(pairs)]
    with atomic_write(path, "wb") as stream:
        writer = ParquetWriter(stream)
        for task, run in groupby(numbered, lambda each: each[0].task):
            component, part = Component("part", task, "phantom", ("train",)), list(run)
            for start in range(0, len(part), group):
                writer.write(component, [_pair(number, given) for given, number in part[start : start + group]])
        writer.finish()
    return path


def _pair(number: int, given: Given) -> Pair:
    turns = tuple(BuiltTurn(given.roles[n % 2], text) for n, text in enumerate(given.turns))
    width, height = given.size
    record = Candidate(0, "i", "", "", "ok", None, None, width, height, None, None, None, None, None, None)
    return Pair(f"p{number}", given.image, turns, record, None)


def draw(path: Path, width: int, height: int, *, mode: str = "L", seed: int = 0) -> Path:
    """Write a picture of noise: JPEG, or what the ending of `path` says."""
    shape = (height, width) if mode == "L" else (height, width, 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)
    return path
