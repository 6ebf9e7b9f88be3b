"""How boxes overlap: IoU by pairs, IoU of unions of boxes, and matchings of two sets of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radvlm_cli.metrics.family import Table

Corners = Sequence[float]
"""x_min, y_min, x_max, y_max (see records)."""


def corners(boxes: Sequence[Corners]) -> Table:
    """Boxes as a table of shape (boxes, 4); ValueError where one is no box: a corner not finite, no area, turned."""
    table = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    if not (np.isfinite(table).all() and (table[:, 2:] > table[:, :2]).all()):
        raise ValueError("A box needs finite corners, the first left of and above the second.")
    return table


def areas(boxes: Table) -> Table:
    """Areas of boxes (n, 4)."""
    widths_heights: Table = boxes[:, 2:] - boxes[:, :2]
    return widths_heights[:, 0] * widths_heights[:, 1]


def pairwise_iou(left: Table, right: Table) -> Table:
    """IoU of each box of one set (n, 4) with each of another (m, 4); shape (n, m)."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    common: Table = sides[..., 0] * sides[..., 1]
    return common / (areas(left)[:, None] + areas(right)[None, :] - common)


def union_iou(left: Table, right: Table) -> float:
    """IoU of the areas that two sets of boxes cover, exactly; 0 where one covers nothing, NaN where neither does.

    All corners cut the plane into cells that a box covers wholly or not at all, so the cells are counted by their
    areas, and no raster comes in.
    """
    if not len(left) or not len(right):
        return 0.0 if len(left) or len(right) else float("nan")
    if len(left) == 1 == len(right):
        return float(pairwise_iou(left, right)[0, 0])
    left, right = np.unique(left, axis=0), np.unique(right, axis=0)  # a model that loops says one box 500 times
    both = np.concatenate([left, right])
    xs, ys = np.unique(both[:, [0, 2]]), np.unique(both[:, [1, 3]])
    cells = np.diff(xs)[:, None] * np.diff(ys)[None, :]
    in_left, in_right = _covered(left, xs, ys), _covered(right, xs, ys)
    return float(cells[in_left & in_right].sum() / cells[in_left | in_right].sum())


def most_matches(ious: Table, threshold: float) -> float:
    """Size of the largest one-to-one matching among pairs whose IoU reaches the threshold."""
    return _assigned_sum((ious >= threshold).astype(np.float64))


def matched_iou(ious: Table) -> float:
    """The largest sum of IoUs that a one-to-one matching reaches."""
    return _assigned_sum(ious)


def _assigned_sum(gains: Table) -> float:
    if not gains.any():
        return 0
    if 1 in gains.shape:
        return float(gains.max())
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gains, maximize=True)
    return float(gains[rows, columns].sum())


def _covered(boxes: Table, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.bool_]:
    """Which cells between the grid lines the boxes cover."""
    columns = np.searchsorted(xs, boxes[:, [0, 2]])
    rows = np.searchsorted(ys, boxes[:, [1, 3]])
    edges = np.zeros((np.size(xs), np.size(ys)), dtype=np.int32)
    for column, row, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(edges, (columns[:, column], rows[:, row]), sign)
    return edges.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
