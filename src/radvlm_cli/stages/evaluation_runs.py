"""Runs of `eval` in the store: which to resume, what each brought."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import answering_row, counts, evaluation_row, evaluation_rows
from radvlm_cli.store.runs import mark_dead_runs
from radvlm_cli.store.test_sets import set_row


def choose_run(store: Store, wanted: int | None, say: Callable[[str], None]) -> int:
    """The evaluation run to go on with: of that number, else the last that did not finish."""
    mark_dead_runs(store)
    rows = list(store.rows("SELECT id, status FROM run WHERE command = 'eval' ORDER BY id"))
    if wanted is not None:
        status = dict(rows).get(wanted)
        if status is None:
            raise ConfigError(f"The store knows no evaluation run {wanted}.", "radvlm eval --list")
        if status not in ("interrupted", "failed"):
            raise ConfigError(
                f"Run {wanted} is {status}: there is nothing to resume.", "Run the same command without --resume"
            )
        return wanted
    waiting = [run_id for run_id, status in rows if status in ("interrupted", "failed")]
    if not waiting:
        raise ConfigError("There is no evaluation run to resume.", "radvlm eval --model MODEL")
    if len(waiting) > 1:
        others = ", ".join(map(str, waiting[:-1]))
        say(f"Going on with run {waiting[-1]}; --run chooses another that did not finish: {others}.")
    return int(waiting[-1])


def arguments_of_run(store: Store, run_id: int) -> dict[str, Any]:
    """The options that a run has in its record."""
    arguments: dict[str, Any] = json.loads(store.value("SELECT arguments FROM run WHERE id = ?", (run_id,)))
    return arguments


def evaluations_of_run(store: Store, run_id: int) -> tuple[int, ...]:
    """The evaluations that a run works on; ConfigError where it is no evaluation run."""
    return answering_row(store, run_id).evaluations


def list_evaluations(store: Store) -> list[dict[str, Any]]:
    """A row per evaluation: how far it is, and how the answers came out."""
    return [evaluation_line(store, row.id) for row in evaluation_rows(store)]


def evaluation_line(store: Store, evaluation_id: int) -> dict[str, Any]:
    """One evaluation: model, test set, the published count beside the samples found, and answers by status."""
    row = evaluation_row(store, evaluation_id)
    test_set, found = set_row(store, row.test_set_id), counts(store, row.id)
    return {
        "evaluation": row.id,
        "model": row.model,
        "test set": test_set.name,
        "task": test_set.task,
        "published": test_set.expected,
        "samples": test_set.samples,
        "patients": test_set.patients,
        "answered": sum(found.values()),
        **{status: found.get(status, 0) for status in ("ok", "empty", "truncated", "refused", "error")},
        "run": row.run_id,
        "status": row.status,
    }
