"""The data of a run, from the manifest: what is trained on, what is left out, and the steps that are left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from finetuning.anyres import Anyres
from finetuning.chat import Chat
from finetuning.collate import Collate
from finetuning.errors import TrainingError
from finetuning.evaluation import HeldOutLoss
from finetuning.events import SpoolWriter
from finetuning.lengths import UNREADABLE, Lengths, lengths_of, select
from finetuning.loading import Plan, Steps
from finetuning.manifest import Manifest
from finetuning.order import Order, Rows
from finetuning.places import Place
from finetuning.samples import Samples
from finetuning.table import open_table

FAULTY_SHARE = 0.001
"""Most pairs that may turn out to be faulty while they are loaded. A dataset that was built has none."""


class Counted(NamedTuple):
    """What the samples of a run brought so far, on all ranks."""

    unreadable: int = 0
    """Samples without their image."""
    faulty: int = 0
    """Samples left out for anything else that was found while loading: no conversation, longer than was counted."""
    literals: int = 0
    """How often a text held what reads like a special token; it was kept as text."""


@dataclass(frozen=True)
class TrainingData:
    """The table of a run and what of it is trained on."""

    samples: Samples
    lengths: Lengths
    rows: Rows
    """Row numbers that are trained on."""
    dropped: dict[str, Rows]
    """Row numbers that are left out from the start, by reason."""

    def total_samples(self, manifest: Manifest) -> int:
        """Samples that the whole run takes at least; the last global batch is filled up."""
        optimization = manifest.optimization
        if optimization.max_steps is not None:
            return optimization.max_steps * optimization.global_batch
        return math.ceil(optimization.epochs * len(self.rows))

    def refuse_dropped(self, counted: Counted, manifest: Manifest) -> None:
        """TrainingError where too many pairs are unusable; `counted` since the run began.

        A pair that is met in each of several epochs is dropped in each, so those are held against the whole run. Pairs
        that are too long are left out by the user's own --max-length and held against nothing.
        """
        pairs, of = len(self.samples), max(len(self.samples), self.total_samples(manifest))
        at_start, allowed = len(self.dropped.get(UNREADABLE, ())), manifest.data.unreadable_share
        told = "the view dropped_pair of the store (the dropped events of the spool) names each with its reason"
        if at_start / pairs + counted.unreadable / of > allowed:
            raise TrainingError(
                f"{at_start} of {pairs} pairs have no readable image and the images of {counted.unreadable} of {of} "
                f"samples could not be loaded, more than the allowed share of {allowed:g}; {told}",
                "Mend the images, or allow more: --set data.unreadable_share=SHARE",
            )
        if counted.faulty / of > FAULTY_SHARE:
            raise TrainingError(
                f"{counted.faulty} of {of} samples are no conversation about a picture, or longer than was counted, "
                f"more than a share of {FAULTY_SHARE:g}; {told}",
                "Build the dataset again: radvlm build --output FOLDER",
            )

    def tell_dropped(self, spool: SpoolWriter) -> None:
        """One event for each pair that is left out from the start."""
        for reason, rows in self.dropped.items():
            for row in rows.tolist():
                spool.append("dropped", pair_id=self.samples.table.row(row).pair_id, reason=reason)


def open_data(manifest: Manifest, note: Callable[[str], None]) -> TrainingData:
    """Open the table, and leave out what is too long or has no image; TrainingError where nothing is left.

    `note` is told of work that may take minutes.
    """
    data = manifest.data
    samples = _samples(manifest, data.table, data.sha256)
    lengths = lengths_of(
        samples.table,
        samples.chat,
        samples.anyres,
        image_root=data.image_root,
        max_image_side=data.max_image_side,
        note=note,
    )
    rows, dropped = select(lengths, data.max_length)
    if not len(rows):
        reasons = "; ".join(f"{len(each)}: {reason}" for reason, each in dropped.items())
        raise TrainingError(f"{data.table} holds no pair that can be trained on ({reasons or 'it is empty'})")
    return TrainingData(samples, lengths, rows, dropped)


def _samples(manifest: Manifest, table: Path, sha256: str | None) -> Samples:
    data, folder = manifest.data, manifest.model.path
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        anyres = Anyres.of_folder(folder)
        chat = Chat(tokenizer, manifest.loss.mask)
    except Exception as error:
        # The tokenizers package raises plain Exception for a file that it cannot read.
        raise TrainingError(
            f"{folder} is no LLaVA-OneVision model that can be trained: {error}",
            "Give a folder that radvlm convert wrote.",
        ) from error
    return Samples(
        open_table(table, data.cache, sha256=sha256),
        chat,
        anyres,
        max_length=data.max_length,
        max_image_side=data.max_image_side,
        image_root=data.image_root,
    )


def plan_steps(manifest: Manifest, place: Place, data: TrainingData, *, consumed_samples: int, done: int) -> Steps:
    """The steps of this rank after `done` steps, which took `consumed_samples`."""
    optimization, budget = manifest.optimization, manifest.packing.tokens
    plan = Plan(
        Order(optimization.seed, len(data.rows)),
        global_batch=optimization.global_batch,
        micro_batch=optimization.micro_batch,
        total_samples=data.total_samples(manifest),
        consumed_samples=consumed_samples,
        rank=place.rank,
        world=place.world,
        rows=data.rows,
        lengths=np.asarray(data.lengths.tokens),
        budget=budget,
    )
    collate = Collate(data.samples.chat, data.samples.anyres, packed=budget is not None)
    return Steps(plan, data.samples, collate, done=done, workers=manifest.data.workers)


def held_out_loss(manifest: Manifest) -> HeldOutLoss | None:
    """The evaluation of the manifest, if it names a table for it."""
    held_out = manifest.data.held_out
    if held_out.table is None:
        return None
    samples = _samples(manifest, held_out.table, None)
    collate = Collate(samples.chat, samples.anyres)
    return HeldOutLoss(
        samples, collate, per_task=held_out.per_task, norm=manifest.loss.norm, workers=manifest.data.workers
    )
