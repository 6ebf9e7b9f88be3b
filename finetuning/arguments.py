"""The manifest in the words of transformers' TrainingArguments and of DeepSpeed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from finetuning.manifest import Manifest
from finetuning.places import TIMEOUT, Place

DEEPSPEED = Path(__file__).parent / "deepspeed"

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def training_arguments(manifest: Manifest, place: Place, *, steps: int, universal: bool = False) -> TrainingArguments:
    """Arguments of a run of `steps` optimizer steps in all.

    While these live, transformers knows of ZeRO-3 and loads models in shards. `universal`: the checkpoint to go on from
    is one that was converted for another number of ranks.
    """
    optimization, every = manifest.optimization, manifest.parallel.activation_checkpointing
    return TrainingArguments(
        output_dir=str(manifest.run.folder),
        seed=optimization.seed,
        max_steps=steps,
        per_device_train_batch_size=1 if manifest.packing.tokens else optimization.micro_batch,
        # The loader gives whole steps; see trainer.py.
        gradient_accumulation_steps=1,
        learning_rate=optimization.learning_rate,
        lr_scheduler_type=_SCHEDULES[optimization.schedule],
        warmup_steps=math.ceil(optimization.warmup * steps),
        weight_decay=optimization.weight_decay,
        adam_beta1=optimization.betas[0],
        adam_beta2=optimization.betas[1],
        max_grad_norm=optimization.gradient_clipping,
        bf16=manifest.model.dtype == "bfloat16",
        fp16=manifest.model.dtype == "float16",
        activation_checkpointing=every > 0,
        activation_checkpointing_kwargs={"use_reentrant": False, "every_n_layers": every} if every else None,
        deepspeed=deepspeed_config(manifest, universal=universal),
        use_cpu=place.device.type == "cpu",
        ddp_backend=place.backend if place.world > 1 else None,
        ddp_timeout=int(TIMEOUT.total_seconds()),
        ddp_find_unused_parameters=False,
        # A NaN is to be seen, not replaced by the mean of the losses before it.
        logging_nan_inf_filter=False,
        logging_steps=1,
        save_strategy="no",
        eval_strategy="no",
        ignore_data_skip=True,
        disable_tqdm=True,
        report_to=list(manifest.report_to) or "none",
    )


def deepspeed_config(manifest: Manifest, *, universal: bool = False) -> dict[str, Any] | None:
    """The DeepSpeed configuration of the strategy; None for plain DDP."""
    strategy = manifest.parallel.strategy
    if strategy == "ddp":
        return None
    config: dict[str, Any] = json.loads((DEEPSPEED / f"{strategy}.json").read_text(encoding="utf-8"))
    if universal:
        config["checkpoint"] = {**config.get("checkpoint", {}), "load_universal": True}
    return config
