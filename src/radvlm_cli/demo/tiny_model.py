"""A tiny LLaVA-OneVision with random weights, made offline: what `radvlm train --recipe tiny` starts from.

It has the real model's parts and files, so that everything but its size is as with the real one. It sees a picture as
two tiles of 6 x 6 patches, 8 pixels wide: few enough tokens for a CPU, and small enough patches to tell a bright one
from a dark one after few steps. All weights are drawn at random but those of the patches' positions, which are waves
across the picture: with drawn ones it learns more slowly where a patch lies. Its tokenizer is Qwen2's kind (bytes,
digits one by one, merges within words), trained on the texts of the dataset, so that a question is a dozen tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.errors import DataError

TILE = 48
"""Side of a tile in pixels."""
PATCH = 8
_WIDTH = 64
_MERGED = 700
"""Tokens before the special ones."""
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_TEMPLATE = "system\nYou are a helpful assistant.\nuser\nassistant\n"
"""What the chat template puts around the texts."""
_OFTEN = 100
"""How often it is read in training the tokenizer, so that it costs few tokens."""
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where Qwen2's tokenizer cuts a text before it merges bytes."""


def write_tiny_model(folder: Path, texts: Iterable[str], *, seed: int = 0) -> Path:
    """Write weights, configuration and tokenizer into `folder`, which must be new or empty; return it.

    The same texts and seed give the same files. Needs torch and transformers. DataError: the folder holds something.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty.", "Choose a new folder for the tiny model.")
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder, texts)
    _write_weights(folder, ids, seed)
    return folder


def dataset_texts(table: Path) -> Iterator[str]:
    """The questions and answers of a built dataset, from its Parquet file."""
    from pyarrow import parquet

    with parquet.ParquetFile(table) as file:
        for batch in file.iter_batches(columns=["conversations"]):
            for turns in batch.column("conversations").to_pylist():
                yield from (str(turn["value"]).removeprefix("<image>\n") for turn in turns)


def _write_tokenizer(folder: Path, texts: Iterable[str]) -> dict[str, int]:
    """Write tokenizer.json and its configuration; return each token's id."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=_MERGED, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*texts, *[_TEMPLATE] * _OFTEN], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096,
        "processor_class": "LlavaOnevisionProcessor",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids


def _write_weights(folder: Path, ids: dict[str, int], seed: int) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    config = LlavaOnevisionConfig(**_config(ids))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaOnevisionForConditionalGeneration(config)
    positions = model.model.vision_tower.embeddings.position_embedding.weight
    positions.data.copy_(torch.from_numpy(_waves(TILE // PATCH)))
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.config.architectures, model.config.dtype = [type(model).__name__], "float32"
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    # Under the names of the running model, which is what a run's own RUN/final has, too. Not by `save_pretrained`,
    # which loads DeepSpeed where it is installed, only to have it complain of a machine without a GPU.
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})


def _waves(side: int) -> NDArray[np.float32]:
    """Positions of `side` x `side` patches, row by row: sines and cosines of x and of y, half a wave to four."""
    middles = (np.arange(side) + 0.5) / side - 0.5
    lengths = np.pi * 8.0 ** (np.arange(_WIDTH // 4) / (_WIDTH // 4))
    y, x = (each.reshape(-1, 1) * lengths for each in np.meshgrid(middles, middles, indexing="ij"))
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


def _config(ids: dict[str, int]) -> dict[str, Any]:
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "image_size": TILE,
        "patch_size": PATCH,
        "vision_use_head": False,
    }
    text = {
        "model_type": "qwen2",
        "vocab_size": -(-len(ids) // 8) * 8,
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        # Qwen2's 0.02 is meant for widths of thousands; so narrow a model would hardly start to learn.
        "initializer_range": _WIDTH**-0.5,
        "tie_word_embeddings": False,
    }
    return {
        "vision_config": vision,
        "text_config": text,
        "image_token_index": ids["<image>"],
        "video_token_index": ids["<video>"],
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": "anyres_max_9",
        "image_grid_pinpoints": [[TILE, TILE]],
        "tie_word_embeddings": False,
    }
