"""A tiny CheXagent-2 with random weights, file by file and name by name as the one on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor

WIDTH, LAYERS, INNER, HEADS = 32, 2, 48, 2
SEEN, TOWER_LAYERS, SIDE, PATCH = 64, 2, 32, 8
PATCHES = (SIDE // PATCH) ** 2
TAGS = ["<|img|>", "<|/img|>", "<|imgpad|>", "<|ref|>", "<|/ref|>", "<|box|>", "<|/box|>", "<|quad|>", "<|/quad|>"]
MERGES = ["Ġ t", "h e", "i n", "Ġ a", "o r", "Ġt he"]


def write_tiny_chexagent(folder: Path, *, seed: int = 0) -> Path:
    """Write configuration, tokenizer and one file of weights into a new folder."""
    folder.mkdir(exist_ok=True)
    vocabulary = _write_tokenizer(folder)
    config = {
        "architectures": ["CheXagentForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_chexagent.CheXagentForCausalLM"},
        "model_type": "chexagent",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "hidden_act": "gelu_new",
        "max_position_embeddings": 256,
        "layer_norm_eps": 1e-5,
        "partial_rotary_factor": 0.5,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "qk_layernorm": False,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
        "visual": {
            "image_size": SIDE,
            "n_queries": 256,
            "output_dim": WIDTH,
            "vision_model_name_or_path": "StanfordAIMI/XraySigLIP__vit-l-16-siglip-384__webli",
        },
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tiny_weights(vocabulary, seed=seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tiny_weights(vocabulary: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Weights by their names on the hub."""
    maker = torch.Generator().manual_seed(seed)
    return {
        # Norms around 1, the rest large enough that pictures and words make a difference.
        name: torch.randn(shape, generator=maker) * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0)
        for name, shape in {**_language(vocabulary), **_visual()}.items()
    }


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _language(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, WIDTH)}
    for number in range(LAYERS):
        layer = f"model.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "dense"):
            shapes |= _linear(f"{layer}.self_attn.{part}", WIDTH, WIDTH)
        shapes |= _linear(f"{layer}.mlp.fc1", INNER, WIDTH) | _linear(f"{layer}.mlp.fc2", WIDTH, INNER)
        shapes |= _norm(f"{layer}.input_layernorm", WIDTH)
    return shapes | _norm("model.final_layernorm", WIDTH) | _linear("lm_head", vocabulary, WIDTH)


def _visual() -> dict[str, tuple[int, ...]]:
    visual, tower = "model.visual", "model.visual.model"
    shapes: dict[str, tuple[int, ...]] = {
        f"{visual}.pos_embed": (PATCHES, SEEN),
        f"{visual}.proj": (WIDTH, WIDTH),
        f"{tower}.embeddings.patch_embedding.weight": (SEEN, 3, PATCH, PATCH),
        f"{tower}.embeddings.patch_embedding.bias": (SEEN,),
        f"{tower}.embeddings.position_embedding.weight": (PATCHES, SEEN),
        f"{tower}.head.probe": (1, 1, SEEN),
        f"{tower}.head.attention.in_proj_weight": (3 * SEEN, SEEN),
        f"{tower}.head.attention.in_proj_bias": (3 * SEEN,),
    }
    shapes |= _linear(f"{visual}.attn_pool.0", 4 * WIDTH, SEEN) | _linear(f"{visual}.attn_pool.2", WIDTH, 4 * WIDTH)
    shapes |= _norm(f"{visual}.ln_post", WIDTH) | _norm(f"{tower}.post_layernorm", SEEN)
    for number in range(TOWER_LAYERS):
        layer = f"{tower}.encoder.layers.{number}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _linear(f"{layer}.self_attn.{part}", SEEN, SEEN)
        shapes |= _norm(f"{layer}.layer_norm1", SEEN) | _norm(f"{layer}.layer_norm2", SEEN)
        shapes |= _linear(f"{layer}.mlp.fc1", 96, SEEN) | _linear(f"{layer}.mlp.fc2", SEEN, 96)
    shapes |= _linear(f"{tower}.head.attention.out_proj", SEEN, SEEN) | _norm(f"{tower}.head.layernorm", SEEN)
    return shapes | _linear(f"{tower}.head.mlp.fc1", 96, SEEN) | _linear(f"{tower}.head.mlp.fc2", SEEN, 96)


def _write_tokenizer(folder: Path) -> int:
    """vocab.json and merges.txt of bytes and a few merges, the tags after them; return how many tokens there are."""
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *merged, "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n", encoding="utf-8")
    added = {"<|endoftext|>": len(tokens) - 1}
    for token in ["  ", "    ", *TAGS, *(f"<|coord_{digit}|>" for digit in range(10))]:
        added[token] = len(tokens) + len(added) - 1
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(number): {
                "content": token,
                "lstrip": False,
                "normalized": not token.startswith("<|"),
                "rstrip": False,
                "single_word": False,
                "special": token.startswith("<|"),
            }
            for token, number in added.items()
        },
        "additional_special_tokens": [*TAGS, *(f"<|coord_{digit}|>" for digit in range(10))],
        "auto_map": {"AutoTokenizer": ["tokenization_chexagent.CheXagentTokenizer", None]},
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "tokenizer_class": "CheXagentTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return len(tokens) + len(added) - 1
