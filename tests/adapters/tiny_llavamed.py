"""LLaVA-Med v1.5 in small: the published files, names and configuration, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tests.adapters.hub_layout import (
    Shapes,
    language_shapes,
    projector_shapes,
    random_weights,
    tokenizer_model,
    vocabulary,
    write_index,
    write_json,
)

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
_TOWER = "model.vision_tower.vision_tower.vision_model"


def config() -> dict[str, Any]:
    """config.json as published, but for its sizes."""
    return {
        "architectures": ["LlavaMistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "freeze_mm_mlp_adapter": False,
        "hidden_act": "silu",
        "hidden_size": 24,
        "image_aspect_ratio": "pad",
        "initializer_range": 0.02,
        "intermediate_size": 32,
        "max_position_embeddings": 32768,
        "mm_hidden_size": 16,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "model_type": "llava_mistral",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "tokenizer_model_max_length": 2048,
        "torch_dtype": "bfloat16",
        "use_mm_proj": True,
        "vocab_size": vocabulary(),
        "_tiny_vision_config": VISION,
    }


def write_llavamed(folder: Path, *, seed: int = 0) -> Path:
    """Write the checkpoint in two safetensors files with their index; return the folder."""
    folder.mkdir(exist_ok=True)
    shapes = language_shapes(config()) | projector_shapes(VISION["hidden_size"], config()["hidden_size"])
    weights = random_weights(shapes | _tower_shapes(), seed)
    names = sorted(weights)
    halves = {
        "model-00001-of-00002.safetensors": names[: len(names) // 2],
        "model-00002-of-00002.safetensors": names[len(names) // 2 :],
    }
    for file, tensors in halves.items():
        save_file({name: weights[name] for name in tensors}, folder / file, metadata={"format": "pt"})
    write_index(folder, "model.safetensors.index.json", halves)
    write_json(folder / "config.json", config())
    write_json(folder / "tokenizer_config.json", {"legacy": True, "tokenizer_class": "LlamaTokenizer"})
    # A checkpoint may ask for sampling; it is not followed.
    write_json(folder / "generation_config.json", {"do_sample": True, "temperature": 5.0, "eos_token_id": 2})
    (folder / "tokenizer.model").write_bytes(tokenizer_model())
    return folder


def _tower_shapes() -> Shapes:
    width, inner, patch = VISION["hidden_size"], VISION["intermediate_size"], VISION["patch_size"]
    shapes: Shapes = {
        f"{_TOWER}.embeddings.class_embedding": (width,),
        f"{_TOWER}.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{_TOWER}.embeddings.position_embedding.weight": ((VISION["image_size"] // patch) ** 2 + 1, width),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"{_TOWER}.{norm}.weight": (width,), f"{_TOWER}.{norm}.bias": (width,)}
    for number in range(VISION["num_hidden_layers"]):
        layer = f"{_TOWER}.encoder.layers.{number}"
        for part, rows, columns in (
            *((f"self_attn.{each}_proj", width, width) for each in ("k", "v", "q", "out")),
            ("mlp.fc1", inner, width),
            ("mlp.fc2", width, inner),
        ):
            shapes |= {f"{layer}.{part}.weight": (rows, columns), f"{layer}.{part}.bias": (rows,)}
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
    return shapes
