"""Padding on the left, and where an answer ends."""

from __future__ import annotations

import torch

from radvlm_cli.adapters.generation import cut, pad_left


def test_rows_of_ids_end_together() -> None:
    padded = pad_left([[1, 2, 3], [4]], 9)
    assert padded.rows.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert padded.mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert padded.rows.dtype == torch.int64


def test_embeddings_are_padded_with_zeros() -> None:
    rows = [torch.ones(1, 2, dtype=torch.bfloat16), torch.full((3, 2), 2.0, dtype=torch.bfloat16)]
    padded = pad_left(rows, 9)
    assert padded.rows.tolist() == [[[0, 0], [0, 0], [1, 1]], [[2, 2]] * 3]
    assert padded.rows.dtype == torch.bfloat16
    assert padded.mask.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_an_answer_ends_at_the_first_end() -> None:
    assert cut([5, 6, 2, 2, 7], {2, 3}) == ([5, 6], False)
    assert cut([3], {2, 3}) == ([], False)
    assert cut([5, 6], {2, 3}) == ([5, 6], True)
