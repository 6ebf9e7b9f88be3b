"""The training runs that a store knows: which to resume, where each stands, and stopping one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.progress import Progress
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import mark_dead_runs
from radvlm_cli.store.spool import take_in
from radvlm_cli.store.training import TrainingRow, last_event, reconcile_checkpoints, training_row, training_rows
from radvlm_cli.training.manifest import STOP_FILE
from radvlm_cli.training.slurm import job_state


def choose_run(store: Store, run_id: int | None, progress: Progress) -> TrainingRow:
    """The run to resume: the one asked for, else the newest that did not finish; ConfigError where there is none."""
    mark_dead_runs(store)
    if run_id is not None:
        row = training_row(store, run_id)
        if not row.unfinished:
            raise ConfigError(f"Run {run_id} is {row.status}: there is nothing to resume.", "radvlm train --list")
        if (state := _state_in_slurm(row)) is not None:
            # Two trainers would write into one folder, on nodes whose file system may know no locks.
            raise ConfigError(
                f"Run {run_id} is in the hands of SLURM: job {row.job_id} is {state.lower()}.",
                f"radvlm train --follow {run_id}; or first: radvlm train --stop {run_id}, or scancel {row.job_id}",
            )
        return row
    waiting = [row for row in training_rows(store) if row.unfinished and row.status != "running"]
    waiting = [row for row in waiting if _state_in_slurm(row) is None]
    if not waiting:
        raise ConfigError("There is no training run to resume.", "radvlm train --list")
    if len(waiting) > 1:
        others = ", ".join(str(row.run_id) for row in waiting[:-1])
        progress.note(f"Going on with run {waiting[-1].run_id}; --run chooses another that did not finish: {others}.")
    return waiting[-1]


def followed_run(store: Store, run_id: int) -> TrainingRow:
    """The run to follow; ConfigError where it never was SLURM's, so that nobody waits for what will not come."""
    mark_dead_runs(store)
    row = training_row(store, run_id)
    if row.job_id is None:
        hint = f"radvlm train --resume --run {run_id}" if row.status in ("interrupted", "failed") else None
        raise ConfigError(
            f"Run {run_id} is not trained by SLURM, and is {row.status}.",
            hint or "radvlm train --list shows where it is",
        )
    return row


def _state_in_slurm(row: TrainingRow) -> str | None:
    """The state of the job that has an unfinished run and waits or runs."""
    return job_state(row.job_id) if row.job_id is not None and row.unfinished else None


def arguments_of_run(store: Store, run_id: int) -> dict[str, Any]:
    """The options that a run has in its record."""
    arguments: dict[str, Any] = json.loads(store.value("SELECT arguments FROM run WHERE id = ?", (run_id,)))
    return arguments


def list_runs(store: Store) -> list[dict[str, Any]]:
    """Where each training run stands; spools of runs that are not watched are taken in first."""
    mark_dead_runs(store)
    rows = []
    for row in training_rows(store):
        if row.unfinished and row.folder.is_dir() and row.status != "running":
            take_in(store, row.run_id, row.folder)
            reconcile_checkpoints(store, row.run_id, row.folder)
        rows.append(_line(store, row))
    return rows


def _line(store: Store, row: TrainingRow) -> dict[str, Any]:
    started = last_event(store, row.run_id, ("started",)) or {}
    step = last_event(store, row.run_id, ("step",)) or {}
    saved = store.value("SELECT max(step) FROM checkpoint WHERE run_id = ? AND status = 'complete'", (row.run_id,))
    state = row.status
    if row.job_id is not None and row.status == "interrupted":
        state = f"job {row.job_id} {(job_state(row.job_id) or 'over').lower()}"
    return {
        "run": row.run_id,
        "state": state,
        "recipe": row.recipe,
        "step": step.get("step"),
        "steps": started.get("steps"),
        "loss": None if step.get("loss") is None else round(step["loss"], 4),
        "checkpoint": saved,
        "started": row.started_at[:16].replace("T", " "),
        "folder": str(row.folder),
    }


def stop_run(store: Store, which: str) -> TrainingRow:
    """Ask a run, by number or folder, to save a checkpoint and end; ConfigError where it is not at work."""
    mark_dead_runs(store)
    row = _find(store, which)
    at_work = row.status == "running" or _state_in_slurm(row) is not None
    if not at_work:
        go_on = f"radvlm train --resume --run {row.run_id}" if row.unfinished else "radvlm train --list"
        raise ConfigError(f"Run {row.run_id} is not at work: it is {row.status}.", go_on)
    (row.folder / STOP_FILE).touch()
    return row


def _find(store: Store, which: str) -> TrainingRow:
    if which.isdigit():
        return training_row(store, int(which))
    folder = Path(which).absolute()
    for row in training_rows(store):
        if row.folder == folder:
            return row
    raise ConfigError(f"The store knows no training run in {folder}.", "radvlm train --list")
