"""How training went: runs, steps, loss, throughput, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.reporting.tables import View
from radvlm_cli.reporting.training import (
    HeldOut,
    SavedCheckpoint,
    TrainingPoint,
    TrainingRun,
    checkpoints_table,
    curve_table,
    held_out_table,
    training_table,
)
from radvlm_cli.stages.reports.overview import last_event, short_time
from radvlm_cli.store.snapshot import Snapshot

_LAST = 20
"""Steps that loss and throughput are a mean of."""


def training_view(store: Snapshot, run_id: int | None = None, points: int = 20) -> View:
    """All runs; or one, with so many points of its curve."""
    if run_id is None:
        return View("training", "Training", (training_table(training_runs(store)),))
    runs = training_runs(store, run_id)
    if not runs:
        raise ConfigError(f"The store knows no training run {run_id}.", "radvlm report training")
    tables = (
        training_table(runs),
        curve_table(run_id, thinned(curve(store, run_id), points)),
        held_out_table(run_id, held_out(store, run_id)),
        checkpoints_table(run_id, checkpoints(store, run_id)),
    )
    return View("training", f"Training run {run_id}", tables)


def training_runs(store: Snapshot, run_id: int | None = None) -> list[TrainingRun]:
    """Where each run stands, newest first; or one of them."""
    rows = store.rows(
        "SELECT run.id, run.status, training.recipe, dataset.name, training.pairs, run.started_at, "
        "coalesce(run.ended_at, run.heartbeat_at), run.resumed FROM training JOIN run ON run.id = training.run_id "
        "LEFT JOIN dataset ON dataset.id = training.dataset_id WHERE ?1 IS NULL OR run.id = ?1 ORDER BY run.id DESC",
        (run_id,),
    )
    return [_run(store, row) for row in rows]


def _run(store: Snapshot, row: tuple[Any, ...]) -> TrainingRun:
    run_id, status, recipe, dataset, pairs, started, ended, resumed = row
    last = _last_steps(store, run_id)
    began, newest = last_event(store, run_id, "started") or {}, last[0] if last else {}
    number, size, saved = next(
        store.rows(
            "SELECT count(*), sum(bytes), max(step) FROM checkpoint WHERE run_id = ? AND status = 'complete'", (run_id,)
        )
    )
    took = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    return TrainingRun(
        run=run_id,
        status=status,
        recipe=recipe,
        dataset=dataset,
        pairs=pairs,
        step=newest.get("step"),
        steps=began.get("steps"),
        loss=_mean([step.get("loss") for step in last]),
        held_out=_held_out_mean(last_event(store, run_id, "evaluation") or {}),
        tokens_per_s=_mean([step.get("tokens_per_s") for step in last]),
        samples_per_s=_mean([step.get("samples_per_s") for step in last]),
        mfu=_mean([step.get("mfu") for step in last]),
        memory_gib=newest.get("memory_gib"),
        took_s=took,
        checkpoints=number,
        checkpoint_step=saved,
        checkpoint_bytes=size or 0,
        resumed=resumed,
        started=short_time(started) or "",
    )


def _last_steps(store: Snapshot, run_id: int) -> list[dict[str, Any]]:
    """The newest steps of rank 0, newest first."""
    rows = store.rows(
        "SELECT body FROM event WHERE run_id = ? AND kind = 'step' AND file = 'rank0.spool.jsonl' "
        f"ORDER BY offset DESC LIMIT {_LAST}",
        (run_id,),
    )
    return [json.loads(body) for (body,) in rows]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _held_out_mean(event: dict[str, Any]) -> float | None:
    losses = [each for each in (event.get("losses") or {}).values() if each.get("loss") is not None]
    tokens = sum(each.get("tokens") or 0 for each in losses)
    if not tokens:
        return _mean([each["loss"] for each in losses])
    return float(sum(each["loss"] * (each.get("tokens") or 0) for each in losses) / tokens)


def curve(store: Snapshot, run_id: int) -> list[TrainingPoint]:
    """All steps of a run; one that a resume did again as it was done last."""
    rows = store.rows(
        "SELECT step, consumed_samples, loss, learning_rate, gradient_norm, tokens_per_s, memory_gib "
        "FROM training_step WHERE run_id = ? ORDER BY step",
        (run_id,),
    )
    return [TrainingPoint._make(row) for row in rows]


def thinned(points: Sequence[TrainingPoint], most: int) -> list[TrainingPoint]:
    """At most so many points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    if most < 2:
        return list(points[-1:])
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def held_out(store: Snapshot, run_id: int) -> list[HeldOut]:
    """Loss on held-out pairs whenever it was measured, by task."""
    rows = store.rows(
        "SELECT step, task, loss, samples FROM training_evaluation WHERE run_id = ? ORDER BY step, task", (run_id,)
    )
    return [HeldOut._make(row) for row in rows]


def checkpoints(store: Snapshot, run_id: int) -> list[SavedCheckpoint]:
    """Checkpoints, those removed too."""
    rows = store.rows(
        "SELECT step, consumed_samples, bytes, status, saved_at, path FROM checkpoint WHERE run_id = ? ORDER BY step",
        (run_id,),
    )
    return [SavedCheckpoint._make((*row[:4], short_time(row[4]), row[5])) for row in rows]
