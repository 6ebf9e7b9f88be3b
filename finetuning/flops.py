"""Floating-point operations that a batch needs by the model's arithmetic: the numerator of MFU.

A multiply and an add are two operations. Causal attention counts half a square. What activation checkpointing computes
again is not counted: it is a cost of the implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """What of a LlavaOnevision decides its cost."""

    decoder: int
    """Weights of the decoder layers' matrices, that each token meets once."""
    width: int
    """Of the attention in one decoder layer: heads times their size."""
    layers: int
    head: int
    """Weights of lm_head."""
    tower: int
    """Weights of the vision tower's matrices, that each patch meets once."""
    tower_width: int
    tower_layers: int
    projector: int
    patches: int
    """Of one tile."""


def sizes_of(config: Any) -> Sizes:
    """Sizes from a LlavaOnevisionConfig."""
    text, vision = config.text_config, config.vision_config
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    queries, keys = head_size * text.num_attention_heads, head_size * text.num_key_value_heads
    layer = text.hidden_size * (2 * queries + 2 * keys) + 3 * text.hidden_size * text.intermediate_size
    tower_layer = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    embedding = vision.hidden_size * vision.num_channels * vision.patch_size**2
    return Sizes(
        decoder=text.num_hidden_layers * layer,
        width=queries,
        layers=text.num_hidden_layers,
        head=text.hidden_size * text.vocab_size,
        tower=vision.num_hidden_layers * tower_layer + embedding,
        tower_width=vision.hidden_size,
        tower_layers=vision.num_hidden_layers,
        projector=vision.hidden_size * text.hidden_size + text.hidden_size**2,
        patches=(vision.image_size // vision.patch_size) ** 2,
    )


def forward_flops(sizes: Sizes, *, lengths: Sequence[int], tiles: int, supervised: int) -> tuple[float, float]:
    """Of one forward pass over samples of `lengths` tokens: by the vision tower, and by the rest."""
    patches = tiles * sizes.patches
    tower = 2.0 * sizes.tower * patches + 4.0 * sizes.tower_layers * sizes.tower_width * sizes.patches * patches
    attention = 2.0 * sizes.layers * sizes.width * sum(length**2 for length in lengths)
    rest = 2.0 * (sizes.decoder * sum(lengths) + sizes.projector * patches + sizes.head * supervised) + attention
    return tower, rest


def training_flops(
    sizes: Sizes, *, lengths: Sequence[int], tiles: int, supervised: int, tower_trains: bool, weights_train: bool
) -> float:
    """Of one forward and backward pass. A backward pass costs a forward pass for the gradients of activations and
    another for those of weights; an adapter (`weights_train` false) needs only the first, a frozen tower neither.
    """
    tower, rest = forward_flops(sizes, lengths=lengths, tiles=tiles, supervised=supervised)
    return tower * (3 if tower_trains else 1) + rest * (3 if weights_train else 2)
