"""Which of two models is better, and is that real: paired, by patient, adjusted for the number of questions asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.significance import holm, mcnemar, permutation_test
from radvlm_cli.metrics.statistics import (
    Clusters,
    Interval,
    bootstrap_weighted,
    clusters,
    minimum_detectable,
)
from radvlm_cli.reporting.comparison import SIGNIFICANT, Compared, RightOrWrong, comparison_table
from radvlm_cli.reporting.tables import Table as Shown
from radvlm_cli.reporting.tables import View
from radvlm_cli.stages.reports.numbers import (
    estimate_of,
    families_of_task,
    metrics_shown,
    read_numbers,
    scored_families,
)
from radvlm_cli.stages.reports.pairing import Pair, conditions_apart, pairs_of
from radvlm_cli.stages.reports.selection import Evaluated, Wanted
from radvlm_cli.store.snapshot import Snapshot

_RESCORE = "radvlm eval --rescore {}"


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
        f"below {SIGNIFICANT}; the data tell of no other. McNemar: exact, not adjusted, in brackets the samples that "
        "one model alone has right; of metrics that are right or wrong of each sample, where a patient has one sample."
    )
    return View("compare", f"{first} and {second}", tables, (note,))


def _table(store: Snapshot, pair: Pair, every_metric: bool) -> Shown:
    joined, notes = join(store, pair)
    rows = compared(joined, every_metric) if joined.families else []
    if pair.remark:
        notes.insert(0, pair.remark)
    for one in (pair.first, pair.second):
        if one.status != "complete":
            notes.append(f"evaluation {one.id} is not complete: what was not asked counts as wrong")
    notes += [why] if (why := why_no_mcnemar(rows)) else []
    differing = conditions_apart(store, pair)
    if differing:
        notes.append(f"asked under other conditions: {differing}")
    names = (f"{pair.first.model} #{pair.first.id}", f"{pair.second.model} #{pair.second.id}")
    test_set = pair.first.test_set
    return comparison_table(test_set, names, rows, notes)._replace(empty="nothing that both were scored by")


def join(store: Snapshot, pair: Pair) -> tuple[Joined, list[str]]:
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
                first=estimate_of(drawn[f"1{name}"], n, patients),
                second=estimate_of(drawn[f"2{name}"], n, patients),
                difference=estimate_of(drawn[f"-{name}"], n, patients),
                p=_known(tests[name].p),
                p_adjusted=_known(adjusted.get(name, float("nan"))),
                detectable=_detectable(drawn[f"-{name}"].se),
                wins=wins,
                ties=ties,
                losses=losses,
                mcnemar=right_or_wrong(
                    (alone[0][name], alone[1][name]),
                    (drawn[f"1{name}"].value, drawn[f"2{name}"].value),
                    joined.of,
                    metric.better,
                ),
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


def won(first: Table, second: Table, better: str) -> tuple[int, int, int]:
    """Samples in which the first is better, alike, and worse. Where it is not defined of both, they are alike."""
    sign = -1 if better == "lower" else 1
    apart = np.nan_to_num(sign * (first - second), nan=0.0)
    wins, losses = int((apart > 1e-12).sum()), int((apart < -1e-12).sum())
    return wins, len(apart) - wins - losses, losses


def right_or_wrong(
    alone: tuple[Table, Table], whole: tuple[float, float], of: Clusters, better: str
) -> RightOrWrong | None:
    """McNemar's test of a metric: `alone` of single samples, `whole` of all of them together, by model.

    Of a metric of which low is good, a sample is right whose value is 0. None where the test says nothing of the
    metric: it only describes, a value of a sample is neither 0 nor 1, the metric is no mean of them (F1 of boxes is
    not, even where each sample's happens to be 0 or 1), or a patient has more than one sample.
    """
    defined = ~(np.isnan(alone[0]) | np.isnan(alone[1]))
    if not better or not defined.any():
        return None
    first, second = alone[0][defined], alone[1][defined]
    if not np.allclose((first.mean(), second.mean()), whole, rtol=0, atol=1e-9):
        return None
    patients = Clusters(of.of_sample[defined], len(np.unique(of.of_sample[defined])))
    try:
        test = mcnemar(first, second, patients)
    except ValueError:  # it says itself where it is not valid
        return None
    if better == "lower":
        return RightOrWrong(test.only_right, test.only_left, test.p)
    return RightOrWrong(test.only_left, test.only_right, test.p)


def why_no_mcnemar(rows: Sequence[Compared]) -> str | None:
    """What is said below a table in which McNemar's test stands nowhere."""
    if not rows or any(row.mcnemar for row in rows):
        return None
    n, patients = rows[0].n, rows[0].patients
    if patients < n:
        return f"McNemar's test is not valid here: {n:,} samples are of {patients:,} patients"
    return "McNemar's test is not valid here: no metric of the table is right or wrong of each sample"


def _detectable(se: float) -> float | None:
    """None where the difference is the same in every draw: that is no sign that the least one would be found."""
    return minimum_detectable(se) if se > 1e-12 else None  # of NaN neither


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
