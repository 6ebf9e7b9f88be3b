"""A tiny random LlavaOnevision, a handful of pairs with pictures, and manifests over both."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

ORIGINAL = Path(__file__).parents[1] / "data" / "llava_onevision" / "original"
SIZES = ((90, 120), (384, 384), (300, 200))
"""Width and height of the pictures."""
TILE = 56
"""Side of a tile in pixels: 16 features instead of 729, so that a step takes milliseconds."""


def make_model(folder: Path, *, seed: int = 0, tied: bool = False, tile: int = TILE) -> Path:
    """Write a model of 64 wide, 2 layers each, and the tokenizer of the golden data with <image> and <video> added."""
    import torch
    from tokenizers import AddedToken, Tokenizer
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    torch.manual_seed(seed)
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": tile,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": 448,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "tie_word_embeddings": tied,
        },
        image_token_index=423,
        video_token_index=424,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[tile * h, tile * w] for h in range(1, 7) for w in range(1, 7)],
        tie_word_embeddings=tied,
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    model.save_pretrained(folder, save_original_format=False)
    tokenizer = Tokenizer.from_file(str(ORIGINAL / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<image>", special=True), AddedToken("<video>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    shutil.copy(ORIGINAL / "tokenizer_config.json", folder)
    return folder


def make_table(
    path: Path,
    *,
    pairs: int = 12,
    seed: int = 0,
    broken: tuple[int, ...] = (),
    answer: str | None = None,
    empty: tuple[int, ...] = (),
) -> Path:
    """Write pairs of two tasks over grey noise pictures; the files of the `broken` ones are cut short.

    `answer`: of all pairs, instead of various ones; those of the `empty` ones say nothing.
    """
    random = np.random.default_rng(seed)
    images = path.parent / f"{path.stem}-images"
    images.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for number in range(pairs):
        width, height = SIZES[number % len(SIZES)]
        file = images / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)).save(file)
        if number in broken:
            file.write_bytes(file.read_bytes()[:200])
        various = " ".join(["clear", "lungs", "no", "effusion"][: 1 + number % 4] * (1 + number % 3))
        rows.append(
            {
                "id": f"pair-{number}",
                "image": str(file),
                "conversations": [
                    {"from": "human", "value": "<image>\nWhat is seen?"},
                    {"from": "gpt", "value": "" if number in empty else answer or various},
                ],
                "task": ("report", "grounding")[number % 2],
                "width": width,
                "height": height,
            }
        )
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def manifest(run: Path, model_folder: Path, table: Path, **changes: dict[str, Any] | None) -> dict[str, Any]:
    """A manifest for a short run; `changes` update its sections."""
    value: dict[str, Any] = {
        "format": 1,
        "run": {"id": 1, "folder": str(run)},
        "model": {"path": str(model_folder), "dtype": "float32"},
        "data": {
            "table": str(table),
            "sha256": hashlib.sha256(table.read_bytes()).hexdigest(),
            "pairs": parquet.read_metadata(table).num_rows,
            "cache": str(table.parent / "cache"),
            "workers": 0,
        },
        "optimization": {"learning_rate": 1e-2, "vision_learning_rate": 2e-3, "max_steps": 4, "global_batch": 4},
        "parallel": {"strategy": "ddp", "activation_checkpointing": 0},
        "checkpoints": {"every_steps": 2, "every_minutes": None},
    }
    for section, change in changes.items():
        value[section] = {**(value.get(section) or {}), **change} if change is not None else None
    return value


def write_manifest(run: Path, model_folder: Path, table: Path, **changes: dict[str, Any] | None) -> Path:
    """Write RUN/manifest.json."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / "manifest.json"
    path.write_text(json.dumps(manifest(run, model_folder, table, **changes)))
    return path


def events(run: Path, kind: str | None = None, *, rank: int = 0) -> list[dict[str, Any]]:
    """The events of a rank, or those of a kind."""
    file = run / f"rank{rank}.spool.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    return [event for event in found if kind in (None, event["kind"])]
