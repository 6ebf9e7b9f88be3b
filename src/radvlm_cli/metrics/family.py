"""The form that all metrics have: per sample a row of numbers, whose weighted sums over samples give the values.

So a patient-cluster bootstrap of any metric is one matrix product: draws x samples (weights) by samples x columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from numpy import float64
from numpy.typing import NDArray

Table = NDArray[float64]
Status = Literal["ok", "empty", "unparsable", "truncated", "error", "refused"]
"""How an answer came out. All but `ok` count as wrong."""


class Need(NamedTuple):
    """Something outside the package that a family cannot do without."""

    what: str
    """`StanfordAIMI/RRG_scorers: chexbert.pth`, `java >= 8`, ..."""
    command: str
    """What gets it, or names where it lies."""


class Family(Protocol):
    """Metrics that are computed from the same numbers per sample, e.g. BLEU-1 to 4."""

    name: str
    version: int
    """Raise it when a number would come out differently."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table; each is summed over samples."""

    def missing(self) -> tuple[Need, ...]:
        """What cannot be found here; empty: it can run. No network is used."""

    def per_sample(self, predictions: Sequence[Any], references: Sequence[Any]) -> Table:
        """Shape (samples, columns). A failed sample's prediction is the empty one ("", no boxes, no labels)."""

    def values(self, sums: Table) -> dict[str, Table]:
        """Metric -> value, from column sums of shape (..., columns); NaN where it is not defined."""
