"""What the tiny checkpoints of LLaVA-Med and RaDialog have in common: random weights under published names."""

from __future__ import annotations

import json
import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from PIL import Image
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
_TEXTS = (
    "Describe the heart and the lungs in this chest X-ray.",
    "There is no pleural effusion or pneumothorax. The heart is of normal size.",
    "A chat between a curious user and an artificial intelligence assistant acting as an experienced radiologist.",
    "Write a radiology report for this X-Ray. USER: ASSISTANT: [INST] [/INST]",
    "Is there a consolidation in the left lower lobe? Yes, and a small effusion; both lungs are clear otherwise.",
)


@cache
def tokenizer_model() -> bytes:
    """A tokenizer.model of Llama's kind: pieces, bytes for what is in none, <unk> 0, <s> 1, </s> 2."""
    file = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 3),
        model_writer=file,
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return file.getvalue()


def vocabulary() -> int:
    """How many pieces `tokenizer_model` has."""
    return sentencepiece.SentencePieceProcessor(model_proto=tokenizer_model()).get_piece_size()


def language_shapes(config: dict[str, Any]) -> Shapes:
    """Llama and Mistral: the weights that a config.json describes."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    keys = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: Shapes = {
        "model.embed_tokens.weight": (config["vocab_size"], width),
        "model.norm.weight": (width,),
        "lm_head.weight": (config["vocab_size"], width),
    }
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        shapes |= {
            f"{layer}.self_attn.q_proj.weight": (width, width),
            f"{layer}.self_attn.k_proj.weight": (keys, width),
            f"{layer}.self_attn.v_proj.weight": (keys, width),
            f"{layer}.self_attn.o_proj.weight": (width, width),
            f"{layer}.mlp.gate_proj.weight": (inner, width),
            f"{layer}.mlp.up_proj.weight": (inner, width),
            f"{layer}.mlp.down_proj.weight": (width, inner),
            f"{layer}.input_layernorm.weight": (width,),
            f"{layer}.post_attention_layernorm.weight": (width,),
        }
    return shapes


def projector_shapes(vision: int, width: int) -> Shapes:
    """The two layers between the pictures' numbers and the language model."""
    return {
        "model.mm_projector.0.weight": (width, vision),
        "model.mm_projector.0.bias": (width,),
        "model.mm_projector.2.weight": (width, width),
        "model.mm_projector.2.bias": (width,),
    }


def random_weights(shapes: Shapes, seed: int, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Weights large enough for what goes in to matter for what comes out; norms near 1, variances above 0."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes.items():
        drawn = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            drawn = 0.5 + drawn.abs()
        elif re.search(r"(norm\d?|bn\d|downsample\.1)\.weight$", name):
            drawn = 1 + 0.1 * drawn
        elif len(shape) > 1 and "embed" not in name:
            drawn = drawn * (2 / np.prod(shape[1:])) ** 0.5
        weights[name] = drawn.to(dtype)
    return weights


def write_json(path: Path, content: Any) -> None:
    """Write a file of configuration."""
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_index(folder: Path, name: str, files: dict[str, list[str]]) -> None:
    """Write the index that says which file holds which tensor."""
    weight_map = {tensor: file for file, tensors in files.items() for tensor in tensors}
    write_json(folder / name, {"metadata": {}, "weight_map": weight_map})


def write_picture(path: Path, seed: int, size: tuple[int, int] = (60, 48)) -> Path:
    """A grey picture of large spots."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def next_logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Logits of each row's next token, positions counted from the row's own beginning as in generation."""
    positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        logits: Tensor = model(**inputs, position_ids=positions).logits[:, -1]
    return logits
