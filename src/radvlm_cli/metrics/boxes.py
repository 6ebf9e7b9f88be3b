"""Metrics of grounding and detection by boxes that carry no score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.overlap import Corners, corners, matched_iou, most_matches, pairwise_iou, union_iou
from radvlm_cli.metrics.ratios import ratio

THRESHOLD = 0.5
"""IoU from which on a box counts as found."""


class Located(NamedTuple):
    """What was read from an answer (adapters' ReadBoxes has the same form)."""

    boxes: Sequence[Corners] = ()
    malformed: int = 0
    """Places that look like a box and are none."""


def answer_status(text: str, located: Located) -> Literal["ok", "empty", "unparsable"]:
    """How an answer to a grounding question came out.

    `empty`: nothing was said. `unparsable`: there is something like a box, and no box. An answer without anything
    like a box is `ok`: it says that there is nothing to mark, which is right where there is nothing.
    """
    if not text.strip():
        return "empty"
    return "unparsable" if located.malformed and not located.boxes else "ok"


class BoxMatching:
    """Boxes found, whatever their order in the text; a sample without a box stays in every mean, as 0.

    A matching is one to one and optimal. A sample without a true box (a question about what is not there) counts in
    `false_box_rate` and, with the boxes it got, in the precision. An answer that failed does not say that there is
    nothing: it counts in `false_box_rate` as one with a box.
    """

    name = "boxes"
    version = 2
    columns = (
        "matches",
        "predicted",
        "true",
        "iou_of_matched",
        "iou_of_unions",
        "samples_with_truth",
        "single_hits_50",
        "single_hits_30",
        "samples_with_one",
        "samples_without_truth",
        "without_truth_but_boxed_or_failed",
        "with_truth_but_no_box",
        "malformed",
        "samples",
    )

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(
        self, predictions: Sequence[Located | Sequence[Corners] | None], references: Sequence[Sequence[Corners]]
    ) -> Table:
        """Shape (samples, 14). A prediction is a list of boxes, what a codec read, or None for an answer that failed; a
        reference is a list of boxes."""
        rows = [_matching_row(*pair) for pair in zip(predictions, references, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.columns))

    def values(self, sums: Table) -> dict[str, Table]:
        """F1 with its parts over all boxes; per sample union-mask mIoU, accuracy where one box is true, rates."""
        s = dict(zip(self.columns, np.moveaxis(sums, -1, 0), strict=True))
        return {
            "f1_50": ratio(2 * s["matches"], s["predicted"] + s["true"]),
            "precision_50": ratio(s["matches"], s["predicted"]),
            "recall_50": ratio(s["matches"], s["true"]),
            "miou": ratio(s["iou_of_unions"], s["samples_with_truth"]),
            "matched_iou": ratio(s["iou_of_matched"], s["true"]),
            "accuracy_50": ratio(s["single_hits_50"], s["samples_with_one"]),
            "accuracy_30": ratio(s["single_hits_30"], s["samples_with_one"]),
            "no_box_rate": ratio(s["with_truth_but_no_box"], s["samples_with_truth"]),
            "false_box_rate": ratio(s["without_truth_but_boxed_or_failed"], s["samples_without_truth"]),
            "malformed_rate": ratio(s["malformed"], s["samples"]),
        }


class RadvlmMap50:
    """The `mAP@0.5` of the RadVLM publication, for comparison with its tables only.

    Of each sample by itself: boxes ranked by their order in the text, each given to the true box that it overlaps
    most and right if that one is at IoU 0.5 and not taken; area under the interpolated precision-recall curve; no box
    or no true box is 0. The mean over samples. Boxes said after the last right one cost nothing.
    """

    name = "radvlm_map50"
    version = 1
    columns = ("average_precision", "samples")

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(
        self, predictions: Sequence[Located | Sequence[Corners] | None], references: Sequence[Sequence[Corners]]
    ) -> Table:
        """Shape (samples, 2)."""
        pairs = zip(predictions, references, strict=True)
        rows = [(_published_precision(corners(_boxes(p)), corners(r)), 1.0) for p, r in pairs]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def values(self, sums: Table) -> dict[str, Table]:
        """The mean over samples."""
        return {"radvlm_map50": ratio(sums[..., 0], sums[..., 1])}


class LabelledBoxes:
    """Detection: a box counts as found where its label is right too. Labels are compared without regard to case."""

    name = "labelled_boxes"
    version = 2
    columns = ("matches", "matches_any_label", "predicted", "true", "clean", "clean_and_silent")

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(
        self,
        predictions: Sequence[Mapping[str, Sequence[Corners]] | None],
        references: Sequence[Mapping[str, Sequence[Corners]]],
    ) -> Table:
        """Shape (samples, 6). Both are mappings of label -> boxes; `{}`: nothing was found; None: the answer failed."""
        rows = [
            _detection_row(_by_label(p or {}), _by_label(r), failed=p is None)
            for p, r in zip(predictions, references, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.columns))

    def values(self, sums: Table) -> dict[str, Table]:
        """F1 with its parts over all boxes, F1 where the label may be wrong, and how often a clean image stays so."""
        matches, any_label, predicted, true, clean, silent = np.moveaxis(sums, -1, 0)
        return {
            "detection_f1_50": ratio(2 * matches, predicted + true),
            "detection_precision_50": ratio(matches, predicted),
            "detection_recall_50": ratio(matches, true),
            "any_label_f1_50": ratio(2 * any_label, predicted + true),
            "clean_specificity": ratio(silent, clean),
        }


def _boxes(prediction: Located | Sequence[Corners] | None) -> Sequence[Corners]:
    read: Any = prediction
    found: Sequence[Corners] = () if read is None else getattr(read, "boxes", read)
    return found


def _matching_row(prediction: Located | Sequence[Corners] | None, reference: Sequence[Corners]) -> tuple[float, ...]:
    predicted, true = corners(_boxes(prediction)), corners(reference)
    ious = pairwise_iou(predicted, true)
    unions = union_iou(predicted, true) if len(true) else 0.0
    one = len(true) == 1
    malformed = getattr(prediction, "malformed", 0) > 0
    failed = prediction is None or (malformed and not len(predicted))
    return (
        most_matches(ious, THRESHOLD),
        len(predicted),
        len(true),
        matched_iou(ious),
        unions,
        bool(len(true)),
        one and unions >= THRESHOLD,
        one and unions >= 0.3,
        one,
        not len(true),
        not len(true) and (failed or bool(len(predicted))),
        bool(len(true)) and not len(predicted),
        malformed,
        1,
    )


def _published_precision(predicted: Table, true: Table) -> float:
    if not len(predicted) or not len(true):
        return 0.0
    ious = pairwise_iou(predicted, true)
    nearest = ious.argmax(axis=1)
    taken: set[int] = set()
    right = np.zeros(len(predicted), dtype=bool)
    for place, box in enumerate(nearest.tolist()):
        right[place] = ious[place, box] >= THRESHOLD and box not in taken
        if right[place]:
            taken.add(box)
    precision = right.cumsum() / np.arange(1, len(right) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[right].sum() / len(true))  # recall steps by 1 / true at each right box


def _by_label(boxes: Mapping[str, Sequence[Corners]]) -> dict[str, Table]:
    """One entry per label; a label that is written in two ways has the boxes of both."""
    found: dict[str, list[Corners]] = {}
    for label, of_label in boxes.items():
        found.setdefault(label.strip().casefold(), []).extend(of_label)
    return {label: corners(of_label) for label, of_label in found.items() if of_label}


def _detection_row(predicted: dict[str, Table], true: dict[str, Table], *, failed: bool) -> tuple[float, ...]:
    common = predicted.keys() & true.keys()
    by_label = sum(most_matches(pairwise_iou(predicted[name], true[name]), THRESHOLD) for name in common)
    none = np.empty((0, 4))
    all_predicted, all_true = np.concatenate([none, *predicted.values()]), np.concatenate([none, *true.values()])
    any_label = most_matches(pairwise_iou(all_predicted, all_true), THRESHOLD)
    clean = not len(all_true)
    silent = clean and not failed and not len(all_predicted)
    return by_label, any_label, len(all_predicted), len(all_true), clean, silent
