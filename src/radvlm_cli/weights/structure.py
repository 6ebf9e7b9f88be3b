"""Which tensors a LLaVA-OneVision model has, and their shapes: arithmetic over its configuration, in Hub names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radvlm_cli.errors import DataError
from radvlm_cli.weights.rules import raise_faults
from radvlm_cli.weights.tensors import ITEM_BYTES, Tensor

Shape = tuple[int, ...]

LM_HEAD = "language_model.lm_head.weight"
EMBEDDING = "language_model.model.embed_tokens.weight"


def expected_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """Shape by Hub name, in the order in which they are written, from a configuration in the Hub's form.

    With tied word embeddings there is no lm_head: the loader takes the embedding for it.
    """
    text = config["text_config"]
    shapes: dict[str, Shape] = {"image_newline": (text["hidden_size"],)}
    shapes |= _vision(config["vision_config"])
    shapes |= _linear("multi_modal_projector.linear_1", text["hidden_size"], config["vision_config"]["hidden_size"])
    shapes |= _linear("multi_modal_projector.linear_2", text["hidden_size"], text["hidden_size"])
    shapes |= _language(text)
    if not config["tie_word_embeddings"]:
        shapes[LM_HEAD] = (text["vocab_size"], text["hidden_size"])
    return shapes


def check_tensors(tensors: Mapping[str, Tensor], config: Mapping[str, Any], where: str) -> None:
    """DataError naming what is missing, extra, of a wrong shape or of a type that is no weight's."""
    expected = expected_shapes(config)
    wrong = [
        f"{name} is {list(tensors[name].shape)}, should be {list(shape)}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    odd = [f"{name} is {tensor.dtype}" for name, tensor in tensors.items() if tensor.dtype not in ITEM_BYTES]
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "more than its config.json tells of": [name for name in tensors if name not in expected],
        "of a wrong shape": wrong,
        "of a type that is none of float32, bfloat16, float16": odd,
    }
    raise_faults(
        where,
        faults,
        "Give the config.json that the weights were made with; another vision tower than SigLIP so400m by "
        "--vision-config FILE",
    )


def _linear(name: str, rows: int, columns: int) -> dict[str, Shape]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _language(text: Mapping[str, Any]) -> dict[str, Shape]:
    width, inner = text["hidden_size"], text["intermediate_size"]
    if width % text["num_attention_heads"]:
        raise DataError(
            f"config.json: {width} wide, which {text['num_attention_heads']} attention heads do not divide."
        )
    keys = width // text["num_attention_heads"] * text["num_key_value_heads"]
    shapes: dict[str, Shape] = {EMBEDDING: (text["vocab_size"], width)}
    for number in range(text["num_hidden_layers"]):
        layer = f"language_model.model.layers.{number}"
        shapes[f"{layer}.input_layernorm.weight"] = (width,)
        for projection, rows in (("q", width), ("k", keys), ("v", keys)):
            shapes |= _linear(f"{layer}.self_attn.{projection}_proj", rows, width)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (width, width)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (width,)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (inner, width)
        shapes[f"{layer}.mlp.up_proj.weight"] = (inner, width)
        shapes[f"{layer}.mlp.down_proj.weight"] = (width, inner)
    shapes["language_model.model.norm.weight"] = (width,)
    return shapes


def _vision(vision: Mapping[str, Any]) -> dict[str, Shape]:
    tower = "vision_tower.vision_model"
    width, patch = vision["hidden_size"], vision["patch_size"]
    shapes: dict[str, Shape] = {
        f"{tower}.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{tower}.embeddings.patch_embedding.bias": (width,),
        f"{tower}.embeddings.position_embedding.weight": ((vision["image_size"] // patch) ** 2, width),
    }
    for number in range(vision["num_hidden_layers"]):
        layer = f"{tower}.encoder.layers.{number}"
        shapes |= _norm(f"{layer}.layer_norm1", width)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{projection}", width, width)
        shapes |= _norm(f"{layer}.layer_norm2", width)
        shapes |= _linear(f"{layer}.mlp.fc1", vision["intermediate_size"], width)
        shapes |= _linear(f"{layer}.mlp.fc2", width, vision["intermediate_size"])
    return shapes | _norm(f"{tower}.post_layernorm", width)
