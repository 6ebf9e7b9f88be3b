"""Write one folder in the Hub's layout: weights in files of at most 5 GB, their index, and the configuration files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.hashing import file_sha256
from radvlm_cli.weights import configs
from radvlm_cli.weights.rules import raise_faults
from radvlm_cli.weights.shards import plan_shards, write_shard
from radvlm_cli.weights.tensors import Tensor, finite, size_of
from radvlm_cli.weights.tokenizer import Written

SHARD_BYTES = 5 * 10**9
INDEX = "model.safetensors.index.json"


class Weights(NamedTuple):
    """Weights as they were written."""

    files: dict[str, str]
    """File name -> SHA-256."""
    digests: dict[str, str]
    """Hub name -> SHA-256 of the tensor's bytes."""
    bytes: int


def write_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    shard_bytes: int = SHARD_BYTES,
    done: Callable[[int], None],
) -> Weights:
    """Write the tensors in their order; `done` is told of bytes as they are written.

    DataError naming the tensors that hold an infinity or NaN.
    """
    shas = {name: hashlib.sha256() for name in tensors}
    broken: dict[str, None] = {}

    def see(name: str, piece: bytes) -> None:
        shas[name].update(piece)
        if not finite(piece, tensors[name].dtype):
            broken[name] = None
        done(len(piece))

    shards = plan_shards(tensors, shard_bytes)
    files: dict[str, str] = {}
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
        files[name] = write_shard(folder / name, shard, see)
        weight_map |= dict.fromkeys(shard, name)
        raise_faults(where, {"with infinite values or NaN": list(broken)}, "The training diverged: take an older one")
    size = sum(map(size_of, tensors.values()))
    if len(shards) > 1:
        index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
        files[INDEX] = write_json(folder / INDEX, index)
    return Weights(files, {name: sha.hexdigest() for name, sha in shas.items()}, size)


def write_configs(folder: Path, config: Mapping[str, Any], tokenizer: Written) -> dict[str, str]:
    """Write the configuration files beside weights and tokenizer; SHA-256 by file name."""
    written = {
        "config.json": config,
        "generation_config.json": configs.generation_config(end_ids=tokenizer.end_ids, pad_id=tokenizer.pad_id),
        "preprocessor_config.json": configs.preprocessor_config(config),
        "video_preprocessor_config.json": configs.video_preprocessor_config(config),
        "processor_config.json": configs.processor_config(config),
    }
    return {name: write_json(folder / name, value) for name, value in written.items()}


def write_json(path: Path, value: Any) -> str:
    """Write a JSON file; its SHA-256."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file_sha256(path)
