"""The main metric of single samples, by which they are ranked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.reporting.evaluation import Metric
from radvlm_cli.stages.reports.numbers import families_of_task, metrics_shown, read_numbers
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot


class MainValues(NamedTuple):
    """One metric of every sample of an evaluation."""

    metric: Metric
    positions: NDArray[np.intp]
    values: NDArray[np.float64]
    """NaN where it is not defined of the sample."""
    wrong: frozenset[int]
    """Positions whose answer counts as wrong whatever it says."""

    def ranked(self) -> list[tuple[int, float]]:
        """Positions with their values, worst first; samples of which it is not defined are left out."""
        sign = -1.0 if self.metric.better == "lower" else 1.0
        order = np.argsort(sign * self.values, kind="stable")  # NaN comes last
        known = order[~np.isnan(self.values[order])].tolist()
        return [(int(self.positions[place]), float(self.values[place])) for place in known]


def main_values(store: Snapshot, one: Evaluated) -> MainValues | None:
    """The first metric of the task's table that means something of a single sample; None where none does.

    Of boxes it is the overlap, which tells one sample from another where F1 is but 0 or 1.
    """
    rows = dict(
        store.rows(
            "SELECT metric, family FROM score WHERE evaluation_id = ? AND part = '' AND value NOT NULL", (one.id,)
        )
    )
    known = families_of_task(one.test_set.task)
    for metric in sorted(metrics_shown(list(rows), every=False), key=lambda each: each.name != "miou"):
        family = known.get(rows[metric.name])
        numbers = None if family is None else read_numbers(store, one.id, family.name, len(family.columns))
        if family is None or numbers is None:
            continue
        values = family.values(numbers.table)[metric.name]
        if np.isnan(values).all():
            continue
        wrong = {
            position
            for (position,) in store.rows(
                "SELECT position FROM sample_score WHERE evaluation_id = ? AND family = ? AND status <> 'ok'",
                (one.id, family.name),
            )
        }
        return MainValues(metric, numbers.positions, values, frozenset(wrong))
    return None
