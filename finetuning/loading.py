"""Optimizer steps as the trainer takes them: lists of micro-batches, read ahead by worker processes."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from finetuning.collate import Batch, Collate
from finetuning.order import Order, Rows, batches, share, steps_of
from finetuning.packing import packs_of
from finetuning.samples import Samples
from finetuning.stopping import die_with_parent


class Plan:
    """Which rows this rank takes, step after step: a function of the order and of where the run stands."""

    def __init__(
        self,
        order: Order,
        *,
        global_batch: int,
        micro_batch: int,
        total_samples: int,
        consumed_samples: int,
        rank: int,
        world: int,
        rows: Rows,
        lengths: NDArray[np.int32],
        budget: int | None = None,
    ) -> None:
        """`rows`: the row numbers of the table that `order` shuffles; `consumed_samples`: how many the run has taken.

        `budget`: tokens of a pack, planned by the `lengths` by row number; None: `micro_batch` samples at a time.
        """
        self.order, self.rows, self.lengths, self.budget = order, rows, lengths, budget
        self.global_batch, self.micro_batch, self.total_samples = global_batch, micro_batch, total_samples
        self.rank, self.world = rank, world
        self.consumed_samples = consumed_samples

    def steps_left(self) -> int:
        """Global batches from `consumed_samples` to the end of the run."""
        return steps_of(max(0, self.total_samples - self.consumed_samples), self.global_batch)

    def steps(self) -> Iterator[list[list[int]]]:
        """This rank's micro-batches, as row numbers, of each step that is left. All ranks get equally many."""
        for places in batches(
            self.order,
            global_batch=self.global_batch,
            consumed_samples=self.consumed_samples,
            total_samples=self.total_samples,
        ):
            batch = self.rows[places]
            if self.budget is None:
                parts = share(batch, micro_batch=self.micro_batch, rank=self.rank, world=self.world)
                yield [part.tolist() for part in parts]
            else:
                yield packs_of(batch, self.lengths, budget=self.budget, world=self.world, rank=self.rank)


class Steps:
    """What the trainer iterates over: each item is the list of a step's micro-batches.

    Its length is that of the whole run, as the trainer counts, though after `done` steps it gives only what is left.
    """

    def __init__(self, plan: Plan, samples: Samples, collate: Collate, *, done: int, workers: int) -> None:
        self.plan, self.samples, self.collate, self.workers = plan, samples, collate, workers
        self.done = done

    def __len__(self) -> int:
        return self.done + self.plan.steps_left()

    def __iter__(self) -> Iterator[list[Batch]]:
        sizes: list[int] = []

        def micro_batches() -> Iterator[list[int]]:
            for step in self.plan.steps():
                sizes.append(len(step))
                yield from step

        loaded = iter(self._loader(_Micro(micro_batches)))
        # The sampler runs ahead of what it gives, so a step's size is known before its last micro-batch arrives.
        for number in range(self.plan.steps_left()):
            step = list(islice(loaded, 1))
            if not step:
                return
            step += islice(loaded, sizes[number] - 1)
            yield step

    def _loader(self, sampler: Any) -> DataLoader[Any]:
        ahead: dict[str, Any] = {}
        if self.workers:
            accumulation = math.ceil(self.plan.global_batch / (self.plan.micro_batch * self.plan.world))
            # One step ahead of the one in hand.
            ahead = {"prefetch_factor": max(2, math.ceil(accumulation / self.workers)), "worker_init_fn": start_worker}
        return DataLoader(
            self.samples,  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=self.collate,
            num_workers=self.workers,
            # A generator of its own: the loader would draw from the global one, which a resume restores.
            generator=torch.Generator().manual_seed(0),
            **ahead,
        )


class _Micro:
    """Row numbers of micro-batches, as a batch sampler."""

    def __init__(self, start: Any) -> None:
        self._start = start

    def __iter__(self) -> Iterator[list[int]]:
        micro: Iterator[list[int]] = self._start()
        return micro


def start_worker(_number: int) -> None:
    """In each worker of a loader, before it loads anything."""
    die_with_parent()
    # A stop is for the trainer to answer; a worker that dies of the signal would fail the step in hand.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    torch.set_num_threads(1)
