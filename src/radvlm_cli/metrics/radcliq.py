"""RadCliQ-v1 (Yu et al. 2023): a linear model of four metrics, fitted to how many errors radiologists count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from radvlm_cli.metrics.bleu import Bleu
from radvlm_cli.metrics.family import Family, Need, Table
from radvlm_cli.metrics.ratios import ratio


class Term(NamedTuple):
    """One metric in the model: its standardisation, then its weight."""

    mean: float
    scale: float
    weight: float


TERMS = {
    "radgraph": Term(0.53792312, 0.30282584, -0.377083683),
    "bertscore": Term(0.61757256, 0.22430938, -0.370300100),
    "similarity": Term(0.76479421, 0.25394391, -0.252616218),
    "bleu_2": Term(0.44738335, 0.29892717, 4.3e-12),
}
"""As published; BLEU has next to no weight."""
BIAS = 2.5e-10


def radcliq_v1(radgraph: Table, bertscore: Table, similarity: Table, bleu_2: Table) -> Table:
    """The score of reports from their four metrics, of one shape; lower is better."""
    metrics = (radgraph, bertscore, similarity, bleu_2)
    parts = [t.weight * (metric - t.mean) / t.scale for t, metric in zip(TERMS.values(), metrics, strict=True)]
    total: Table = np.sum(parts, axis=0) + BIAS
    return total


class RadCliQ:
    """Mean RadCliQ-v1 of reports, and its inverse, which leaderboards show.

    Reports that RadGraph could not be had for are not scored, and lower `radcliq_v1_coverage`.
    """

    name = "radcliq"
    version = 1
    columns = ("radcliq_v1", "scored", "samples")

    def __init__(self, *, radgraph: Family, bertscore: Family, chexbert: Family) -> None:
        """`radgraph` gives `radgraph_combined`, `bertscore` is of distilroberta-base, `chexbert` the similarity."""
        self._parts = {
            "radgraph_combined": radgraph,
            "bertscore_distilroberta": bertscore,
            "chexbert_similarity": chexbert,
            "bleu_2": Bleu(),
        }

    def missing(self) -> tuple[Need, ...]:
        """What the four metrics miss."""
        return tuple(dict.fromkeys(need for family in self._parts.values() for need in family.missing()))

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """Score, whether there is one, 1; shape (samples, 3)."""
        rows = {metric: family.per_sample(predictions, references) for metric, family in self._parts.items()}
        scores = radcliq_v1(*(self._parts[metric].values(table)[metric] for metric, table in rows.items()))
        scored = np.isfinite(scores)
        return np.column_stack([np.where(scored, scores, 0.0), scored, np.ones(len(scores))])

    def values(self, sums: Table) -> dict[str, Table]:
        """The mean, its inverse, and the share of reports that were scored."""
        total, scored, samples = np.moveaxis(sums, -1, 0)
        return {
            "radcliq_v1": ratio(total, scored),
            "radcliq_v1_inverse": ratio(scored, total),
            "radcliq_v1_coverage": ratio(scored, samples),
        }
