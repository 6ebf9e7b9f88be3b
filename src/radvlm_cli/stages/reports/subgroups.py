"""The main metrics by sex, age and view: is a model worse for some people than for others?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.statistics import DRAWS, LEVEL, Clusters, cluster_draws
from radvlm_cli.reporting.evaluation import Metric, SampleSet, Subgroup, subgroups_table
from radvlm_cli.reporting.tables import Estimate, View
from radvlm_cli.stages.reports.numbers import clusters_of, families_of_task, metrics_shown, read_numbers
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.snapshot import Snapshot

LEAST = 20
"""Positives, and samples, below which a group is not shown."""
BY = ("sex", "age", "view")
_BANDS = ((0, 18), (18, 40), (40, 60), (60, 80), (80, 200))
_FEW = 2
"""Metrics of a task that are shown by group: the first of its table."""
_HELD = 40_000_000
"""Weights that are kept for all evaluations of a test set: 320 MB."""


class _Groups(NamedTuple):
    """Which group each sample is of, by position; None: not known."""

    of_sample: list[str | None]
    positive: NDArray[np.bool_] | None
    """Whether there is something to find in the sample; None for tasks in which there always is."""

    def names(self) -> list[str]:
        """The groups, in order."""
        return sorted({name for name in self.of_sample if name is not None}, key=_order)

    def members(self, name: str) -> NDArray[np.bool_]:
        """Which samples are of a group."""
        return np.array([each == name for each in self.of_sample], dtype=bool)


def subgroups_view(store: Snapshot, wanted: Wanted, by: str) -> View:
    """The view `eval --by`."""
    tables = []
    for test_set, evaluations in select(store, wanted).by_test_set().items():
        rows, notes = _test_set(store, test_set, evaluations, by)
        if rows or notes:
            tables.append(subgroups_table(test_set, by, rows, notes)._replace(empty="no group is large enough"))
    note = (
        f"95 % intervals by 2,000 draws of patients. Groups with fewer than {LEAST} samples, or {LEAST} positive ones, "
        "are not shown. Differences are not adjusted for their number: look for a pattern, not for one that is not 0."
    )
    return View("eval", f"Evaluation by {by}", tuple(tables), (note,))


def _test_set(
    store: Snapshot, test_set: SampleSet, evaluations: Sequence[Evaluated], by: str
) -> tuple[list[Subgroup], list[str]]:
    groups, (of, _ids) = groups_of(store, test_set, by), clusters_of(store, test_set.id)
    shown, notes = _large_enough(groups, by)
    unknown = sum(name is None for name in groups.of_sample)
    if unknown:
        notes.append(f"{by} is not known of {unknown:,} samples, which are among the others")
    draws, members = _Draws(of.number), {name: groups.members(name) for name in shown}
    rows = []
    for one in evaluations if shown else ():
        for family, metrics in _main_families(store, one):
            numbers = read_numbers(store, one.id, family.name, len(family.columns))
            if numbers is not None and len(numbers.table) == len(of.of_sample):
                rows += _rows(one, family, metrics, numbers.table, of, groups, members, by, draws)
    rows.sort(key=lambda row: (row.model, row.evaluation, row.metric.name))
    return rows, notes


def groups_of(store: Snapshot, test_set: SampleSet, by: str) -> _Groups:
    """Which group each sample of a test set is of."""
    if by not in BY:
        raise ValueError(f"There are no groups by {by!r}.")
    names: dict[str, Callable[[Any], str | None]] = {"age": _band, "view": _view, "sex": lambda value: value}
    rows = list(
        store.rows(f"SELECT {by}, reference FROM test_sample WHERE test_set_id = ? ORDER BY position", (test_set.id,))
    )
    positive = None
    if test_set.task in ("classification", "detection"):
        positive = np.array([_positive(json.loads(reference)) for _value, reference in rows], dtype=bool)
    return _Groups([names[by](value) for value, _reference in rows], positive)


def _positive(reference: Mapping[str, Any]) -> bool:
    found = reference.get("positive", reference.get("boxes", ()))
    return any(name != "No Finding" for name in found)


def _band(age: int | None) -> str | None:
    """`40 to 59`; `80 and over`."""
    if age is None:
        return None
    low, high = next(((low, high) for low, high in _BANDS if age < high), _BANDS[-1])
    if low == 0:
        return f"under {high}"
    return f"{low} and over" if high == _BANDS[-1][1] else f"{low} to {high - 1}"


def _view(view: str | None) -> str | None:
    return None if view is None else view.upper()


def _order(name: str) -> tuple[int, str]:
    return (0 if name.startswith("under") else 1, name)


def _large_enough(groups: _Groups, by: str) -> tuple[list[str], list[str]]:
    """The groups that are shown, and what is said of those that are not."""
    shown: list[str] = []
    small: list[str] = []
    for name in groups.names():
        members = groups.members(name)
        positives = LEAST if groups.positive is None else int((members & groups.positive).sum())
        (shown if members.sum() >= LEAST and positives >= LEAST else small).append(name)
    notes = [f"too small to be shown: {by} {', '.join(small)}"] if small else []
    return shown, notes


def _main_families(store: Snapshot, one: Evaluated) -> list[tuple[Family, list[Metric]]]:
    """The families of the first metrics of the task's table, with those metrics."""
    rows = dict(
        store.rows(
            "SELECT metric, family FROM score WHERE evaluation_id = ? AND part = '' AND value NOT NULL", (one.id,)
        )
    )
    known = families_of_task(one.test_set.task)
    found: dict[str, list[Metric]] = {}
    for metric in metrics_shown(list(rows), every=False)[:_FEW]:
        if rows[metric.name] in known:
            found.setdefault(rows[metric.name], []).append(metric)
    return [(known[name], metrics) for name, metrics in found.items()]


class _Draws:
    """The draws of patients, made once for all models and groups of a test set: the same patients for each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[Table] | None = None

    def sums(self, of_clusters: Table) -> Table:
        """Sums in every draw, shape (draws, columns), from those of the clusters, shape (clusters, columns)."""
        if self._kept is None and self._count * DRAWS <= _HELD:
            self._kept = list(cluster_draws(self._count))
        blocks = [weights @ of_clusters for weights in self._kept or cluster_draws(self._count)]
        return np.concatenate(blocks) if blocks else np.empty((0, of_clusters.shape[1]))


def _rows(
    one: Evaluated,
    family: Family,
    metrics: Sequence[Metric],
    table: Table,
    of: Clusters,
    groups: _Groups,
    members: Mapping[str, NDArray[np.bool_]],
    by: str,
    draws: _Draws,
) -> list[Subgroup]:
    width = len(family.columns)
    parts = [table, *(table * inside[:, None] for inside in members.values())]
    drawn = draws.sums(of.sums(np.hstack(parts)))
    rows = []
    for place, (name, inside) in enumerate(members.items(), start=1):
        within = drawn[:, place * width : (place + 1) * width]
        drawn_in, drawn_out = family.values(within), family.values(drawn[:, :width] - within)
        sums = parts[place].sum(axis=0)
        at_in, at_out = family.values(sums), family.values(table.sum(axis=0) - sums)
        n, patients = int(inside.sum()), len(np.unique(of.of_sample[inside]))
        positives = None if groups.positive is None else int((inside & groups.positive).sum())
        for metric in metrics:
            value = _estimate(float(at_in[metric.name]), drawn_in[metric.name], n, patients)
            apart = float(at_in[metric.name]) - float(at_out[metric.name])
            difference = _estimate(apart, drawn_in[metric.name] - drawn_out[metric.name], len(table), of.number)
            rows.append(Subgroup(one.id, one.model, metric, by, name, n, patients, positives, value, difference))
    return rows


def _estimate(value: float, drawn: Table, n: int, patients: int) -> Estimate:
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(known):
        return Estimate(None, n=n, patients=patients)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), n, patients)
