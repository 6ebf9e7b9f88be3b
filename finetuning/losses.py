"""The loss: cross-entropy at supervised positions only, averaged per sample or per token over a whole global batch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

IGNORED = -100

Norm = Literal["sample", "token"]


class Targets(NamedTuple):
    """Where a batch is supervised; n positions in all, in the order of rows and, within a row, of positions."""

    keep: Tensor
    """(rows, length) bool: the positions whose next token is supervised; the model's `logits_to_keep`."""
    labels: Tensor
    """(n,) int64: the next token of each."""
    sample: Tensor
    """(n,) int64: which sample of the batch it belongs to."""

    def tokens(self, samples: int) -> Tensor:
        """(samples,) int64: supervised tokens of each sample."""
        return torch.bincount(self.sample, minlength=samples)


def find_targets(labels: Tensor, sample: Tensor) -> Targets:
    """Targets of a batch from `labels` (rows, length), IGNORED where not supervised, and `sample` (rows, length).

    The first token of a sample is never a target: in a packed row, the token before it belongs to another sample.
    """
    following = labels[:, 1:]
    keep = torch.zeros_like(labels, dtype=torch.bool)
    keep[:, :-1] = (following != IGNORED) & (sample[:, 1:] >= 0) & (sample[:, 1:] == sample[:, :-1])
    # Row-major, which is the order in which the model flattens the positions that it keeps.
    return Targets(keep, following[keep[:, :-1]], sample[keep])


def count(targets: Targets, weights: Tensor) -> Tensor:
    """(2,) float64: samples with a target and supervised tokens, each sample counted `weights` times (0: a dummy)."""
    tokens = targets.tokens(len(weights)).double()
    weights = weights.double()
    return torch.stack([weights[tokens > 0].sum(), (weights * tokens).sum()])


def shares(targets: Targets, weights: Tensor, norm: Norm, totals: Tensor) -> Tensor:
    """(n,) float32: the share of each target in the loss of the global batch, whose `count`s sum up to `totals`.

    The shares of all targets of a global batch sum up to 1, however it is cut into micro-batches and ranks.
    """
    tokens = targets.tokens(len(weights)).double()
    per_token = weights.double() / (tokens.clamp(min=1) if norm == "sample" else 1)
    # A global batch of nothing but dummies has a total of 0 and shares of 0, not NaN.
    total = totals[0 if norm == "sample" else 1].clamp(min=torch.finfo(torch.float64).tiny)
    return (per_token[targets.sample] / total).float()


def cross_entropies(logits: Tensor, targets: Targets) -> Tensor:
    """(n,) float32, nats: of `logits` (n, vocabulary) at the targets, on the logits' device."""
    return functional.cross_entropy(
        logits.float(), targets.labels.to(logits.device, non_blocking=True), reduction="none"
    )


def weighted_loss(logits: Tensor, targets: Targets, share: Tensor) -> Tensor:
    """A scalar: this micro-batch's part of the global batch's loss; the parts of all ranks add up to it."""
    if not len(share):  # pragma: no cover - collate gives even a dummy one supervised token
        raise ValueError("a micro-batch without a supervised token would leave this rank without a backward pass")
    return (cross_entropies(logits, targets) * share.to(logits.device, non_blocking=True)).sum()


def sample_means(logits: Tensor, targets: Targets, samples: int) -> tuple[Tensor, Tensor]:
    """Each sample's mean loss (nats; 0 for a sample without targets) and its supervised tokens, (samples,) float64."""
    tokens = targets.tokens(samples).double()
    sums = torch.zeros(samples, dtype=torch.float64)
    sums.index_add_(0, targets.sample, cross_entropies(logits, targets).double().cpu())
    return sums / tokens.clamp(min=1), tokens
