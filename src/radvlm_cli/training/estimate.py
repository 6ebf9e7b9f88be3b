"""What a run will take, by arithmetic: parameters, memory per GPU, hours, disk. Nothing is loaded.

Sources of the constants stand beside them. Memory is what tensors need; a real allocator wants some more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

H100_FLOPS = 989.4e12
"""Dense bfloat16 of an H100 SXM."""
MFU = (0.25, 0.40)
"""Model FLOPs utilisation: what to plan with, and what is possible."""
_TEXT = {"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32}
_TEXT |= {"num_attention_heads": 32, "num_key_value_heads": 32}
_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 16}
_GIB = 2**30
_OVERHEAD_GIB = 3.0
"""CUDA context, NCCL buffers, cuBLAS workspace."""
_LIVE = 1_000_000_000
"""Weights that ZeRO-3 holds gathered at once (stage3_max_live_parameters)."""
_SUB_GROUP = 1_000_000_000
"""Weights that ZeRO-3's optimizer updates at once (sub_group_size)."""
_INSIDE = 34
"""Bytes that one decoder layer keeps per token and unit of width, 16 bit, no stored attention scores
(Korthikanti et al. 2022, section 4.1)."""


class Parameters(NamedTuple):
    """Numbers of weights."""

    tower: int
    projector: int
    language: int
    embeddings: int
    """Input embeddings and, where it is not tied to them, lm_head."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class Memory(NamedTuple):
    """GiB per GPU."""

    states: float
    """Weights, gradients, optimizer."""
    activations: float
    """Of the longest sample."""
    update: float
    """While the optimizer steps, when no activation is left: ZeRO's flat copy of this rank's gradients."""
    host: float
    """GiB of the node's main memory, with offload."""

    @property
    def gpu(self) -> float:
        """What one GPU needs."""
        return self.states + max(self.activations, self.update) + _OVERHEAD_GIB


def parameters(config: Mapping[str, Any]) -> Parameters:
    """Count the weights of a LlavaOnevision by its config.json."""
    text, vision = _TEXT | config.get("text_config", {}), _VISION | config.get("vision_config", {})
    wide, inner = text["hidden_size"], text["intermediate_size"]
    head = text.get("head_dim") or wide // text["num_attention_heads"]
    queries, keys = head * text["num_attention_heads"], head * text["num_key_value_heads"]
    attention = 2 * wide * queries + queries + 2 * (wide * keys + keys)
    language = text["num_hidden_layers"] * (attention + 3 * wide * inner + 2 * wide) + wide
    narrow, middle, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    embedding = vision.get("num_channels", 3) * patch**2 * narrow + narrow
    embedding += (vision["image_size"] // patch) ** 2 * narrow
    layer = 4 * (narrow**2 + narrow) + 2 * narrow * middle + narrow + middle + 4 * narrow
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
    return Parameters(
        tower=embedding + vision["num_hidden_layers"] * layer + 2 * narrow,
        projector=narrow * wide + wide + wide * wide + wide + wide,  # with image_newline
        language=language,
        embeddings=(1 if tied else 2) * text["vocab_size"] * wide,
    )


def trainable(count: Parameters, config: Mapping[str, Any], settings: Mapping[str, Any]) -> int:
    """How many weights train."""
    adapter = settings.get("adapter")
    frozen_tower = settings["optimization"].get("vision_learning_rate", 2e-6) == 0
    if adapter is None:
        return count.total - (count.tower if frozen_tower else 0)
    text = _TEXT | config.get("text_config", {})
    wide, inner = text["hidden_size"], text["intermediate_size"]
    keys = wide // text["num_attention_heads"] * text["num_key_value_heads"]
    ends = 2 * (wide + wide) + 2 * (wide + keys) + 3 * (wide + inner)
    added = int(adapter.get("rank", 64) * text["num_hidden_layers"] * ends)
    return added + (count.projector if adapter.get("projector", True) else 0)


def memory(
    config: Mapping[str, Any], settings: Mapping[str, Any], *, world: int, longest: int, most_tiles: int
) -> Memory:
    """Memory per GPU for the strategy, with the longest sample in every micro-batch."""
    count = parameters(config)
    moving = trainable(count, config, settings)
    states, update, host = _states(settings, count.total, moving, world)
    activations = _activations(config, settings, longest, most_tiles)
    return Memory(states / _GIB, activations / _GIB, update / _GIB, host / _GIB)


def _states(settings: Mapping[str, Any], total: int, moving: int, world: int) -> tuple[float, float, float]:
    """Bytes on the GPU, more of them while the optimizer steps, and bytes per rank in main memory.

    Mixed precision: 2 bytes a weight, 12 AdamW with its float32 copy (Rajbhandari et al. 2020), and 4 its gradient,
    which deepspeed/*.json have added up in float32 (DeepSpeed 0.19: 18 measured for one rank, 22 in the step).
    """
    strategy = settings["parallel"].get("strategy", "zero2")
    adapter = settings.get("adapter")
    still = total - moving
    frozen = still * (0.55 if adapter and adapter.get("kind") == "qlora" else 2)
    if strategy == "ddp":
        # Full precision weights, gradients and both moments; of several ranks, the buckets that gradients are sent in.
        return frozen + moving * (16 if world == 1 else 20), 0.0, 0.0
    if strategy == "zero2":
        return frozen + moving * (2 + 16 / world), moving * 4 / world, 0.0
    live = 2 * min(total, _LIVE)
    if strategy == "zero3":
        return (still * 2 + moving * 18) / world + live, min(moving / world, _SUB_GROUP) * 4, 0.0
    # What is live as weights is live as gradients on the way back. The optimizer has a second buffer of gradients.
    return 2 * live, 0.0, (still * 2 + moving * 22) / world


def _activations(config: Mapping[str, Any], settings: Mapping[str, Any], longest: int, most_tiles: int) -> float:
    """Bytes that a micro-batch of the longest sample keeps for the backward pass."""
    text, vision = _TEXT | config.get("text_config", {}), _VISION | config.get("vision_config", {})
    packed = (settings.get("packing") or {}).get("tokens")
    rows = settings["optimization"].get("micro_batch", 1)
    tokens = max(packed or 0, longest) * (1 if packed else rows)
    patches = most_tiles * (vision["image_size"] // vision["patch_size"]) ** 2 * rows
    every = settings["parallel"].get("activation_checkpointing", 1)
    width = 4 if settings["model"].get("dtype") == "float32" else 2
    kept = 0.0
    for length, size, layers in (
        (tokens, text["hidden_size"], text["num_hidden_layers"]),
        (patches, vision["hidden_size"], vision["num_hidden_layers"]),
    ):
        whole = layers if not every else layers - layers // every
        # Layers that keep only their input, those that keep all, and one that is being computed again.
        kept += length * size * width / 2 * (2 * (layers - whole) + _INSIDE * whole + _INSIDE * bool(every))
    return kept


def training_flops(counts: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """Floating-point operations of one pass over the dataset (3 x forward, less for what is frozen)."""
    forward = counts["forward_flops"]
    frozen_tower = settings.get("adapter") is not None or settings["optimization"].get("vision_learning_rate") == 0
    tower, rest = (1 if frozen_tower else 3), (2 if settings.get("adapter") is not None else 3)
    return float(tower * forward["vision tower"] + rest * forward["rest"])


def steps(settings: Mapping[str, Any], samples: int) -> int:
    """Optimizer steps of the run."""
    optimization = settings["optimization"]
    if optimization.get("max_steps"):
        return int(optimization["max_steps"])
    batch = optimization.get("global_batch", 256)
    return int(-(-round(samples * optimization.get("epochs", 1.0)) // batch))


def hours(flops: float, gpus: int, mfu: float, peak: float = H100_FLOPS) -> float:
    """Hours at that utilisation."""
    return flops / (gpus * peak * mfu) / 3600


def checkpoint_bytes(config: Mapping[str, Any], settings: Mapping[str, Any]) -> float:
    """Size of one checkpoint: what trains and AdamW's moments in float32, and the model as ZeRO-2 has it beside them.

    Weights that an adapter leaves alone are not in it; other frozen ones are.
    """
    count = parameters(config)
    moving = trainable(count, config, settings)
    still = 0 if settings.get("adapter") else count.total - moving
    strategy = settings["parallel"].get("strategy", "zero2")
    if strategy == "ddp":
        return moving * 12.0 + still * 4.0
    return moving * (14.0 if strategy == "zero2" else 12.0) + still * 2.0
