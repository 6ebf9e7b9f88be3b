"""BERTScore (Zhang et al. 2020), rescaled with the published baselines, as two evaluations of the field compute it.

`distilbert`: distilbert-base-uncased, layer 5, as the published RadVLM figures. `distilroberta`: distilroberta-base,
layer 5, as ReXrank and RadCliQ-v1. Neither weighs tokens by rarity unless `idf` is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.local_models import TOKENIZER, WEIGHTS, Device, find_files, packages_missing
from radvlm_cli.metrics.ratios import f_measure, ratio

if TYPE_CHECKING:
    from radvlm_cli.metrics.bertscore_model import Encoder


class Encoding(NamedTuple):
    """What texts are encoded with."""

    hub_id: str
    layer: int
    baseline: tuple[float, float, float]
    """Precision, recall and F1 of unrelated texts, which becomes 0."""


Kind = Literal["distilbert", "distilroberta"]
ENCODINGS: dict[Kind, Encoding] = {
    "distilbert": Encoding("distilbert-base-uncased", 5, (0.6666034, 0.66660464, 0.66620487)),
    "distilroberta": Encoding("distilroberta-base", 5, (0.84732, 0.84759504, 0.8473319)),
}
_NEEDED = (("config.json",), TOKENIZER, WEIGHTS)


class BertScore:
    """Means of precision, recall and F1 over reports.

    A blank answer is worth 0, as an unrelated text; so is one where, with idf, no token has any weight.
    """

    version = 1
    columns = ("precision", "recall", "f1", "samples")

    def __init__(
        self,
        kind: Kind = "distilbert",
        folder: Path | None = None,
        *,
        idf: bool = False,
        corpus: Sequence[str] | None = None,
        device: Device = "cpu",
        encoding: Encoding | None = None,
    ) -> None:
        """`folder`: of the weights, else the hub's cache; `corpus`: texts of the frequencies, else the references."""
        self.name = ("bertscore" if kind == "distilbert" else f"bertscore_{kind}") + ("_idf" if idf else "")
        self._option = f"bertscore-{kind}"
        self._encoding = encoding or ENCODINGS[kind]
        self._folder = folder
        self._idf = idf
        self._corpus = corpus
        self._device: Device = device
        self._encoder: Encoder | None = None

    def missing(self) -> tuple[Need, ...]:
        """Weights and tokenizer."""
        hub_id = self._encoding.hub_id
        if find_files(hub_id, _NEEDED, self._folder) is None:
            what = hub_id + (f" (not whole in {self._folder})" if self._folder else "")
            return (*packages_missing(), Need(what, f"hf download {hub_id}, or --{self._option} FOLDER"))
        return packages_missing()

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """Rescaled precision, recall and F1, and 1; shape (samples, 4). DataError where weights are missing."""
        encoder = self._load()
        said, true = encoder.tokens(predictions), encoder.tokens(references)
        weights = None
        if self._idf:
            weights = _rarity(true if self._corpus is None else encoder.tokens(self._corpus))
        table = np.ones((len(predictions), len(self.columns)))
        raw = encoder.match(said, true, weights)
        f1 = f_measure(raw[:, 0], raw[:, 1])
        baseline = np.array(self._encoding.baseline)
        scaled = (np.column_stack([raw, f1]) - baseline) / (1 - baseline)
        scaled[np.isnan(raw).any(axis=1)] = 0.0
        table[:, :-1] = scaled
        return table

    def _load(self) -> Encoder:
        if self._encoder is None:
            from radvlm_cli.metrics.bertscore_model import Encoder

            folder = find_files(self._encoding.hub_id, _NEEDED, self._folder)
            if folder is None:
                hint = "; ".join(need.command for need in self.missing())
                raise DataError(f"The weights of {self._encoding.hub_id} are not here", hint)
            self._encoder = Encoder(folder, self._encoding.layer, self._device)
        return self._encoder

    def values(self, sums: Table) -> dict[str, Table]:
        """The means; F1 has the family's name."""
        names = (f"{self.name}_precision", f"{self.name}_recall", self.name)
        return {name: ratio(sums[..., place], sums[..., -1]) for place, name in enumerate(names)}


def _rarity(texts: Sequence[Sequence[int]]) -> dict[int, float]:
    """Inverse document frequency by token; -1: of a token that no text holds."""
    counts = Counter(token for tokens in texts for token in set(tokens))
    return {-1: log(len(texts) + 1)} | {token: log((len(texts) + 1) / (count + 1)) for token, count in counts.items()}
