"""Intervals of metrics, with patients as what is drawn: images of one patient are no independent evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radvlm_cli.metrics.family import Table

Values = Callable[[Table], Mapping[str, Table]]
"""Column sums of shape (..., columns) to metric -> values of shape (...); a Family's `values`."""
DRAWS = 2000
SEED = 0
LEVEL = 0.95
_CELLS = 4_000_000
"""Weights that are held at a time: 32 MB."""


class Interval(NamedTuple):
    """A value with its uncertainty. NaN where it is not defined."""

    value: float
    low: float
    high: float
    se: float
    """Standard deviation over the draws."""
    undefined: float = 0.0
    """Share of draws in which the value is not defined (no positive was drawn); they are left out of the interval."""


class Clusters(NamedTuple):
    """Which patient each sample is of."""

    of_sample: NDArray[np.intp]
    """Numbers from 0 on, in the order in which patients first come."""
    number: int

    def sums(self, table: Table) -> Table:
        """Add up the rows of each cluster; shape (clusters, columns)."""
        found = np.empty((self.number, table.shape[1]))
        for place, column in enumerate(table.T):  # adds in the order of the samples, as np.add.at does, but faster
            found[:, place] = np.bincount(self.of_sample, weights=column, minlength=self.number)
        return found

    def sizes(self) -> NDArray[np.intp]:
        """Samples by cluster."""
        return np.bincount(self.of_sample, minlength=self.number)


def clusters(keys: Sequence[str]) -> Clusters:
    """Number the patients (or studies, or images) of the samples; a key for each sample."""
    numbers: dict[str, int] = {}
    of_sample = [numbers.setdefault(key, len(numbers)) for key in keys]
    return Clusters(np.array(of_sample, dtype=np.intp), len(numbers))


def cluster_draws(count: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[Table]:
    """Yield how often each of `count` clusters is drawn, with replacement; blocks of shape (some draws, clusters).

    The numbers depend on count, draws and seed only, so that two models scored apart are drawn alike.
    """
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // max(count, 1))
    for start in range(0, draws if count else 0, block):
        rows = min(block, draws - start)
        drawn = generator.integers(0, count, (rows, count), dtype=np.int32)
        drawn += np.arange(rows, dtype=np.int32)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def bootstrap_weighted(
    values: Values, count: int, *, draws: int = DRAWS, seed: int = SEED, level: float = LEVEL
) -> dict[str, Interval]:
    """Percentile bootstrap of whatever is computed from weights of clusters, shape (..., clusters)."""
    point = values(np.ones(count))
    blocks = [values(weights) for weights in cluster_draws(count, draws, seed)]
    drawn = {name: np.concatenate([block[name] for block in blocks] or [np.empty(0)]) for name in point}
    return {name: _interval(float(point[name]), drawn[name], level) for name in point}


def bootstrap(
    table: Table, of: Clusters, values: Values, *, draws: int = DRAWS, seed: int = SEED, level: float = LEVEL
) -> dict[str, Interval]:
    """Percentile cluster bootstrap of a family's values; `table` as its `per_sample` gives it."""
    sums = of.sums(table)
    return bootstrap_weighted(lambda w: values(w @ sums), of.number, draws=draws, seed=seed, level=level)


def bootstrap_difference(
    left: Table,
    right: Table,
    of: Clusters,
    values: Values,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Percentile cluster bootstrap of left minus right, two models on the same samples in the same order."""
    sums_left, sums_right = of.sums(left), of.sums(right)

    def difference(weights: Table) -> dict[str, Table]:
        first, second = values(weights @ sums_left), values(weights @ sums_right)
        return {name: first[name] - second[name] for name in first}

    return bootstrap_weighted(difference, of.number, draws=draws, seed=seed, level=level)


def wilson(hits: float, trials: float, level: float = LEVEL) -> Interval:
    """Wilson score interval of a proportion of independent trials, i.e. one sample per patient."""
    if trials <= 0:
        return Interval(*[float("nan")] * 4)
    z, share = normal_quantile((1 + level) / 2), hits / trials
    centre, spread = share + z * z / (2 * trials), share * (1 - share) / trials
    half = z * float(np.sqrt(spread + z * z / (4 * trials * trials)))
    scale = 1 + z * z / trials
    low, high = max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
    return Interval(share, low, high, float(np.sqrt(spread)))


def cluster_t(values: ArrayLike, of: Clusters, level: float = LEVEL) -> Interval:
    """Mean of samples with the cluster-robust t interval: variance times C / (C - 1), C - 1 degrees of freedom."""
    scores = np.asarray(values, dtype=np.float64)
    if not len(scores):
        return Interval(*[float("nan")] * 4)
    mean = float(scores.mean())
    if of.number < 2:
        return Interval(mean, *[float("nan")] * 3)
    residuals = of.sums((scores - mean)[:, None])[:, 0]
    se = float(np.sqrt(of.number / (of.number - 1) * (residuals**2).sum()) / len(scores))
    from scipy.special import stdtrit

    half = float(stdtrit(of.number - 1, (1 + level) / 2)) * se
    return Interval(mean, mean - half, mean + half, se)


def minimum_detectable(se: float, *, level: float = LEVEL, power: float = 0.8) -> float:
    """The smallest true difference that a test finds with this power, given the standard error of a difference."""
    return (normal_quantile((1 + level) / 2) + normal_quantile(power)) * se


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal distribution."""
    from statistics import NormalDist  # scipy takes ten times as long to load

    return NormalDist().inv_cdf(probability)


def _interval(point: float, drawn: Table, level: float) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(point) or not len(defined):
        nan = float("nan")
        return Interval(point, nan, nan, nan, 1.0 if len(drawn) else 0.0)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high), float(defined.std(ddof=1)), 1 - len(defined) / len(drawn))
