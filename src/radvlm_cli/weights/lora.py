"""Adapters merged into their base, one tensor at a time: W + (alpha / rank) B A, in float32, in the base's type.

Two forms: PEFT's (adapter_config.json, adapter_model), and LLaVA-NeXT's, which adds non_lora_trainables.bin with the
projector and whatever else was trained in full. Names go through the same rules as those of whole weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.weights.checkpoints import Checkpoint, open_weights, read_file
from radvlm_cli.weights.configs import read_json
from radvlm_cli.weights.rules import find_layout, raise_faults, rename
from radvlm_cli.weights.tensors import ITEM_BYTES, Computed, Tensor, cast, in_memory

if TYPE_CHECKING:
    import torch

ADAPTER_CONFIG = "adapter_config.json"
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_REST = "non_lora_trainables.bin"
_PREFIX = re.compile(r"^base_model\.model\.")
_PAIR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_INNER = re.compile(r"\.(?:base_layer|modules_to_save\.default|original_module)(?=\.)")
_UNMERGEABLE = {
    "use_dora": "DoRA",
    "fan_in_fan_out": "weights stored the other way round",
    "use_qalora": "QALoRA",
    "layer_replication": "replicated layers",
}


class Pair(NamedTuple):
    """The two factors of one weight's change."""

    a: Tensor
    """(rank, columns)"""
    b: Tensor
    """(rows, rank)"""
    scale: float


def base_of(folder: Path) -> Path | None:
    """The base that an adapter names, if it lies on this machine."""
    named = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return Path(named) if isinstance(named, str) and named and Path(named).is_dir() else None


def open_adapter(folder: Path, base_path: Path) -> Checkpoint:
    """The base with the adapter in `folder` merged in. DataError for an adapter that this is not true of."""
    config = read_json(folder / ADAPTER_CONFIG)
    _check_kind(config, folder)
    base = open_weights(base_path)
    pairs, whole = _read(folder, config)
    layout = find_layout([f"{name}.weight" for name in pairs] + list(whole), str(folder))
    changed = rename([f"{name}.weight" for name in pairs], layout, str(folder))
    replaced = rename(whole, layout, str(folder))
    tensors, sources = dict(base.tensors), dict(base.sources)
    usual = _usual_type(base.tensors)
    for hub, name in replaced.items():
        tensors[hub] = cast(whole[name], base.tensors[hub].dtype if hub in base.tensors else usual)
        sources[hub] = f"{name} of the adapter"
    lacking = [hub for hub in changed if hub not in tensors]
    raise_faults(str(folder), {f"that the adapter changes and {base_path} does not have": lacking})
    wrong: list[str] = []
    for hub, name in changed.items():
        pair, weight = pairs[name.removesuffix(".weight")], tensors[hub]
        if (pair.b.shape[0], pair.a.shape[1]) != tuple(weight.shape) or pair.b.shape[1] != pair.a.shape[0]:
            wrong.append(f"{name}: {list(pair.b.shape)} x {list(pair.a.shape)} for {list(weight.shape)}")
            continue
        tensors[hub] = Computed(_merge(weight, pair), weight.dtype, tuple(weight.shape))
        sources[hub] = f"{sources[hub]} with the adapter's change"
    raise_faults(str(folder), {"whose change has the wrong shape": wrong})
    kind = f"adapter on {base_path} ({len(changed)} weights changed, {len(replaced)} replaced)"
    return Checkpoint(folder, kind, tensors, sources, layout.name, {})


def _check_kind(config: Mapping[str, Any], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise DataError(f"{folder}: an adapter of type {config.get('peft_type')!r} cannot be merged, only LORA.")
    for name, what in _UNMERGEABLE.items():
        if config.get(name):
            raise DataError(f"{folder}: {what} ({name}) cannot be merged here.", "Merge it with PEFT, then convert")


def _read(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, Pair], dict[str, Tensor]]:
    """Pairs by module name, and the tensors that replace those of the base."""
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        raise DataError(f"{folder} has {ADAPTER_CONFIG}, but neither {' nor '.join(_FILES)}.")
    named = dict(read_file(path))
    if (folder / _REST).is_file():
        named |= read_file(folder / _REST)
    odd = [f"{name} is {tensor.dtype}" for name, tensor in named.items() if tensor.dtype not in ITEM_BYTES]
    raise_faults(str(folder), {"of a type that is none of float32, bfloat16, float16": odd})
    halves: dict[str, dict[str, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    unknown: list[str] = []
    for given, tensor in named.items():
        name = _INNER.sub("", _PREFIX.sub("", given))
        if match := _PAIR.fullmatch(name):
            halves.setdefault(match[1], {})[match[2]] = tensor
        elif "lora_" in name:
            unknown.append(given)
        else:
            whole[name] = tensor
    single = [name for name, half in halves.items() if len(half) != 2]
    raise_faults(str(folder), {"of a kind that cannot be merged": unknown, "with one factor of two": single})
    pairs = {
        name: Pair(half["A"], half["B"], _scale(name, half["A"].shape[0], config)) for name, half in halves.items()
    }
    return pairs, whole


def _scale(module: str, rank: int, config: Mapping[str, Any]) -> float:
    alpha = config.get("lora_alpha", 8)
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module):
            alpha = value
            break
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _merge(weight: Tensor, pair: Pair) -> Callable[[], torch.Tensor]:
    def merged() -> torch.Tensor:
        change = in_memory(pair.b).float() @ in_memory(pair.a).float()
        return in_memory(weight).float() + pair.scale * change

    return merged


def _usual_type(tensors: Mapping[str, Tensor]) -> str:
    types = [tensor.dtype for tensor in tensors.values()]
    return max(set(types), key=types.count)
