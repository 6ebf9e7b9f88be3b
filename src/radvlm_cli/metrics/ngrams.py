"""Counts of n-grams in thousands of texts at once, as sorted arrays instead of dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Grams(NamedTuple):
    """How often each n-gram of one order stands in each text; sorted by text, then n-gram."""

    text: Ints
    """Number of the text."""
    gram: Ints
    """Number of the n-gram, the same in all texts."""
    times: Ints
    kinds: int
    """n-grams are numbered below this."""


class Shared(NamedTuple):
    """N-grams that two halves of a set of texts have in common, pair by pair."""

    pair: Ints
    gram: Ints
    left: Ints
    """Count in the text `pair`."""
    right: Ints
    """Count in the text `pair + pairs`."""


def count_ngrams(texts: Sequence[Sequence[str]], orders: int) -> Iterator[Grams]:
    """Counts of the n-grams of order 1, 2, ... `orders` of tokenised texts."""
    text = np.repeat(np.arange(len(texts)), [len(tokens) for tokens in texts]).astype(np.int64)
    numbers: dict[str, int] = {}
    token = np.fromiter((numbers.setdefault(word, len(numbers)) for word in chain.from_iterable(texts)), np.int64)
    start, gram, kinds = np.arange(len(token)), token, len(numbers)
    for order in range(1, orders + 1):
        if order > 1:
            last = start + order - 1
            whole = last < len(token)
            whole[whole] = text[last[whole]] == text[start[whole]]
            start = start[whole]
            known, gram = np.unique(gram[whole] * len(numbers) + token[last[whole]], return_inverse=True)
            kinds = len(known)
        yield _counted(text[start], gram, kinds)


def _counted(text: Ints, gram: Ints, kinds: int) -> Grams:
    keys, times = np.unique(text * max(kinds, 1) + gram, return_counts=True)
    return Grams(*np.divmod(keys, max(kinds, 1)), times, kinds)


def shared(grams: Grams, pairs: int) -> Shared:
    """What text i and text i + `pairs` have in common, for i below `pairs`; further texts are left out."""
    kinds = max(grams.kinds, 1)
    keys = grams.text * kinds + grams.gram
    middle, end = np.searchsorted(grams.text, [pairs, 2 * pairs])
    common, left, right = np.intersect1d(
        keys[:middle], keys[middle:end] - pairs * kinds, assume_unique=True, return_indices=True
    )
    return Shared(*np.divmod(common, kinds), grams.times[:middle][left], grams.times[middle:end][right])


def summed(pair: Ints, values: NDArray[np.generic], pairs: int) -> NDArray[np.float64]:
    """Sum of `values` by pair, shape (pairs,)."""
    return np.bincount(pair, weights=values, minlength=pairs)[:pairs].astype(np.float64)
