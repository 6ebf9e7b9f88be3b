"""The numbers per sample that scores are made of, as arrays, and the families that make metrics of their sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import orjson

from radvlm_cli.metrics.family import Family, Table
from radvlm_cli.metrics.registry import MetricOptions, describe, families, report_order
from radvlm_cli.metrics.statistics import Clusters, Interval, clusters
from radvlm_cli.reporting.evaluation import Metric
from radvlm_cli.reporting.tables import Estimate
from radvlm_cli.store.clusters import cluster_of
from radvlm_cli.store.snapshot import Snapshot


class Numbers(NamedTuple):
    """A family's rows of an evaluation."""

    positions: np.ndarray[tuple[int], np.dtype[np.intp]]
    """In the test set, ascending."""
    table: Table
    """Shape (samples, columns); NaN where there is no number."""


def families_of_task(task: str) -> dict[str, Family]:
    """The families by name. Their sums give metrics without whatever model the numbers once needed."""
    return {listed.family.name: listed.family for listed in families(task, MetricOptions(published=True))}


def scored_families(store: Snapshot, evaluation: int) -> dict[str, int]:
    """The families that an evaluation has numbers of, with their versions."""
    return dict(store.rows("SELECT DISTINCT family, version FROM score WHERE evaluation_id = ?", (evaluation,)))


def read_numbers(store: Snapshot, evaluation: int, family: str, width: int) -> Numbers | None:
    """An evaluation's rows of a family; None where there are none, or they have not `width` columns."""
    rows = store.all(
        "SELECT position, numbers FROM sample_score WHERE evaluation_id = ? AND family = ? ORDER BY position",
        (evaluation, family),
    )
    if not rows:
        return None
    listed = orjson.loads(f"[{','.join(numbers for _position, numbers in rows)}]")  # one parse for all
    if any(len(each) != width for each in listed):
        return None
    return Numbers(np.array([position for position, _numbers in rows]), np.array(listed, dtype=np.float64))


def clusters_of(store: Snapshot, test_set_id: int) -> tuple[Clusters, list[str]]:
    """The patients of a test set's samples, by position, and the ids of the samples."""
    rows = store.all(
        "SELECT patient_id, study_id, image_id, sample_id FROM test_sample WHERE test_set_id = ? ORDER BY position",
        (test_set_id,),
    )
    return clusters([cluster_of(*row) for row in rows]), [row[-1] for row in rows]


def metric(name: str) -> Metric:
    """How a metric is shown."""
    described = describe(name)
    return Metric(name, described.title, described.better)


def metrics_shown(names: Sequence[str], every: bool) -> list[Metric]:
    """The metrics of a report's table, in its order; `every`: the others too. Those of single labels never."""
    plain = [name for name in dict.fromkeys(names) if "/" not in name]
    main = [name for name in plain if describe(name).main]
    return [metric(name) for name in report_order(plain if every or not main else main)]


def estimate_of(drawn: Interval, n: int, patients: int, remark: str | None = None) -> Estimate:
    """A number with its interval as views show it; what is not defined is None."""
    value, low, high = (None if math.isnan(x) else float(x) for x in drawn[:3])
    return Estimate(value, low, high, n, patients, remark)
