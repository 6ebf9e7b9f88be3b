"""Parts of transformers written out in a few lines each, in float64: what the adapters' models are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Weights = Mapping[str, Tensor]


def doubled(weights: Weights) -> dict[str, Tensor]:
    """The same in float64."""
    return {name: tensor.double() for name, tensor in weights.items()}


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """(..., in) -> (..., out)."""
    made = x @ weights[f"{name}.weight"].T
    return made + weights[f"{name}.bias"] if f"{name}.bias" in weights else made


def layer_norm(weights: Weights, name: str, x: Tensor, epsilon: float) -> Tensor:
    """Mean 0, deviation 1, then scale and shift."""
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)


def rms_norm(weights: Weights, name: str, x: Tensor, epsilon: float) -> Tensor:
    """Root mean square 1, then scale."""
    return x / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt() * weights[f"{name}.weight"]


def attention(
    q: Tensor, k: Tensor, v: Tensor, heads: int, *, causal: bool, rotary: tuple[int, float] = (0, 1)
) -> Tensor:
    """(length, width) each. `rotary`: how many of a head's numbers are turned, and what positions are divided by."""
    q, k, v = (x.reshape(len(x), heads, -1).transpose(0, 1) for x in (q, k, v))
    q, k = (_turned(x, *rotary) if rotary[0] else x for x in (q, k))
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


def _turned(x: Tensor, turned: int, divisor: float) -> Tensor:
    angles = torch.arange(x.shape[1]).double()[:, None] / divisor
    angles = angles / 10000.0 ** (torch.arange(0, turned, 2).double() / turned)
    first, second, rest = x[..., : turned // 2], x[..., turned // 2 : turned], x[..., turned:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)


def patches(weights: Weights, name: str, pixels: Tensor) -> Tensor:
    """(3, side, side) -> (patches, width), row by row."""
    kernel = weights[f"{name}.weight"]
    made = functional.conv2d(pixels[None], kernel, weights[f"{name}.bias"], stride=kernel.shape[-1])
    return made[0].flatten(1).T
