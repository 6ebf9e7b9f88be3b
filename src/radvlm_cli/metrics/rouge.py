"""ROUGE-1, 2 and L, F-measure with stemming, to the definition of the `rouge-score` package, many times faster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.ngrams import count_ngrams, shared, summed
from radvlm_cli.metrics.ratios import f_measure, ratio


class Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L, each the mean of the samples' F-measures."""

    name = "rouge"
    version = 1
    columns = ("rouge_1", "rouge_2", "rouge_l", "samples")

    def missing(self) -> tuple[Need, ...]:
        """Nothing is needed."""
        return ()

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        """F-measures of each sample; shape (samples, 4). A text without a letter or digit of ASCII has none: 0."""
        from rouge_score.tokenize import tokenize

        pairs, stemmer = len(predictions), _stemmer()
        texts = [tokenize(text, stemmer) for text in (*predictions, *references)]
        lengths = np.array([len(tokens) for tokens in texts], float)
        table = np.ones((pairs, len(self.columns)))
        for order, grams in enumerate(count_ngrams(texts, 2)):
            common = shared(grams, pairs)
            matches = summed(common.pair, np.minimum(common.left, common.right), pairs)
            table[:, order] = _f(matches, np.maximum(lengths - order, 0), pairs)
        longest = [common_subsequence(texts[i], texts[pairs + i]) for i in range(pairs)]
        table[:, 2] = _f(np.array(longest, float), lengths, pairs)
        return table

    def values(self, sums: Table) -> dict[str, Table]:
        """The means."""
        return {name: ratio(sums[..., i], sums[..., -1]) for i, name in enumerate(self.columns[:-1])}


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence (bit-parallel: Hyyrö 2004), in tokens."""
    places: dict[str, int] = {}
    for place, token in enumerate(left):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(left)) - 1
    unmatched = every
    for token in right:
        here = unmatched & places.get(token, 0)
        unmatched = (unmatched + here | unmatched - here) & every
    return len(left) - unmatched.bit_count()


def _f(matches: Table, lengths: Table, pairs: int) -> Table:
    precision, recall = ratio(matches, lengths[:pairs]), ratio(matches, lengths[pairs:])
    return f_measure(np.nan_to_num(precision), np.nan_to_num(recall))


class _Stemmer(Protocol):
    def stem(self, word: str) -> str: ...


@cache
def _stemmer() -> _Stemmer:
    """The Porter stemmer that rouge-score uses; each word is stemmed once."""
    from rouge_score.tokenizers import porter

    stemmer = porter.PorterStemmer()
    stemmer.stem = cache(stemmer.stem)
    found: _Stemmer = stemmer
    return found
