"""BLEU-1 to 4 of a corpus (Papineni et al. 2002): clipped n-gram matches over all reports, one brevity penalty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ngrams import count_ngrams, shared, summed
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.metrics.words import TOKENIZERS, Tokens, marked

ORDERS = 4


class Bleu:
    """BLEU of n-grams up to 4; there is one reference each, so its length is the closest one.

    0 where the predictions hold no matching n-gram of some order (no smoothing).
    """

    version = 1
    columns = (
        *(f"matches_{order}" for order in range(1, ORDERS + 1)),
        *(f"ngrams_{order}" for order in range(1, ORDERS + 1)),
        "length",
        "reference_length",
    )

    def __init__(self, tokens: Tokens = "words") -> None:
        self.name = marked("bleu", tokens)
        self._tokens = tokens

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """Matches and n-grams by order, lengths in tokens; shape (samples, 10)."""
        split, pairs = TOKENIZERS[self._tokens], len(predictions)
        texts = [split(text) for text in (*predictions, *references)]
        lengths = np.array([len(tokens) for tokens in texts], float)
        table = np.zeros((pairs, len(self.columns)))
        for order, grams in enumerate(count_ngrams(texts, ORDERS)):
            common = shared(grams, pairs)
            table[:, order] = summed(common.pair, np.minimum(common.left, common.right), pairs)
            table[:, ORDERS + order] = np.maximum(lengths[:pairs] - order, 0)
        table[:, -2], table[:, -1] = lengths[:pairs], lengths[pairs:]
        return table

    def values(self, sums: Table) -> dict[str, Table]:
        """BLEU-1 to 4, each the geometric mean of the precisions up to that order; NaN without a reference's word."""
        matches, ngrams = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
        length, expected = sums[..., -2], sums[..., -1]
        with np.errstate(divide="ignore"):
            logs = np.log(np.nan_to_num(ratio(matches, ngrams)))
            brevity = np.minimum(
                0.0, 1 - np.divide(expected, length, out=np.full_like(length, np.inf), where=length > 0)
            )
        means = np.cumsum(logs, axis=-1) / np.arange(1, ORDERS + 1)
        scores = np.where(expected[..., None] > 0, np.exp(means + brevity[..., None]), np.nan)
        return {marked(f"bleu_{order + 1}", self._tokens): scores[..., order] for order in range(ORDERS)}
