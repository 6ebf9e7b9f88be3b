"""CIDEr-D (Vedantam et al. 2015): cosine of TF-IDF vectors of n-grams, clipped, with a Gaussian penalty on length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ngrams import Grams, count_ngrams, shared, summed
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.metrics.words import TOKENIZERS, Tokens, marked

ORDERS = 4
SIGMA = 6.0
"""Of the length penalty, tokens."""


class CiderD:
    """CIDEr-D, 0 to 10, as a mean of samples.

    The document frequencies are those of `corpus`, else of the references that are scored; resampling leaves them as
    they are. Undefined (NaN) for a corpus of one report, where no word is rarer than another.
    """

    version = 1
    columns = ("score", "samples")

    def __init__(self, tokens: Tokens = "words", corpus: Sequence[str] | None = None) -> None:
        self.name = marked("cider_d", tokens)
        self._tokens = tokens
        self._corpus = corpus

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """Score of each sample, and 1 where it is defined; shape (samples, 2)."""
        split, pairs = TOKENIZERS[self._tokens], len(predictions)
        documents = references if self._corpus is None else self._corpus
        if len(documents) < 2:
            return np.zeros((pairs, 2))
        extra = () if self._corpus is None else self._corpus
        texts = [split(text) for text in (*predictions, *references, *extra)]
        lengths = np.array([len(tokens) for tokens in texts[: 2 * pairs]], float)
        first = len(texts) - len(documents)
        total = sum(
            (_cosines(grams, pairs, first, len(documents)) for grams in count_ngrams(texts, ORDERS)),
            start=np.zeros(pairs),
        )
        penalty = np.exp(-((lengths[:pairs] - lengths[pairs:]) ** 2) / (2 * SIGMA**2))
        return np.stack([10 * penalty * total / ORDERS, np.ones(pairs)], axis=1)

    def values(self, sums: Table) -> dict[str, Table]:
        """The mean."""
        return {self.name: ratio(sums[..., 0], sums[..., 1])}


def _cosines(grams: Grams, pairs: int, first: int, documents: int) -> Table:
    """Clipped cosine of texts i and i + `pairs` for n-grams of one order.

    The corpus is the `documents` texts from `first` on.
    """
    frequency = np.bincount(grams.gram[np.searchsorted(grams.text, first) :], minlength=grams.kinds)
    rarity = np.log(documents) - np.log(np.maximum(frequency, 1))
    norms = np.sqrt(summed(grams.text, (grams.times * rarity[grams.gram]) ** 2, 2 * pairs))
    common = shared(grams, pairs)
    products = np.minimum(common.left, common.right) * common.right * rarity[common.gram] ** 2
    return np.nan_to_num(ratio(summed(common.pair, products, pairs), norms[:pairs] * norms[pairs:]))
