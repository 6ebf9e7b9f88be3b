"""Runs of `eval` in the store: which to resume, what each brought."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from radvlm_cli.errors import ConfigError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import answering_rows, counts, evaluation_row, evaluation_rows
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


def require_same_conditions(store: Store, run_id: int, planned: Mapping[str, Mapping[str, Any]]) -> None:
    """ConfigError, naming what changed, where a run that began would go on with other evaluations than it has.

    `planned`: name of a test set -> identity of the evaluation that is to be gone on with.
    """
    numbers = next((row.evaluations for row in answering_rows(store) if row.run_id == run_id), None)
    if numbers is None:
        return  # it was ended before it began
    rows = [evaluation_row(store, number) for number in numbers]
    before = {set_row(store, row.test_set_id).name: row.identity for row in rows}
    changed: dict[str, str] = {}
    for test_set in sorted({*before, *planned}):
        was, now = before.get(test_set, {}), planned.get(test_set, {})
        for name in sorted({*was, *now}):
            if was.get(name) != now.get(name):
                changed.setdefault(name.replace("_", " "), f"was {_brief(was.get(name))}, now {_brief(now.get(name))}")
    if changed:
        listed = "; ".join(f"{name}: {how}" for name, how in changed.items())
        raise ConfigError(
            f"Run {run_id} began under other conditions, and its answers would not be alike ({listed}).",
            "Resume it under the same conditions, or start anew: radvlm eval without --resume",
        )


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
