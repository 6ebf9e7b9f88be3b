"""What the tiny models should compute, written out from the hub's names of the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from tests.adapters import plain, tiny_chexagent, tiny_maira2


def chexagent_logits(weights: Mapping[str, Tensor], row: list[int], pixels: Tensor) -> Tensor:
    """Logits (length, vocabulary) of token ids with the picture in the places of `<|imgpad|>`."""
    x = weights["model.embed_tokens.weight"][row].clone()
    start = row.index(max(set(row), key=row.count))
    x[start : start + tiny_chexagent.PATCHES] = _chexagent_sees(weights, pixels)
    for number in range(tiny_chexagent.LAYERS):
        layer = f"model.layers.{number}"
        normed = plain.layer_norm(weights, f"{layer}.input_layernorm", x, 1e-5)
        q, k, v = (plain.linear(weights, f"{layer}.self_attn.{part}_proj", normed) for part in "qkv")
        # Half of each head's 16 numbers are turned: partial_rotary_factor.
        attended = plain.attention(q, k, v, tiny_chexagent.HEADS, causal=True, rotary=(8, 1))
        inner = functional.gelu(plain.linear(weights, f"{layer}.mlp.fc1", normed), approximate="tanh")
        x = x + plain.linear(weights, f"{layer}.self_attn.dense", attended)
        x = x + plain.linear(weights, f"{layer}.mlp.fc2", inner)
    return plain.linear(weights, "lm_head", plain.layer_norm(weights, "model.final_layernorm", x, 1e-5))


def _chexagent_sees(weights: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """(patches, width): the tower up to its last layer, without its last norm, and the resampler."""
    visual, tower = "model.visual", "model.visual.model"
    x = plain.patches(weights, f"{tower}.embeddings.patch_embedding", pixels)
    x = x + weights[f"{tower}.embeddings.position_embedding.weight"]
    for number in range(tiny_chexagent.TOWER_LAYERS):
        layer = f"{tower}.encoder.layers.{number}"
        normed = plain.layer_norm(weights, f"{layer}.layer_norm1", x, 1e-6)
        q, k, v = (plain.linear(weights, f"{layer}.self_attn.{part}_proj", normed) for part in "qkv")
        x = x + plain.linear(weights, f"{layer}.self_attn.out_proj", plain.attention(q, k, v, 1, causal=False))
        inner = plain.linear(weights, f"{layer}.mlp.fc1", plain.layer_norm(weights, f"{layer}.layer_norm2", x, 1e-6))
        x = x + plain.linear(weights, f"{layer}.mlp.fc2", functional.gelu(inner, approximate="tanh"))
    x = functional.gelu(plain.linear(weights, f"{visual}.attn_pool.0", x + weights[f"{visual}.pos_embed"]))
    x = plain.layer_norm(weights, f"{visual}.ln_post", plain.linear(weights, f"{visual}.attn_pool.2", x), 1e-6)
    return x @ weights[f"{visual}.proj"]


def maira2_logits(weights: Mapping[str, Tensor], row: list[int], pixels: Tensor) -> Tensor:
    """Logits (length, vocabulary) of token ids with the picture in the places of `<image>`."""
    model = "language_model.model"
    x = weights[f"{model}.embed_tokens.weight"][row].clone()
    start = row.index(max(row))
    x[start : start + tiny_maira2.PATCHES] = _maira2_sees(weights, pixels)
    for number in range(tiny_maira2.LAYERS):
        layer = f"{model}.layers.{number}"
        normed = plain.rms_norm(weights, f"{layer}.input_layernorm", x, 1e-5)
        q, k, v = (plain.linear(weights, f"{layer}.self_attn.{part}_proj", normed) for part in "qkv")
        attended = plain.attention(q, k, v, tiny_maira2.HEADS, causal=True, rotary=(16, 1.5))
        x = x + plain.linear(weights, f"{layer}.self_attn.o_proj", attended)
        normed = plain.rms_norm(weights, f"{layer}.post_attention_layernorm", x, 1e-5)
        gate = functional.silu(plain.linear(weights, f"{layer}.mlp.gate_proj", normed))
        x = x + plain.linear(
            weights, f"{layer}.mlp.down_proj", gate * plain.linear(weights, f"{layer}.mlp.up_proj", normed)
        )
    return plain.linear(weights, "language_model.lm_head", plain.rms_norm(weights, f"{model}.norm", x, 1e-5))


def _maira2_sees(weights: Mapping[str, Tensor], pixels: Tensor) -> Tensor:
    """(patches, width): the tower with its last norm, without its first place, and the projector."""
    tower = "vision_tower"
    x = plain.patches(weights, f"{tower}.embeddings.patch_embeddings.projection", pixels)
    x = torch.cat([weights[f"{tower}.embeddings.cls_token"][0], x])
    x = x + weights[f"{tower}.embeddings.position_embeddings"][0]
    for number in range(tiny_maira2.TOWER_LAYERS):
        layer = f"{tower}.encoder.layer.{number}"
        normed = plain.layer_norm(weights, f"{layer}.norm1", x, 1e-6)
        q, k, v = (
            plain.linear(weights, f"{layer}.attention.attention.{part}", normed) for part in ("query", "key", "value")
        )
        attended = plain.linear(
            weights, f"{layer}.attention.output.dense", plain.attention(q, k, v, tiny_maira2.TOWER_HEADS, causal=False)
        )
        x = x + attended * weights[f"{layer}.layer_scale1.lambda1"]
        inner = functional.gelu(
            plain.linear(weights, f"{layer}.mlp.fc1", plain.layer_norm(weights, f"{layer}.norm2", x, 1e-6))
        )
        x = x + plain.linear(weights, f"{layer}.mlp.fc2", inner) * weights[f"{layer}.layer_scale2.lambda1"]
    x = plain.layer_norm(weights, f"{tower}.layernorm", x, 1e-6)[1:]
    for number in (0, 2, 4, 6):
        x = plain.linear(weights, f"multi_modal_projector.layers.{number}", functional.gelu(x) if number else x)
    return x
