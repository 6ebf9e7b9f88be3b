"""Which of two models is better, and is that real: paired, by patient, adjusted for the number of questions asked."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.errors import ConfigError
from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.significance import holm, permutation_test
from radvlm_cli.metrics.statistics import (
    Clusters,
    Interval,
    bootstrap_weighted,
    clusters,
    minimum_detectable,
)
from radvlm_cli.reporting.comparison import SIGNIFICANT, Compared, comparison_table
from radvlm_cli.reporting.tables import Estimate, View
from radvlm_cli.reporting.tables import Table as Shown
from radvlm_cli.stages.reports.numbers import (
    families_of_task,
    metrics_shown,
    read_numbers,
    scored_families,
)
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.snapshot import Snapshot
from radvlm_cli.store.test_sets import cluster_of

_RESCORE = "radvlm eval --rescore {}"


class Pair(NamedTuple):
    """Two evaluations on the samples that both have."""

    first: Evaluated
    second: Evaluated
    places: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Positions of the common samples in the test set of each, in the same order."""
    of: Clusters
    """Patients of the common samples."""
    remark: str | None


class Joined(NamedTuple):
    """All families' numbers side by side, so that patients are drawn and exchanged once for all metrics."""

    families: tuple[Family, ...]
    first: Table
    second: Table
    of: Clusters

    def values(self, sums: Table) -> dict[str, Table]:
        """Every family's metrics from its own columns."""
        found: dict[str, Table] = {}
        start = 0
        for family in self.families:
            width = len(family.columns)
            found |= family.values(sums[..., start : start + width])
            start += width
        return found


def comparison_view(store: Snapshot, first: str, second: str, wanted: Wanted, every_metric: bool = False) -> View:
    """The view `compare`; ConfigError where the two have no test set in common."""
    pairs = pairs_of(store, first, second, wanted)
    tables = tuple(_table(store, pair, every_metric) for pair in pairs)
    note = (
        "Difference: first minus second, 95 % interval of the paired bootstrap of patients (2,000 draws, seed 0). "
        "p: models exchanged patient by patient (10,000 times, seed 0); Holm: over the metrics of a table. Detectable: "
        "true difference found with 80 % power. Win/tie/loss: samples. Better: no 0 in the interval and p after Holm "
        f"below {SIGNIFICANT}; the data tell of no other."
    )
    return View("compare", f"{first} and {second}", tables, (note,))


def pairs_of(store: Snapshot, first: str, second: str, wanted: Wanted) -> list[Pair]:
    """The evaluations of the two models (names, or numbers of evaluations) by test set, on their common samples."""
    sides = [select(store, wanted._replace(models=(name,))).evaluations for name in (first, second)]
    found = []
    for one in sides[0]:
        same = [other for other in sides[1] if other.test_set.id == one.test_set.id and other.id != one.id]
        named = [other for other in sides[1] if other.test_set.name == one.test_set.name and other.id != one.id]
        for other in (same or named)[-1:]:
            pair = _pair(store, one, other)
            if pair is not None:
                found.append(pair)
    if not found:
        raise ConfigError(f"{first} and {second} were not asked the same samples.", "radvlm report eval")
    return found


def _pair(store: Snapshot, first: Evaluated, second: Evaluated) -> Pair | None:
    """Match samples by their id; in two test sets also by what is asked and what is right."""
    sql = (
        "SELECT a.position, b.position, a.patient_id, a.study_id, a.image_id, a.sample_id FROM test_sample a "
        "JOIN test_sample b ON b.test_set_id = ? AND b.{} WHERE a.test_set_id = ? ORDER BY a.position"
    )
    ids, remark = (second.test_set.id, first.test_set.id), None
    if first.test_set.id == second.test_set.id:
        rows = list(store.rows(sql.format("position = a.position"), ids))
    else:
        there = {
            (sample, turns, reference): position
            for position, sample, turns, reference in store.rows(
                "SELECT position, sample_id, turns, reference FROM test_sample WHERE test_set_id = ?", ids[:1]
            )
        }
        rows = [
            (position, there[sample, turns, reference], *whose, sample)
            for position, *whose, sample, turns, reference in store.rows(
                "SELECT position, patient_id, study_id, image_id, sample_id, turns, reference FROM test_sample "
                "WHERE test_set_id = ? ORDER BY position",
                ids[1:],
            )
            if (sample, turns, reference) in there
        ]
        remark = (
            f"two test sets of that name: {len(rows):,} samples in common, of {first.test_set.samples:,} and "
            f"{second.test_set.samples:,}"
        )
    if not rows:
        return None
    keys = [cluster_of(*whose) for _a, _b, *whose in rows]
    places = np.array([row[0] for row in rows], dtype=np.intp), np.array([row[1] for row in rows], dtype=np.intp)
    return Pair(first, second, places, clusters(keys), remark)


def _table(store: Snapshot, pair: Pair, every_metric: bool) -> Shown:
    joined, notes = _join(store, pair)
    rows = compared(joined, every_metric) if joined.families else []
    if pair.remark:
        notes.insert(0, pair.remark)
    for one in (pair.first, pair.second):
        if one.status != "complete":
            notes.append(f"evaluation {one.id} is not complete: what was not asked counts as wrong")
    differing = _conditions(store, pair)
    if differing:
        notes.append(f"asked under other conditions: {differing}")
    names = (f"{pair.first.model} #{pair.first.id}", f"{pair.second.model} #{pair.second.id}")
    test_set = pair.first.test_set
    return comparison_table(test_set, names, rows, notes)._replace(empty="nothing that both were scored by")


def _join(store: Snapshot, pair: Pair) -> tuple[Joined, list[str]]:
    """The numbers of the families that both have, in one version; and what is said of the others."""
    versions = scored_families(store, pair.first.id), scored_families(store, pair.second.id)
    chosen: list[Family] = []
    tables: list[tuple[Table, Table]] = []
    notes: list[str] = []
    for name, family in families_of_task(pair.first.test_set.task).items():
        if any(name not in each for each in versions):
            continue
        if any(each[name] != family.version for each in versions):
            runs = " and ".join(_RESCORE.format(run) for run in sorted({pair.first.run_id, pair.second.run_id}))
            notes.append(f"{name} was scored by another version: {runs}")
            continue
        sides = [
            _aligned(store, one, family, places)
            for one, places in zip((pair.first, pair.second), pair.places, strict=True)
        ]
        if sides[0] is not None and sides[1] is not None:
            chosen.append(family)
            tables.append((sides[0], sides[1]))
    if not chosen:
        return Joined((), np.empty((0, 0)), np.empty((0, 0)), pair.of), notes
    first, second = (np.hstack([each[side] for each in tables]) for side in (0, 1))
    lacking = np.isnan(first).any(axis=1) | np.isnan(second).any(axis=1)
    if lacking.any():
        notes.append(f"{int(lacking.sum()):,} samples without numbers on one side are left out")
    kept = ~lacking
    keys = [str(number) for number in pair.of.of_sample[kept].tolist()]
    return Joined(tuple(chosen), first[kept], second[kept], clusters(keys)), notes


def _aligned(store: Snapshot, one: Evaluated, family: Family, places: NDArray[np.intp]) -> Table | None:
    """A family's rows of the common samples; NaN where a sample has none."""
    numbers = read_numbers(store, one.id, family.name, len(family.columns))
    if numbers is None:
        return None
    whole = np.full((one.test_set.samples, len(family.columns)), np.nan)
    whole[numbers.positions] = numbers.table
    return whole[places]


def compared(joined: Joined, every_metric: bool) -> list[Compared]:
    """Every metric with its difference, its test, and how the samples came out one by one."""
    if not len(joined.first):
        return []
    drawn = intervals(joined)
    named = [
        name.removeprefix("-") for name, each in drawn.items() if name.startswith("-") and not np.isnan(each.value)
    ]
    metrics = metrics_shown(named, every_metric)
    tests = permutation_test(joined.first, joined.second, joined.of, joined.values)
    adjusted = holm({metric.name: tests[metric.name].p for metric in metrics if metric.better})
    alone = joined.values(joined.first), joined.values(joined.second)
    rows = []
    for metric in metrics:
        name, n, patients = metric.name, len(joined.first), joined.of.number
        wins, ties, losses = won(alone[0][name], alone[1][name], metric.better)
        rows.append(
            Compared(
                metric=metric,
                n=n,
                patients=patients,
                first=_estimate(drawn[f"1{name}"], n, patients),
                second=_estimate(drawn[f"2{name}"], n, patients),
                difference=_estimate(drawn[f"-{name}"], n, patients),
                p=_known(tests[name].p),
                p_adjusted=_known(adjusted.get(name, float("nan"))),
                detectable=_known(minimum_detectable(drawn[f"-{name}"].se)),
                wins=wins,
                ties=ties,
                losses=losses,
            )
        )
    return rows


def intervals(joined: Joined) -> dict[str, Interval]:
    """Intervals of both models and of their difference from the same draws: `1f1`, `2f1`, `-f1`."""
    sums = joined.of.sums(joined.first), joined.of.sums(joined.second)

    def values(weights: Table) -> dict[str, Table]:
        first, second = joined.values(weights @ sums[0]), joined.values(weights @ sums[1])
        apart = {f"-{name}": first[name] - second[name] for name in first}
        return (
            apart
            | {f"1{name}": each for name, each in first.items()}
            | {f"2{name}": each for name, each in second.items()}
        )

    return bootstrap_weighted(values, joined.of.number)


def _estimate(drawn: Interval, n: int, patients: int) -> Estimate:
    return Estimate(_known(drawn.value), _known(drawn.low), _known(drawn.high), n, patients)


def won(first: Table, second: Table, better: str) -> tuple[int, int, int]:
    """Samples in which the first is better, alike, and worse. Where it is not defined of both, they are alike."""
    sign = -1 if better == "lower" else 1
    apart = np.nan_to_num(sign * (first - second), nan=0.0)
    wins, losses = int((apart > 1e-12).sum()), int((apart < -1e-12).sum())
    return wins, len(apart) - wins - losses, losses


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _conditions(store: Snapshot, pair: Pair) -> str:
    """What of the two identities differs besides the model and its weights."""
    identities = [
        json.loads(store.value("SELECT identity FROM evaluation WHERE id = ?", (one.id,)))
        for one in (pair.first, pair.second)
    ]
    own = {"model", "weights", "test_set", "adapter", "prompts", "prompt"}
    names = sorted({*identities[0], *identities[1]} - own)
    return ", ".join(name for name in names if identities[0].get(name) != identities[1].get(name))
