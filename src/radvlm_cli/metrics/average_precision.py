"""COCO average precision, for boxes that carry scores: without scores its value would hang on the order of samples.

Average precision is no function of sums over samples, but it is one of weights of samples: a box of a sample that is
drawn twice counts twice. So it has its own class beside the families, and the same bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.overlap import Corners, corners, pairwise_iou
from radvlm_cli.metrics.ratios import ratio

THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST = 100
"""Boxes of one label that count per sample, those of the best scores."""
_RECALLS = np.linspace(0, 1, 101)
_CELLS = 500_000


class Scored(NamedTuple):
    """Boxes with the model's confidence in each."""

    boxes: Sequence[Corners]
    scores: Sequence[float]


class _Label(NamedTuple):
    """What is said and true of one label, over all samples."""

    sample: NDArray[np.intp]
    """Of each predicted box, best score first; samples in order where scores are equal."""
    right: NDArray[np.bool_]
    """Shape (thresholds, boxes)."""
    true: Table
    """Number of true boxes by sample."""


class CocoAveragePrecision:
    """AP at IoU 0.5 and the mean over 0.5:0.95, as COCO defines them, over all labels that have a true box.

    Both arguments hold one mapping of label -> boxes per sample; use one label where labels play no part.
    """

    def __init__(
        self, predictions: Sequence[Mapping[str, Scored]], references: Sequence[Mapping[str, Sequence[Corners]]]
    ) -> None:
        self.samples = len(references)
        labels = sorted({label for reference in references for label, boxes in reference.items() if boxes})
        self._labels = [_matched(label, predictions, references) for label in labels]

    def values(self, weights: Table) -> dict[str, Table]:
        """Values for weights of shape (..., samples), e.g. how often a bootstrap draws each; NaN without a true box."""
        flat = weights.reshape(-1, self.samples)
        each = np.full((len(self._labels), len(flat), len(THRESHOLDS)), np.nan)
        for place, label in enumerate(self._labels):
            each[place] = _average_precisions(label, flat)
        defined = ~np.isnan(each)
        mean = ratio(np.where(defined, each, 0).sum(axis=0), defined.sum(axis=0))  # labels without truth are left out
        shape = weights.shape[:-1]
        return {"coco_ap50": mean[:, 0].reshape(shape), "coco_ap": mean.mean(axis=1).reshape(shape)}


def _matched(
    label: str, predictions: Sequence[Mapping[str, Scored]], references: Sequence[Mapping[str, Sequence[Corners]]]
) -> _Label:
    scores, samples, right = [np.empty(0)], [np.empty(0, np.intp)], [np.empty((len(THRESHOLDS), 0), bool)]
    counts = np.zeros(len(references))
    for sample, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        true = corners(reference.get(label, ()))
        counts[sample] = len(true)
        if label not in prediction or not len(prediction[label].boxes):
            continue
        boxes, said = corners(prediction[label].boxes), np.asarray(prediction[label].scores, np.float64)
        if not np.isfinite(said).all() or len(said) != len(boxes):
            raise ValueError("Each box needs one finite score.")
        best = np.argsort(-said, kind="stable")[:MOST]
        scores.append(said[best])
        samples.append(np.full(len(best), sample))
        right.append(_right(pairwise_iou(boxes[best], true)))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Label(np.concatenate(samples)[order], np.concatenate(right, axis=1)[:, order], counts)


def _right(ious: Table) -> NDArray[np.bool_]:
    """At each threshold, which boxes, best score first, find a true box that none before them took."""
    found = np.zeros((len(THRESHOLDS), len(ious)), dtype=bool)
    for level, threshold in enumerate(THRESHOLDS):
        free = ious.copy()
        for box in range(len(ious) if ious.size else 0):
            best = int(free[box].argmax())
            if free[box, best] >= threshold:
                found[level, box] = True
                free[:, best] = -1
    return found


def _average_precisions(label: _Label, weights: Table) -> Table:
    """Shape (weights, thresholds); in blocks, as there is a number for each weight and box."""
    block = max(1, _CELLS // max(1, len(label.sample)))
    blocks = [_block_of_precisions(label, weights[start : start + block]) for start in range(0, len(weights), block)]
    return np.concatenate(blocks) if blocks else np.empty((0, len(THRESHOLDS)))


def _block_of_precisions(label: _Label, weights: Table) -> Table:
    true = weights @ label.true
    drawn = weights[:, label.sample]
    said = drawn.cumsum(axis=1)
    result = np.zeros((len(weights), len(THRESHOLDS)))
    for level, right in enumerate(label.right):
        # Recall grows, and precision has its maxima, at right boxes only.
        found = drawn[:, right].cumsum(axis=1)
        recall, precision = ratio(found, true[:, None]), np.nan_to_num(ratio(found, said[:, right]))
        best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        for draw in range(len(weights)):
            places = np.searchsorted(recall[draw], _RECALLS)
            reached = places[places < recall.shape[1]]
            result[draw, level] = best_from_here[draw, reached].sum() / len(_RECALLS)
    result[true == 0] = np.nan
    return result
