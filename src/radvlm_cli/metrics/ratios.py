"""Quotients of sums that say NaN, and never 0, where there is nothing to divide by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from radvlm_cli.metrics.family import Table


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Table:
    """Element by element; NaN where the denominator is 0."""
    above, below = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    quotients: Table = np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)
    return quotients


def f_measure(precision: ArrayLike, recall: ArrayLike) -> Table:
    """Harmonic mean; 0 where both are 0."""
    p, r = np.asarray(precision, float), np.asarray(recall, float)
    return np.nan_to_num(ratio(2 * p * r, p + r), nan=0.0)
