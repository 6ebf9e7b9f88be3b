"""The order in which samples are taken: a pure function of the seed, and one number tells where a run stands.

The samples of a run are one endless row: a shuffle of all, another shuffle of all, and so on. A global batch is the
next piece of it, so a batch may hold the end of one epoch and the start of the next, and no sample is left out. A run
of so many samples takes whole batches until it has seen them all: the last batch is filled up from the shuffle that
would come next.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Order(NamedTuple):
    """The order of `rows` samples under a seed."""

    seed: int
    rows: int

    def epoch(self, number: int) -> Rows:
        """The shuffle of all samples for one epoch, counted from 0."""
        return _shuffle(self.seed, self.rows, number)

    def slice(self, start: int, stop: int) -> Rows:
        """Samples `start` to `stop` of the endless row."""
        parts, at = [], start
        while at < stop:
            number, within = divmod(at, self.rows)
            parts.append(self.epoch(number)[within : within + stop - at])
            at += len(parts[-1])
        return np.concatenate(parts) if parts else np.empty(0, np.int64)


@lru_cache(maxsize=2)
def _shuffle(seed: int, rows: int, number: int) -> Rows:
    # Sorted by raw random words, not shuffled by Generator: numpy promises that the words of PCG64 stay, but no more.
    words = np.random.PCG64(np.random.SeedSequence([seed, number])).random_raw(rows)
    shuffle = np.argsort(words, kind="stable")
    shuffle.flags.writeable = False
    return shuffle


def steps_of(total_samples: int, global_batch: int) -> int:
    """Number of global batches that see `total_samples` samples."""
    return -(-total_samples // global_batch)


def batches(order: Order, *, global_batch: int, consumed_samples: int, total_samples: int) -> Iterator[Rows]:
    """Yield the rows of each global batch from `consumed_samples` on until at least `total_samples` are taken.

    Every rank sees the same batches, whatever their number. Raises ValueError for an empty dataset.
    """
    if order.rows < 1 or global_batch < 1 or consumed_samples < 0:
        raise ValueError(f"no batches of {global_batch} from {order.rows} samples at {consumed_samples}")
    for start in range(consumed_samples, total_samples, global_batch):
        yield order.slice(start, start + global_batch)


def share(batch: Rows, *, micro_batch: int, rank: int, world: int) -> list[Rows]:
    """The micro-batches of one rank, dealt in turn: micro-batch m goes to rank m modulo `world`."""
    if len(batch) % (micro_batch * world):
        raise ValueError(f"a global batch of {len(batch)} is no multiple of {micro_batch} x {world}")
    return list(batch.reshape(-1, world, micro_batch)[:, rank])
