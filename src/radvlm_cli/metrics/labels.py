"""Metrics of classification: precision, recall and F1 of labels, from counts per label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ratios import ratio

Uncertain = Literal["positive", "negative", "drop"]
"""What a label counts as that an answer, or a reference, calls uncertain; `drop`: it is not counted in that sample."""
_COUNTS = ("tp", "fp", "fn", "tn", "unanswered")
"""unanswered: negatives of samples whose answer failed, which are not made right by that nothing was said."""


class LabelScores:
    """Micro and macro F1 and, per label, precision, recall, specificity and F1; names as `f1/Edema`.

    A label without a positive reference has no recall and no F1, and is left out of the macro means. (With
    `published`, it counts 0 in them, as in the RadVLM publication.) A label that is not mentioned is not present: in
    the answer, and in the reference. An answer that failed is wrong: no exact match, and specific for no label.
    """

    version = 2

    def __init__(
        self,
        labels: Sequence[str] = ABNORMALITIES,
        *,
        uncertain: Uncertain = "positive",
        published: bool = False,
        name: str = "labels",
    ) -> None:
        if uncertain not in get_args(Uncertain):
            raise ValueError(f"uncertain must be one of {', '.join(get_args(Uncertain))}.")
        self.name = name
        self.labels = tuple(labels)
        self.columns = (*(f"{count}/{label}" for count in _COUNTS for label in labels), "exact", "samples")
        self._uncertain = uncertain
        self._published = published

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(self, predictions: Sequence[Any], references: Sequence[Any]) -> Table:
        """Shape (samples, 5 x labels + 2).

        Predictions and references are mappings of label -> 1 present, 0 absent, -1 uncertain, or the labels that are
        present; a prediction of None is an answer that failed. ValueError for a label of a reference that is not among
        ours (`No Finding` aside), and for a value that is none of these.
        """
        answered = np.array([prediction is not None for prediction in predictions], dtype=bool)[:, None]
        said = self._states([prediction or () for prediction in predictions], strict=False)
        true = self._states(references, strict=True)
        counted = ~(np.isnan(said) | np.isnan(true))
        counts = [
            counted & (said == 1) & (true == 1),
            counted & (said == 1) & (true == 0),
            counted & (said == 0) & (true == 1),
            counted & (said == 0) & (true == 0) & answered,
            counted & (true == 0) & ~answered,
        ]
        exact = ((said == true) | ~counted).all(axis=1) & answered[:, 0]
        return np.column_stack([*counts, exact, np.ones(len(exact))]).astype(np.float64)

    def values(self, sums: Table) -> dict[str, Table]:
        """Micro, macro and exact match, then by label."""
        width = len(self.labels)
        tp, fp, fn, tn, unanswered = (sums[..., i * width : (i + 1) * width] for i in range(len(_COUNTS)))
        positives = tp + fn
        by_label = {
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, positives),
            "f1": np.where(positives > 0, ratio(2 * tp, 2 * tp + fp + fn), np.nan),
            "specificity": ratio(tn, tn + fp + unanswered),
        }
        micro_tp, micro_fp, micro_fn = (count.sum(axis=-1) for count in (tp, fp, fn))
        found = {
            "micro_f1": ratio(2 * micro_tp, 2 * micro_tp + micro_fp + micro_fn),
            "micro_precision": ratio(micro_tp, micro_tp + micro_fp),
            "micro_recall": ratio(micro_tp, micro_tp + micro_fn),
            "macro_f1": self._macro(by_label["f1"], positives),
            "macro_precision": self._macro(by_label["precision"], positives),
            "macro_recall": self._macro(by_label["recall"], positives),
            "exact_match": ratio(sums[..., -2], sums[..., -1]),
        }
        for name, values in by_label.items():
            found |= {f"{name}/{label}": values[..., place] for place, label in enumerate(self.labels)}
        return found

    def _macro(self, values: Table, positives: Table) -> Table:
        """Mean over labels with a positive reference; one that is never predicted has precision 0 in it."""
        if self._published:
            return ratio(np.nan_to_num(values).sum(axis=-1), values.shape[-1])
        with_positives = positives > 0
        return ratio(np.where(with_positives, np.nan_to_num(values), 0).sum(axis=-1), with_positives.sum(axis=-1))

    def _states(self, samples: Sequence[Any], *, strict: bool) -> Table:
        """Shape (samples, labels): 1, 0, or NaN for what is dropped."""
        places = {label: place for place, label in enumerate(self.labels)}
        as_uncertain = {"positive": 1.0, "negative": 0.0, "drop": np.nan}[self._uncertain]
        states = np.zeros((len(samples), len(self.labels)))
        for row, sample in enumerate(samples):
            labels = sample if isinstance(sample, Mapping) else dict.fromkeys(sample, 1)
            for label, value in labels.items():
                if value not in (1, 0, -1):
                    raise ValueError(f"A label is 1, 0 or -1, and {label!r} is {value!r}.")
                if label in places:
                    states[row, places[label]] = as_uncertain if value == -1 else value
                elif strict and label != "No Finding":
                    raise ValueError(f"The reference has a label {label!r} that is not scored.")
        return states
