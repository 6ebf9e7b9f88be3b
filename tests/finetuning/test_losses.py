"""The loss against means computed by hand, however a global batch is cut."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from finetuning.losses import (
    IGNORED,
    Norm,
    Targets,
    count,
    cross_entropies,
    find_targets,
    sample_means,
    shares,
    weighted_loss,
)

TOKENS = (3, 40, 3, 35)
"""Supervised tokens of the four samples, as in the comparison of the two ways of averaging."""
VOCABULARY = 11


def batch_of(tokens: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Labels and owners of rows with so many supervised tokens each, after five that are not."""
    length = 5 + max(tokens)
    labels, sample = torch.full((len(tokens), length), IGNORED), torch.full((len(tokens), length), -1)
    for row, supervised in enumerate(tokens):
        labels[row, 5 : 5 + supervised] = torch.arange(supervised) % VOCABULARY
        sample[row, : 5 + supervised] = row
    return labels, sample


def logits_for(targets: Targets, first: int) -> Tensor:
    """Reproducible logits, by the number that each sample has in the global batch."""
    rows = [torch.Generator().manual_seed(first + int(sample)) for sample in targets.sample.unique()]
    parts = [
        torch.randn(int((targets.sample == n).sum()), VOCABULARY, generator=generator)
        for n, generator in enumerate(rows)
    ]
    return torch.cat(parts)


def by_hand(norm: Norm, tokens: tuple[int, ...] = TOKENS) -> float:
    """The loss written out: log-probabilities, summed token by token."""
    sums = []
    for number, supervised in enumerate(tokens):
        logits = torch.randn(supervised, VOCABULARY, generator=torch.Generator().manual_seed(number)).double()
        probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
        sums.append(sum(-float(probabilities[t, t % VOCABULARY].log()) for t in range(supervised)))
    if norm == "token":
        return sum(sums) / sum(tokens)
    return sum(total / supervised for total, supervised in zip(sums, tokens, strict=True)) / len(tokens)


@pytest.mark.parametrize("norm", ["sample", "token"])
@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_parts_of_a_global_batch_add_up_to_the_mean_over_all_of_it(norm: Norm, micro_batch: int) -> None:
    cuts = [TOKENS[at : at + micro_batch] for at in range(0, len(TOKENS), micro_batch)]
    parts = [find_targets(*batch_of(cut)) for cut in cuts]
    weights = torch.ones(micro_batch)
    totals = torch.stack([count(targets, weights) for targets in parts]).sum(0)
    losses = [
        weighted_loss(logits_for(targets, n * micro_batch), targets, shares(targets, weights, norm, totals))
        for n, targets in enumerate(parts)
    ]
    assert float(sum(losses)) == pytest.approx(by_hand(norm), rel=1e-6)


def test_the_two_ways_of_averaging_differ_on_unequal_samples() -> None:
    assert abs(by_hand("sample") - by_hand("token")) > 1e-3


@pytest.mark.parametrize("norm", ["sample", "token"])
def test_a_dummy_has_no_part_in_the_loss(norm: Norm) -> None:
    targets = find_targets(*batch_of((*TOKENS, 7)))
    weights = torch.tensor([1.0, 1, 1, 1, 0])
    totals = count(targets, weights)
    loss = weighted_loss(logits_for(targets, 0), targets, shares(targets, weights, norm, totals))
    assert float(loss) == pytest.approx(by_hand(norm), rel=1e-6)
    assert totals.tolist() == [4, sum(TOKENS)]


def test_a_global_batch_of_dummies_has_a_loss_of_zero_and_a_gradient() -> None:
    targets = find_targets(*batch_of((4,)))
    weights = torch.zeros(1)
    logits = torch.randn(4, VOCABULARY, requires_grad=True)
    loss = weighted_loss(logits, targets, shares(targets, weights, "sample", count(targets, weights)))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_first_token_of_a_packed_sample_is_no_target() -> None:
    labels = torch.tensor([[1, 2, 3, 4, 5, 6]])
    sample = torch.tensor([[0, 0, 0, 1, 1, 1]])
    targets = find_targets(labels, sample)
    assert targets.labels.tolist() == [2, 3, 5, 6]
    assert targets.sample.tolist() == [0, 0, 1, 1]
    assert targets.keep.tolist() == [[True, True, False, True, True, False]]


def test_padding_is_no_target() -> None:
    targets = find_targets(torch.tensor([[IGNORED, 2, 3]]), torch.tensor([[0, 0, -1]]))
    assert targets.labels.tolist() == [2]


def test_targets_stand_in_the_order_in_which_the_model_keeps_positions() -> None:
    labels, sample = batch_of((2, 3))
    targets = find_targets(labels, sample)
    positions = torch.arange(labels.numel()).reshape(labels.shape)[targets.keep]
    assert labels.flatten()[positions + 1].tolist() == targets.labels.tolist()
    assert sample.flatten()[positions].tolist() == targets.sample.tolist()


def test_the_means_of_samples_are_those_by_hand() -> None:
    targets = find_targets(*batch_of(TOKENS))
    means, tokens = sample_means(logits_for(targets, 0), targets, 5)
    assert tokens.tolist() == [*TOKENS, 0]
    assert float(means[:4].mean()) == pytest.approx(by_hand("sample"), rel=1e-6)
    assert float(means[4]) == 0


def test_sixteen_bit_logits_are_summed_in_float32() -> None:
    targets = find_targets(*batch_of(TOKENS))
    logits = logits_for(targets, 0).bfloat16()
    assert torch.equal(cross_entropies(logits, targets), cross_entropies(logits.float(), targets))
