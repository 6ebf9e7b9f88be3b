"""Samples put together to the tensors that the model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finetuning.anyres import Anyres
from finetuning.chat import IGNORED, Chat
from finetuning.samples import Dropped, Sample, dummy

Batch = dict[str, Any]


@dataclass(frozen=True)
class Collate:
    """Turns a list of samples into a batch; each dropped one becomes a dummy of weight 0, so that ranks stay in step.

    The batch, all on the CPU, padded on the right:

    - `input_ids`, `labels` (rows, length) int64; -100: not supervised
    - not packed: a row per sample, `attention_mask` (rows, length) int64
    - packed: one row, `position_ids` (1, length) from 0 for each sample, and no mask (see packing.py)
    - `sample` (rows, length) int64: which sample of the batch a position is of; -1: padding
    - `pixels` uint8 (tiles, 3, side, side), the tiles of all pictures one after another
    - `tiles` (samples,) int64, `image_sizes` (samples, 2) int64, height and width
    - `weights` (samples,) float32, `tasks` and `ids` list of str
    - `dropped`: list of Dropped; `literals`: int, see Sample
    """

    chat: Chat
    anyres: Anyres
    packed: bool = False
    padding: int = 0
    """Token id at padded positions; any will do."""

    def __call__(self, items: Sequence[Sample | Dropped]) -> Batch:
        """Put samples together; at least one."""
        dropped = [item for item in items if isinstance(item, Dropped)]
        samples = [dummy(self.chat, self.anyres, item.pair_id) if isinstance(item, Dropped) else item for item in items]
        text = _packed(samples) if self.packed else _padded(samples, self.padding)
        return {
            **text,
            "pixels": _pixels(samples),
            "tiles": torch.tensor([len(sample.tiles) for sample in samples]),
            "image_sizes": torch.tensor([sample.size for sample in samples]),
            "weights": torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
            "tasks": [sample.task for sample in samples],
            "ids": [sample.pair_id for sample in samples],
            "dropped": dropped,
            "literals": sum(sample.literals for sample in samples),
        }


def _padded(samples: list[Sample], padding: int) -> dict[str, torch.Tensor]:
    shape = (len(samples), max(len(sample.ids) for sample in samples))
    ids, labels = np.full(shape, padding, np.int64), np.full(shape, IGNORED, np.int64)
    mask, owner = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
    for number, sample in enumerate(samples):
        length = len(sample.ids)
        ids[number, :length], labels[number, :length] = sample.ids, sample.labels
        mask[number, :length], owner[number, :length] = 1, number
    tensors = {"input_ids": ids, "labels": labels, "attention_mask": mask, "sample": owner}
    return {name: torch.from_numpy(array) for name, array in tensors.items()}


def _packed(samples: list[Sample]) -> dict[str, torch.Tensor]:
    lengths = [len(sample.ids) for sample in samples]
    labels = [sample.labels.copy() for sample in samples]
    for each in labels:
        each[0] = IGNORED  # the last position of the sample before would be taught to predict it
    arrays = {
        "input_ids": np.concatenate([sample.ids for sample in samples]),
        "labels": np.concatenate(labels),
        "position_ids": np.concatenate([np.arange(length) for length in lengths]),
        "sample": np.repeat(np.arange(len(samples)), lengths),
    }
    return {name: torch.from_numpy(array.astype(np.int64))[None] for name, array in arrays.items()}


def _pixels(samples: list[Sample]) -> torch.Tensor:
    """All tiles, three channels. Where all pictures are grey the three are one piece of memory: a view of stride 0."""
    grey = all(sample.tiles.shape[1] == 1 for sample in samples)
    tiles = [sample.tiles if grey else np.broadcast_to(sample.tiles, _coloured(sample)) for sample in samples]
    pixels = torch.from_numpy(np.concatenate(tiles))
    return pixels.expand(-1, 3, -1, -1)


def _coloured(sample: Sample) -> tuple[int, ...]:
    count, _, *sides = sample.tiles.shape
    return (count, 3, *sides)
