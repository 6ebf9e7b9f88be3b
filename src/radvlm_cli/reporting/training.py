"""Rows of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Table


class TrainingRun(NamedTuple):
    """A run of `train` and where it stands."""

    run: int
    status: str
    recipe: str
    dataset: str | None
    pairs: int
    step: int | None
    steps: int | None
    loss: float | None
    """Mean of the last steps, at most 20."""
    held_out: float | None
    """Loss on held-out pairs when it was last measured, mean over tasks by tokens."""
    tokens_per_s: float | None
    """Mean of the last steps, at most 20, over all processes."""
    samples_per_s: float | None
    mfu: float | None
    memory_gib: float | None
    took_s: float | None
    checkpoints: int
    checkpoint_step: int | None
    checkpoint_bytes: int
    resumed: int
    started: str


class TrainingPoint(NamedTuple):
    """An optimizer step of a run."""

    step: int
    samples: int | None
    loss: float | None
    learning_rate: float | None
    gradient_norm: float | None
    tokens_per_s: float | None
    memory_gib: float | None


class HeldOut(NamedTuple):
    """Loss on held-out pairs of a task."""

    step: int
    task: str
    loss: float | None
    samples: int | None


class SavedCheckpoint(NamedTuple):
    """A checkpoint of a run."""

    step: int
    samples: int
    bytes: int
    status: str
    saved: str
    path: str


def training_table(rows: Sequence[TrainingRun]) -> Table:
    """Runs, newest first."""
    columns = (
        Column("run", lambda row: row.run, "count", key=True),
        Column("recipe", lambda row: row.recipe, key=True),
        Column("status", lambda row: row.status),
        Column("step", lambda row: row.step, "count"),
        Column("of", lambda row: row.steps, "count", name="steps"),
        Column("loss", lambda row: row.loss, "number"),
        Column("held out", lambda row: row.held_out, "number", name="held_out_loss"),
        Column("tokens/s", lambda row: _whole(row.tokens_per_s), "count", name="tokens_per_s"),
        Column("samples/s", lambda row: row.samples_per_s, "number", name="samples_per_s"),
        Column("MFU", lambda row: row.mfu, "share", name="mfu"),
        Column("GiB", lambda row: row.memory_gib, "number", name="memory_gib"),
        Column("took", lambda row: row.took_s, "seconds", name="took_s"),
        Column("checkpoints", lambda row: row.checkpoints, "count"),
        Column("last at step", lambda row: row.checkpoint_step, "count", name="checkpoint_step"),
        Column("on disk", lambda row: row.checkpoint_bytes, "bytes", name="checkpoint_bytes"),
        Column("resumed", lambda row: row.resumed or None, "count"),
        Column("pairs", lambda row: row.pairs, "count"),
        Column("dataset", lambda row: row.dataset),
        Column("started (UTC)", lambda row: row.started, name="started"),
    )
    note = "Loss and throughput: mean of a run's last 20 steps. One run in detail: radvlm report training --run RUN"
    return Table("runs", "Training runs", columns, tuple(rows), (note,) if rows else ())


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def curve_table(run: int, rows: Sequence[TrainingPoint]) -> Table:
    """Steps of a run."""
    columns = (
        Column("step", lambda row: row.step, "count", key=True),
        Column("samples", lambda row: row.samples, "count"),
        Column("loss", lambda row: row.loss, "number"),
        Column("learning rate", lambda row: _small(row.learning_rate), name="learning_rate"),
        Column("gradient norm", lambda row: row.gradient_norm, "number", name="gradient_norm"),
        Column("tokens/s", lambda row: _whole(row.tokens_per_s), "count", name="tokens_per_s"),
        Column("GiB", lambda row: row.memory_gib, "number", name="memory_gib"),
    )
    return Table("steps", f"Steps of run {run}", columns, tuple(rows))


def _small(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def held_out_table(run: int, rows: Sequence[HeldOut]) -> Table:
    """Held-out loss by task."""
    columns = (
        Column("step", lambda row: row.step, "count", key=True),
        Column("task", lambda row: row.task, key=True),
        Column("loss", lambda row: row.loss, "number"),
        Column("samples", lambda row: row.samples, "count"),
    )
    return Table("held-out", f"Loss of run {run} on held-out pairs", columns, tuple(rows))


def checkpoints_table(run: int, rows: Sequence[SavedCheckpoint]) -> Table:
    """Checkpoints of a run."""
    columns = (
        Column("step", lambda row: row.step, "count", key=True),
        Column("samples", lambda row: row.samples, "count"),
        Column("size", lambda row: row.bytes, "bytes", name="bytes"),
        Column("status", lambda row: row.status),
        Column("saved (UTC)", lambda row: row.saved, name="saved"),
        Column("folder", lambda row: row.path, "words", name="path"),
    )
    return Table("checkpoints", f"Checkpoints of run {run}", columns, tuple(rows))
