"""Models by metrics, findings one by one, and published figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from radvlm_cli.reporting.evaluation import (
    LabelScores,
    Metric,
    ModelScores,
    SampleSet,
    labels_table,
    readable_table,
    scores_table,
)
from radvlm_cli.reporting.tables import Estimate, Table, View
from radvlm_cli.stages.reports.numbers import families_of_task, metric, metrics_shown, read_numbers
from radvlm_cli.stages.reports.overview import short_time
from radvlm_cli.stages.reports.published import published_figures
from radvlm_cli.stages.reports.selection import Evaluated, Selection, Wanted, select
from radvlm_cli.store.snapshot import Snapshot

READABLE = "parsed-only"
"""The part of `score` over the answers that could be read."""
_LABEL_METRICS = ("precision", "recall", "specificity", "f1")
_INTERVALS = (
    "In brackets 95 % intervals: percentile bootstrap of patients, 2,000 draws, seed 0. Failures count as wrong. "
    "No winner is marked: radvlm report compare A B"
)


class Shown(NamedTuple):
    """What the view `eval` shows besides the matrix."""

    every_metric: bool = False
    labels: bool = False
    readable: bool = False


def evaluations_view(store: Snapshot, wanted: Wanted, shown: Shown) -> View:
    """The view `eval`."""
    selection = select(store, wanted)
    tables: list[Table] = []
    for test_set, evaluations in selection.by_test_set().items():
        rows = [model_scores(store, one) for one in evaluations]
        metrics = metrics_shown([name for row in rows for name in row.scores], shown.every_metric)
        known = [each for each in metrics if any(_value(row, each) is not None for row in rows)]
        notes = _lacking(rows, [each for each in metrics if each not in known])
        metrics = known
        tables.append(scores_table(test_set, metrics, [_only(row, metrics) for row in rows], notes))
        if shown.readable:
            tables.append(readable_table(test_set, metrics, rows))
        if shown.labels:
            tables.append(_labels(store, test_set, evaluations))
        figures = published_figures(test_set, rows)
        if figures is not None:
            tables.append(figures)
    return View("eval", "Evaluation", tuple(tables), _notes(selection))


def _value(row: ModelScores, metric: Metric) -> float | None:
    return row.scores[metric.name].value if metric.name in row.scores else None


def _lacking(rows: Sequence[ModelScores], metrics: Sequence[Metric]) -> list[str]:
    """What is said of metrics that no model has a value of: they have no column."""
    why: dict[str, list[str]] = {}
    for each in metrics:
        remark = next((row.scores[each.name].remark for row in rows if each.name in row.scores), None)
        why.setdefault(remark or "not defined here", []).append(each.title)
    return [f"without {', '.join(titles)}: {remark}" for remark, titles in why.items()]


def _notes(selection: Selection) -> tuple[str, ...]:
    if not selection.older:
        return (_INTERVALS,)
    return (_INTERVALS, f"{selection.older:,} older evaluations of the same models are not shown: --every")


def model_scores(store: Snapshot, one: Evaluated) -> ModelScores:
    """The stored scores of an evaluation, and how its answers came out."""
    scores: dict[str, Estimate] = {}
    readable: dict[str, Estimate] = {}
    coverages: dict[str, float] = {}
    for name, part, coverage, *row in store.rows(
        "SELECT metric, part, coverage, value, low, high, n, clusters, remark FROM score WHERE evaluation_id = ? "
        "AND part IN ('', ?)",
        (one.id, READABLE),
    ):
        (readable if part else scores)[name] = Estimate(*row)
        if not part and coverage is not None:
            coverages[name] = coverage
    outcomes = outcomes_of(store, one)
    return ModelScores(
        evaluation=one.id,
        model=one.model,
        test_set=one.test_set,
        status=one.status,
        begun=short_time(one.begun) or "",
        answered=one.test_set.samples - outcomes.get("unasked", 0),
        outcomes=outcomes,
        coverage=min(coverages.values(), default=None),
        scores=scores,
        readable=readable,
    )


def outcomes_of(store: Snapshot, one: Evaluated) -> dict[str, int]:
    """Answers by how they came out: as they were read where they were, else as they were given."""
    read = dict(store.rows("SELECT status, count(*) FROM parsed WHERE evaluation_id = ? GROUP BY status", (one.id,)))
    given = dict(
        store.rows(
            # + keeps SQLite from searching by status: the evaluation is what leads.
            "SELECT status, count(*) FROM prediction INDEXED BY ix_prediction_status "
            "WHERE status IN ('ok','empty','unparsable','truncated','error','refused') AND evaluation_id = ? "
            "GROUP BY status",
            (one.id,),
        )
    )
    answered = sum(given.values())
    outcomes: dict[str, int] = read if sum(read.values()) >= answered else given
    unasked = one.test_set.samples - answered
    if unasked > 0:  # scoring reads what was never asked as an error
        errors = outcomes.get("error", 0) - (unasked if outcomes is read else 0)
        outcomes = {**outcomes, "error": max(errors, 0), "unasked": unasked}
    return {status: number for status, number in sorted(outcomes.items()) if number}


def _only(row: ModelScores, metrics: Sequence[Metric]) -> ModelScores:
    names = {each.name for each in metrics}
    return row._replace(scores={name: value for name, value in row.scores.items() if name in names})


# Findings


def _labels(store: Snapshot, test_set: SampleSet, evaluations: Sequence[Evaluated]) -> Table:
    rows = [row for one in evaluations for row in label_scores(store, one)]
    names = [name for name in _LABEL_METRICS if any(name in row.scores for row in rows)]
    others = sorted({name for row in rows for name in row.scores} - set(names))
    shown = [metric(name) for name in (*names, *others)]
    return labels_table(test_set, shown, rows)._replace(empty="no metric of this task is by finding")


def label_scores(store: Snapshot, one: Evaluated) -> list[LabelScores]:
    """The scores of each finding, with how often it is present."""
    found: dict[str, dict[str, Estimate]] = {}
    families: set[str] = set()
    for name, part, family, *row in store.rows(
        "SELECT metric, part, family, value, low, high, n, clusters, remark FROM score WHERE evaluation_id = ? "
        "AND part NOT IN ('', ?)",
        (one.id, READABLE),
    ):
        if part.endswith(f"/{READABLE}"):
            continue
        found.setdefault(part, {})[name] = Estimate(*row)
        families.add(family)
    support: dict[str, int] = {}
    for family in sorted(families):
        support = {**_support(store, one, family), **support}
    rows = []
    for label, scores in sorted(found.items()):
        positive = support.get(label)
        marked = {name: _said(estimate, positive) for name, estimate in scores.items()}
        rows.append(LabelScores(one.id, one.model, label, positive, one.test_set.samples, marked))
    return rows


def _said(estimate: Estimate, positive: int | None) -> Estimate:
    """A finding that is in no sample has no score, and not the score 0; the column `positive` says so."""
    remark = None if estimate.value is None and positive == 0 else estimate.remark
    return estimate._replace(remark=remark)


def _support(store: Snapshot, one: Evaluated, name: str) -> dict[str, int]:
    """By finding, the samples in which it is present as the family counts them: true positives and false negatives."""
    family = families_of_task(one.test_set.task).get(name)
    if family is None or not any(column.startswith("tp/") for column in family.columns):
        return {}
    numbers = read_numbers(store, one.id, name, len(family.columns))
    if numbers is None:
        return {}
    sums: dict[str, Any] = dict(zip(family.columns, numbers.table.sum(axis=0).tolist(), strict=True))
    labels = [column.removeprefix("tp/") for column in family.columns if column.startswith("tp/")]
    return {label: round(sums[f"tp/{label}"] + sums[f"fn/{label}"]) for label in labels}
