"""Weighted box fusion of several readers' boxes (Solovyev et al. 2021), for all images at once.

Every box has weight 1 and all readers of an image and class form one list, as the published code has it. The result
equals the ensemble-boxes package to the last bit, single precision of the sums and order of ties included. Only above
16 boxes of one class may the package take them in another order, which depends on the processor; here the order, and
so the dataset, is the same everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLD = 0.1

Boxes = NDArray[np.float64]


class Fused(NamedTuple):
    """Fused boxes of all groups."""

    boxes: Boxes
    """(number of fused boxes, 4), xyxy, 0-1."""
    group: NDArray[np.int64]
    """The group that each belongs to, ascending."""


def fuse(boxes: Boxes, group: NDArray[np.int64], iou_threshold: float = IOU_THRESHOLD) -> Fused:
    """Fuse the boxes of each group: valid xyxy boxes 0-1, shape (n, 4), with ascending group numbers, shape (n,).

    The boxes of a group are taken one after another, last first; each joins the cluster that it overlaps most, if by
    more than the threshold, and moves it to the mean of its members. Here the k-th boxes of all groups are taken
    together.
    """
    numbers, sizes = np.unique(group, return_counts=True)
    if not len(numbers):
        return Fused(np.zeros((0, 4)), np.zeros(0, np.int64))
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    most = int(sizes.max())
    clusters = np.zeros((len(numbers), most, 4))
    sums = np.zeros((len(numbers), most, 4), np.float32)
    members = np.zeros((len(numbers), most), np.int64)
    used = np.zeros(len(numbers), np.int64)
    for step in range(most):
        rows = np.flatnonzero(sizes > step)
        taken = boxes[first[rows] + sizes[rows] - 1 - step]
        overlap = _iou(clusters[rows, : step + 1], taken[:, None, :])
        overlap[members[rows, : step + 1] == 0] = -1
        best = overlap.argmax(axis=1)
        joins = overlap[np.arange(len(rows)), best] > iou_threshold
        place = np.where(joins, best, used[rows])
        used[rows] += ~joins
        members[rows, place] += 1
        # Double-precision addition and division, each result kept in single precision, as the package does.
        sums[rows, place] = sums[rows, place].astype(np.float64) + taken
        mean = (sums[rows, place].astype(np.float64) / members[rows, place, None]).astype(np.float32)
        clusters[rows, place] = np.where(joins[:, None], mean, taken)
    # The cluster that was begun last comes first.
    newest_first = members[:, ::-1] > 0
    return Fused(clusters[:, ::-1][newest_first], np.repeat(numbers, used))


def _iou(boxes: Boxes, other: Boxes) -> Boxes:
    """Intersection over union along the last axis."""
    width = np.minimum(boxes[..., 2], other[..., 2]) - np.maximum(boxes[..., 0], other[..., 0])
    height = np.minimum(boxes[..., 3], other[..., 3]) - np.maximum(boxes[..., 1], other[..., 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    other_area = (other[..., 2] - other[..., 0]) * (other[..., 3] - other[..., 1])
    iou: Boxes = shared / (area + other_area - shared)
    return iou
