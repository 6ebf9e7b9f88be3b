"""The trained model as a folder of its own, RUN/final: complete or absent, like a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import Tensor

from finetuning.checkpoints import sync_tree
from finetuning.manifest import Manifest
from finetuning.model import DTYPES
from finetuning.places import Place
from finetuning.restoring import gathered_weights, is_adapted, save_weights
from finetuning.space import given_up_on_error
from finetuning.trainer import LlavaTrainer

COMPANIONS = (
    "tokenizer*.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*processor_config.json",
    "generation_config.json",
    "chat_template.*",
)
"""What lies beside the weights and training does not change."""


def export(trainer: LlavaTrainer, manifest: Manifest, place: Place) -> Path:
    """Write the weights (with an adapter: the adapter alone) under their native names; called by all ranks.

    CheckpointError where the disk is full: the checkpoint of the last step stands, and a resume makes only this folder.
    """
    folder = manifest.run.folder
    target, staging, replaced = folder / "final", folder / ".staging-final", folder / ".replaced-final"
    weights = gathered_weights(trainer)
    if place.rank == 0:
        for stale in (staging, replaced):
            shutil.rmtree(stale, ignore_errors=True)
        with given_up_on_error(staging, folder / ".given-up-final", None):
            staging.mkdir(parents=True)
            _write(trainer, manifest, weights, staging)
            sync_tree(staging)
        if target.exists():
            target.rename(replaced)
        staging.rename(target)
        sync_tree(folder, below=False)
        shutil.rmtree(replaced, ignore_errors=True)
    place.barrier()
    return target


def _write(trainer: LlavaTrainer, manifest: Manifest, weights: dict[str, Tensor] | None, folder: Path) -> None:
    """Rank 0's part: weights in the type that the model computes in, and what lies beside them."""
    dtype = DTYPES[manifest.model.dtype]
    if not is_adapted(trainer.model):
        weights = {name: tensor.to(dtype) for name, tensor in (weights or trainer.model.state_dict()).items()}
        trainer.model.config.dtype = dtype
    save_weights(trainer.model, folder, weights=weights)
    for pattern in COMPANIONS:
        for file in manifest.model.path.glob(pattern):
            shutil.copy2(file, folder / file.name)
