"""The teacher-forced loss per task on held-out pairs: always the same pairs, shared by all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from finetuning.collate import Collate
from finetuning.loading import start_worker
from finetuning.losses import Norm, find_targets, sample_means
from finetuning.order import Order
from finetuning.samples import FILLER, Samples
from finetuning.table import Table
from finetuning.trainer import LlavaTrainer


def choose(table: Table, per_task: int) -> tuple[list[str], list[int]]:
    """The tasks of a table, sorted, and the rows to evaluate: `per_task` of each, drawn the same way every time."""
    names = np.concatenate([batch.column("task").to_numpy(zero_copy_only=False) for batch in table.batches])
    taken: dict[str, list[int]] = {}
    for row in Order(0, len(names)).epoch(0):
        chosen = taken.setdefault(str(names[row]), [])
        if len(chosen) < per_task:
            chosen.append(int(row))
    return sorted(taken), sorted(row for rows in taken.values() for row in rows)


class HeldOutLoss:
    """Evaluates a model in training on the held-out pairs."""

    def __init__(self, samples: Samples, collate: Collate, *, per_task: int, norm: Norm, workers: int) -> None:
        """`collate` must not pack."""
        self.samples, self.collate, self.norm, self.workers = samples, collate, norm, workers
        self.tasks, self.rows = choose(samples.table, per_task)

    def __call__(self, trainer: LlavaTrainer) -> dict[str, dict[str, float | int]]:
        """{task: {loss, samples, tokens}}, the same on every rank; a task of which no pair could be read is left out.

        The loss (nats) is averaged as in training: over samples, or over tokens.
        """
        model = trainer.model_wrapped
        training = model.training
        model.eval()
        sums = torch.zeros(len(self.tasks), 3, dtype=torch.float64)
        with torch.no_grad():
            for batch in self._batches(trainer.args.process_index, trainer.args.world_size):
                self._add(sums, batch, trainer, model)
        model.train(training)
        return self._losses(trainer.sum_over_ranks(sums))

    def _batches(self, rank: int, world: int) -> Any:
        """This rank's pairs, one at a time. Every rank gets equally many, since ZeRO-3 has them run in step."""
        rounds = -(-len(self.rows) // world) * world
        rows = [*self.rows, *[FILLER] * (rounds - len(self.rows))]
        sampler: Sequence[list[int]] = [[row] for row in rows[rank::world]]
        return DataLoader(
            self.samples,  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=self.collate,
            num_workers=self.workers,
            worker_init_fn=start_worker,
            # Evaluating must leave the random numbers of training alone.
            generator=torch.Generator().manual_seed(0),
        )

    def _add(self, sums: Tensor, batch: dict[str, Any], trainer: LlavaTrainer, model: Any) -> None:
        targets = find_targets(batch["labels"], batch["sample"])
        means, tokens = sample_means(trainer.logits(model, batch, targets), targets, len(batch["weights"]))
        for task, weight, mean, count in zip(batch["tasks"], batch["weights"].tolist(), means, tokens, strict=True):
            if weight and count:
                part = mean if self.norm == "sample" else mean * count
                sums[self.tasks.index(task)] += torch.stack([part, torch.ones_like(count), count])

    def _losses(self, sums: Tensor) -> dict[str, dict[str, float | int]]:
        losses: dict[str, dict[str, float | int]] = {}
        for task, (total, samples, tokens) in zip(self.tasks, sums.tolist(), strict=True):
            if samples:
                losses[task] = {
                    "loss": total / (samples if self.norm == "sample" else tokens),
                    "samples": int(samples),
                    "tokens": int(tokens),
                }
        return losses
