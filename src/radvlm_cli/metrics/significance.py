"""Tests of whether two models differ, with patients as what is exchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.statistics import SEED, Clusters, Values

PERMUTATIONS = 10_000
_EXACT_UP_TO = 13
"""Patients in whom the models differ, up to which all 2^n exchanges are gone through."""
_CELLS = 4_000_000


class Permutation(NamedTuple):
    """Result of a permutation test, two-sided."""

    p: float
    """NaN where the difference is not defined."""
    exchanges: int
    exact: bool
    """Whether all exchanges were gone through; else p is (1 + as extreme) / (1 + drawn)."""


def permutation_test(
    left: Table, right: Table, of: Clusters, values: Values, *, permutations: int = PERMUTATIONS, seed: int = SEED
) -> dict[str, Permutation]:
    """Test left minus right by exchanging the two models' rows patient by patient.

    Of a mean that is the sign-flip test of the patients' differences. A draw in which a value is not defined counts as
    extreme.
    """
    first, second = of.sums(left), of.sums(right)
    differing = (first != second).any(axis=1)
    step = (second - first)[differing]
    exact = len(step) <= _EXACT_UP_TO
    observed = _differences(values, first.sum(axis=0), second.sum(axis=0))
    count = 2 ** len(step) if exact else permutations
    extreme = dict.fromkeys(observed, 0)
    for flips in _flips(len(step), count, exact, seed):
        moved = flips @ step
        drawn = _differences(values, first.sum(axis=0) + moved, second.sum(axis=0) - moved)
        for name, difference in drawn.items():
            bound = abs(observed[name]) * (1 - 1e-9)  # sums in another order differ in their last digits
            extreme[name] += int(np.count_nonzero(~(np.abs(difference) < bound)))
    return {name: _permutation(float(observed[name]), extreme[name], count, exact) for name in observed}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p values for their number (Holm 1979); NaN stays NaN and is not counted."""
    ordered = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    adjusted = {name: float("nan") for name in p_values}
    running = 0.0
    for place, (p, name) in enumerate(ordered):
        running = max(running, min(1.0, (len(ordered) - place) * p))
        adjusted[name] = running
    return adjusted


class McNemar(NamedTuple):
    """The exact test of two models' right and wrong answers."""

    only_left: int
    """Right on the left, wrong on the right."""
    only_right: int
    p: float


def mcnemar(left: ArrayLike, right: ArrayLike, of: Clusters) -> McNemar:
    """Test whether one model is right more often; rows are 0 or 1.

    ValueError where a patient has more than one row, or a row is neither 0 nor 1: then the test is not valid, and the
    permutation test is.
    """
    first, second = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if of.number != len(first):
        raise ValueError("McNemar's test needs one sample per patient.")
    if not np.isin([first, second], (0, 1)).all():
        raise ValueError("McNemar's test needs answers that are right or wrong.")
    only_left, only_right = int((first > second).sum()), int((second > first).sum())
    discordant = only_left + only_right
    tail = sum(comb(discordant, k) for k in range(min(only_left, only_right) + 1))
    return McNemar(only_left, only_right, min(1.0, 2 * tail / 2**discordant))


def _differences(values: Values, left: Table, right: Table) -> dict[str, Table]:
    first, second = values(left), values(right)
    return {name: first[name] - second[name] for name in first}


def _flips(clusters: int, count: int, exact: bool, seed: int) -> Iterator[Table]:
    """Yield blocks of which clusters are exchanged, 0 or 1, shape (some exchanges, clusters): all, or drawn ones."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // max(clusters, 1))
    for start in range(0, count, block):
        rows = min(block, count - start)
        if exact:
            yield (np.arange(start, start + rows)[:, None] >> np.arange(clusters) & 1).astype(np.float64)
        else:
            yield generator.integers(0, 2, (rows, clusters), dtype=np.int8).astype(np.float64)


def _permutation(observed: float, extreme: int, count: int, exact: bool) -> Permutation:
    if np.isnan(observed):
        return Permutation(float("nan"), count, exact)
    return Permutation(extreme / count if exact else (1 + extreme) / (1 + count), count, exact)
