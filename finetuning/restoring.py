"""Weights into a checkpoint and back, strictly: what trains is either restored or an error names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from finetuning.errors import CheckpointError
from finetuning.model import bare

ADAPTER = "adapter_model.safetensors"


def save_weights(model: nn.Module, folder: Path, *, weights: dict[str, Tensor] | None = None) -> None:
    """Write weights (or an adapter) and configuration under the names that the model's own parameters have.

    transformers would rather write the names of the published checkpoints, which its trainer cannot read back.
    `weights`: instead of the model's own, where they had to be gathered.
    """
    peft: dict[str, Any] = {"save_embedding_layers": False} if is_adapted(model) else {"save_original_format": False}
    saver: Any = model
    saver.save_pretrained(folder, state_dict=weights, **peft)


def write_weights(trainer: Any, folder: Path) -> None:
    """A checkpoint's weights beside its optimizer; called by all ranks.

    DeepSpeed's shards hold whole models; of an adapter they would not tell what it belongs to, so it is written, too.
    """
    if trainer.is_deepspeed_enabled and not is_adapted(trainer.model):
        return
    weights = gathered_weights(trainer)
    if trainer.args.should_save:
        save_weights(trainer.model, folder, weights=weights)


def gathered_weights(trainer: Any) -> dict[str, Tensor] | None:
    """The 16-bit weights (with an adapter: its own) where ZeRO-3 has them in shards, else None.

    Called by all ranks; only rank 0 gets them.
    """
    if not trainer.is_deepspeed_enabled:
        return None
    engine = trainer.deepspeed
    if not engine.zero_optimization_partition_weights():
        return None
    gathered: dict[str, Tensor] | None = engine._zero3_consolidated_16bit_state_dict(
        exclude_frozen_parameters=is_adapted(trainer.model)
    )
    return gathered


def is_adapted(model: nn.Module) -> bool:
    """Whether `model` is a PEFT wrapper."""
    return hasattr(model, "peft_config")


def restore_weights(model: nn.Module, folder: Path) -> None:
    """Load what `save_weights` wrote; CheckpointError naming keys that are missing or too many."""
    if is_adapted(model):
        _restore_adapter(model, folder)
        return
    files = sorted(folder.glob("model*.safetensors"))
    wanted = model.state_dict()
    found: set[str] = set()
    for file in files:
        with safe_open(file, framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 - not a dict
                found.add(key)
                if key in wanted:
                    _copy(wanted[key], stream.get_tensor(key), key, folder)
    tied = getattr(bare(model), "all_tied_weights_keys", None) or {}
    _compare(set(wanted) - set(tied), found - set(tied), folder)


def _restore_adapter(model: nn.Module, folder: Path) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    if not (folder / ADAPTER).is_file():
        raise CheckpointError(f"{folder} holds no {ADAPTER}", "It is not a checkpoint of a LoRA run.")
    loaded = load_file(folder / ADAPTER)
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    _compare(set(wanted), set(loaded), folder)
    for key, tensor in wanted.items():
        _check_shape(tensor, loaded[key], key, folder)
    set_peft_model_state_dict(model, loaded)


def _copy(target: Tensor, source: Tensor, key: str, folder: Path) -> None:
    _check_shape(target, source, key, folder)
    with torch.no_grad():
        target.copy_(source)


def _check_shape(target: Tensor, source: Tensor, key: str, folder: Path) -> None:
    if target.shape != source.shape:
        raise CheckpointError(
            f"{key} in {folder} has shape {tuple(source.shape)}, the model {tuple(target.shape)}",
            "The checkpoint is not of this model; start a new run.",
        )


def _compare(wanted: set[str], found: set[str], folder: Path) -> None:
    lost, extra = sorted(wanted - found), sorted(found - wanted)
    if lost or extra:
        raise CheckpointError(
            f"The weights in {folder} do not fit the model: {len(lost)} missing ({', '.join(lost[:5])}), "
            f"{len(extra)} unexpected ({', '.join(extra[:5])})",
            "The checkpoint is not of this model; start a new run.",
        )


def trainable_storage(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What this rank holds of each parameter that trains: under ZeRO-3 its shard."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, getattr(parameter, "ds_tensor", parameter).data


def poison(model: nn.Module) -> None:
    """Set all that trains to NaN before DeepSpeed loads a checkpoint.

    With an adapter it cannot be told to load strictly (the frozen weights are not in the checkpoint), and a parameter
    that it passes over would silently stay as it was made.
    """
    with torch.no_grad():
        for _, storage in trainable_storage(model):
            storage.fill_(float("nan"))


def check_poison_gone(model: nn.Module, folder: Path) -> None:
    """Raise CheckpointError naming what loading a checkpoint into a poisoned model has left out."""
    left = [name for name, storage in trainable_storage(model) if storage.isnan().any()]
    if left:
        raise CheckpointError(
            f"{folder} did not restore {len(left)} parameters: {', '.join(left[:5])}",
            "The checkpoint is not of this model; start a new run.",
        )
