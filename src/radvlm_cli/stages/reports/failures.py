"""Answers that count as wrong, by cause; and the worst samples, with the raw text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from radvlm_cli.reporting.comparison import (
    Cause,
    Failure,
    Problem,
    causes_table,
    failures_table,
    problems_table,
)
from radvlm_cli.reporting.flow import OUTCOMES
from radvlm_cli.reporting.tables import Table, View
from radvlm_cli.stages.reports.evaluations import model_scores
from radvlm_cli.stages.reports.main_values import main_values
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.snapshot import Snapshot

_SHOWN = 240
"""Characters of a text that a table shows."""
_EVALUATIONS = 3
"""Of so many evaluations at most the samples are shown."""
_PROBLEMS = 20
_Ranked = tuple[int, float | None]


def failures_view(store: Snapshot, wanted: Wanted, *, worst: int = 10, whole: bool = False) -> View:
    """The view `failures`: causes of all evaluations asked for, samples of the newest of them."""
    evaluations = select(store, wanted).evaluations
    most = 0 if whole else _SHOWN
    tables = [causes_table([cause for one in evaluations for cause in causes(store, one)])]
    newest = sorted(evaluations, key=lambda one: one.id)[-_EVALUATIONS:]
    for one in reversed(newest):
        tables += _of_evaluation(store, one, worst, most)
    tables.append(problems_table(problems(store)))
    notes = []
    if len(evaluations) > len(newest):
        notes.append("Samples of the newest evaluations only; choose with --model, --test-set or --task.")
    return View("failures", "Failures", tuple(tables), tuple(notes))


def _of_evaluation(store: Snapshot, one: Evaluated, worst: int, most: int) -> list[Table]:
    unread = unreadable(store, one, worst)
    low, metric = worst_samples(store, one, worst)
    name, title = f"{one.test_set.name}-{one.id}", f"{one.model} #{one.id} on {one.test_set.name}"
    tables = []
    if unread:
        tables.append(failures_table(f"unread-{name}", f"{title}: answers that could not be read", unread, most=most))
    if low:
        tables.append(failures_table(f"worst-{name}", f"{title}: worst that could, by {metric}", low, most=most))
    return tables


def causes(store: Snapshot, one: Evaluated) -> list[Cause]:
    """How often answers came out in each way that counts as wrong; errors by their reason."""
    outcomes = model_scores(store, one).outcomes
    found = []
    for status in OUTCOMES[1:]:
        reasons: list[tuple[str | None, int]] = [(None, outcomes.get(status, 0))]
        if status == "error" and outcomes.get(status):
            reasons = list(
                store.rows(
                    "SELECT error, count(*) FROM prediction WHERE evaluation_id = ? AND status = 'error' "
                    "GROUP BY error ORDER BY count(*) DESC",
                    (one.id,),
                )
            )
        for reason, number in reasons:
            if number:
                samples = one.test_set.samples
                found.append(Cause(one.id, one.model, one.test_set.name, status, reason, number, samples))
    return found


def unreadable(store: Snapshot, one: Evaluated, most: int) -> list[Failure]:
    """Answers that count as wrong whatever they say, each kind in turn, at most so many."""
    ranked = list(
        store.rows(
            "SELECT position FROM (SELECT position, status, row_number() OVER (PARTITION BY status ORDER BY position) "
            "AS place FROM parsed WHERE evaluation_id = ? AND status IN ('truncated','empty','unparsable','refused')) "
            "ORDER BY place, status LIMIT ?",
            (one.id, most),
        )
    )
    if len(ranked) < most:
        ranked += store.rows(
            "SELECT position FROM prediction WHERE status = 'error' AND evaluation_id = ? ORDER BY position LIMIT ?",
            (one.id, most - len(ranked)),
        )
    return _failures(store, one, [(position, None) for (position,) in ranked], None)


def worst_samples(store: Snapshot, one: Evaluated, most: int) -> tuple[list[Failure], str | None]:
    """The samples that could be read with the lowest main metric, lowest first; and the metric's title.

    (The highest, of a metric of which low is good.) Samples of which it is not defined are left out.
    """
    found = main_values(store, one)
    if found is None:
        return [], None
    ranked: list[_Ranked] = [each for each in found.ranked() if each[0] not in found.wrong]
    return _failures(store, one, ranked[:most], found.metric.title), found.metric.title


def _failures(store: Snapshot, one: Evaluated, ranked: Sequence[_Ranked], metric: str | None) -> list[Failure]:
    found = []
    for position, score in ranked:
        rows = store.rows(
            "SELECT s.sample_id, coalesce(r.status, p.status, 'unasked'), s.subject, p.text, s.reference, p.error, "
            "s.path FROM test_sample s LEFT JOIN prediction p ON p.evaluation_id = ?1 AND p.position = s.position "
            "LEFT JOIN parsed r ON r.evaluation_id = ?1 AND r.position = s.position "
            "WHERE s.test_set_id = ?2 AND s.position = ?3",
            (one.id, one.test_set.id, position),
        )
        for sample, status, subject, text, reference, error, path in rows:
            found.append(
                Failure(
                    evaluation=one.id,
                    model=one.model,
                    test_set=one.test_set.name,
                    position=position,
                    sample=sample,
                    status=status,
                    score=score,
                    metric=metric,
                    subject=subject,
                    text=text or "",
                    reference=_right(json.loads(reference)),
                    error=error,
                    path=path,
                )
            )
    return found


def _right(reference: dict[str, Any]) -> str:
    """What is right, in the shortest form that says all."""
    if "text" in reference:
        return str(reference["text"])
    if "positive" in reference:
        return ", ".join(reference["positive"]) or "nothing"
    if "turns" in reference:
        return "\n".join(f"{role}: {text}" for role, text in reference["turns"])
    return json.dumps(reference.get("boxes"), ensure_ascii=False)


def problems(store: Snapshot) -> list[Problem]:
    """What other stages skipped or failed, most frequent first."""
    rows = store.rows(
        "SELECT stage, subject, step, status, reason, items FROM problem ORDER BY items DESC, stage, subject, reason "
        f"LIMIT {_PROBLEMS}"
    )
    return [Problem._make(row) for row in rows]
