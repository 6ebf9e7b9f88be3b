"""The options of `radvlm train`, and which setting of the manifest each stands for."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from radvlm_cli.commands.options import Attention, option

WHERE, RUN, RECIPE = "On what", "Runs", "Instead of the recipe's"
MEMORY, SAVE = "Memory and speed", "Saving and watching"


class Strategy(StrEnum):
    """How the ranks share weights, gradients and optimizer."""

    ddp = "ddp"
    zero2 = "zero2"
    zero3 = "zero3"
    zero3_offload = "zero3-offload"


class Adapter(StrEnum):
    """What trains besides, or instead of, all weights."""

    none = "none"
    lora = "lora"
    qlora = "qlora"


class Mask(StrEnum):
    """What is supervised."""

    assistant = "assistant"
    llava_next = "llava-next"


class Norm(StrEnum):
    """What the loss is a mean of."""

    sample = "sample"
    token = "token"


class Tracker(StrEnum):
    """Where else to report to."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    trackio = "trackio"


class Change(StrEnum):
    """What a resume may change."""

    data = "data"
    global_batch = "global-batch"


_option = partial(option, panel=RECIPE)

Gpus = Annotated[
    int | None,
    _option("--gpus", help="GPUs (per node); 0: the CPU. All that are there unless given.", panel=WHERE, min=0),
]
Processes = Annotated[int | None, _option("--processes", help="Ranks on the CPU, with --gpus 0.", panel=WHERE, min=1)]
Dataset = Annotated[
    Path | None, _option("--dataset", help="Folder that build wrote, or its .parquet file.", panel=WHERE)
]
Model = Annotated[
    Path | None, _option("--model", help="Hugging Face folder to start from, as convert writes it.", panel=WHERE)
]
RecipeName = Annotated[
    str | None,
    _option(
        "--recipe", help="radvlm-7b (the default), radvlm-7b-lora, radvlm-0.5b, tiny, or a YAML file.", panel=WHERE
    ),
]
HeldOut = Annotated[Path | None, _option("--held-out", help="Dataset whose loss is watched, per task.", panel=WHERE)]
ImageRoot = Annotated[
    Path | None, _option("--image-root", help="What relative image paths are relative to.", panel=WHERE)
]
Output = Annotated[
    Path | None, _option("--output", help="Folder of the runs' folders; runs beside the store.", panel=WHERE)
]

RunNumber = Annotated[
    int | None, _option("--run", help="With --resume: which run, instead of the last unfinished one.", panel=RUN)
]
Follow = Annotated[
    int | None, _option("--follow", help="Watch a run that SLURM trains, and take in what it tells.", panel=RUN)
]
Stop = Annotated[
    str | None, _option("--stop", help="Have a run, by number or folder, save a checkpoint and end.", panel=RUN)
]
ListRuns = Annotated[bool, _option("--list", help="Where each training run stands.", panel=RUN)]
AllowChanged = Annotated[
    list[Change] | None, _option("--allow-changed", help="With --resume: what may differ.", panel=RUN)
]
Preflight = Annotated[
    bool, _option("--preflight", help="Three steps on real data, in a folder that is removed again.", panel=RUN)
]

LearningRate = Annotated[float | None, _option("--learning-rate", help="Of language model and projector.")]
VisionRate = Annotated[float | None, _option("--vision-learning-rate", help="Of the vision tower; 0 freezes it.")]
GlobalBatch = Annotated[int | None, _option("--global-batch", help="Pairs per optimizer step, over all GPUs.")]
Epochs = Annotated[float | None, _option("--epochs", help="Passes over the dataset.")]
MaxSteps = Annotated[int | None, _option("--max-steps", help="Optimizer steps, instead of --epochs.")]
Seed = Annotated[int | None, _option("--seed", help="Of order and dropout.")]
AdapterKind = Annotated[
    Adapter | None, _option("--adapter", help="Train an adapter: lora or qlora; none: all weights.")
]
LabelMask = Annotated[
    Mask | None, _option("--label-mask", help="assistant: answers and their end; llava-next: as published.")
]
LossNorm = Annotated[Norm | None, _option("--loss-norm", help="Mean over samples (as published) or over tokens.")]
MaxLength = Annotated[int | None, _option("--max-length", help="Tokens; longer pairs are left out and counted.")]
Settings = Annotated[
    list[str] | None,
    _option("--set", help="NAME=VALUE: any setting of the recipe, e.g. optimization.warmup=0.1. May be repeated."),
]

StrategyName = Annotated[Strategy | None, _option("--strategy", help="How GPUs share the model's state.", panel=MEMORY)]
MicroBatch = Annotated[int | None, _option("--micro-batch", help="Pairs per GPU at once.", panel=MEMORY)]
MaxImageSide = Annotated[int | None, _option("--max-image-side", help="Shrink images to so many pixels.", panel=MEMORY)]
PackingTokens = Annotated[
    int | None, _option("--packing", help="Several pairs in a row of so many tokens.", panel=MEMORY)
]
AttentionName = Annotated[Attention | None, _option("--attn", help="Attention kernel.", panel=MEMORY)]
Compile = Annotated[
    bool | None, _option("--compile/--no-compile", help="torch.compile of the decoder layers.", panel=MEMORY)
]
Workers = Annotated[int | None, _option("--workers", help="Processes per GPU that read images.", panel=MEMORY)]

SaveMinutes = Annotated[float | None, _option("--save-minutes", help="Minutes between checkpoints.", panel=SAVE)]
SaveSteps = Annotated[
    int | None, _option("--save-steps", help="Steps between checkpoints, instead of minutes.", panel=SAVE)
]
EvaluateSteps = Annotated[
    int | None, _option("--evaluate-steps", help="Steps between looks at the held-out loss.", panel=SAVE)
]
ReportTo = Annotated[
    list[Tracker] | None, _option("--report-to", help="Besides the store. May be repeated.", panel=SAVE)
]


def overrides(given: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted name from the options that were given."""
    names = {
        "learning_rate": "optimization.learning_rate",
        "vision_learning_rate": "optimization.vision_learning_rate",
        "global_batch": "optimization.global_batch",
        "micro_batch": "optimization.micro_batch",
        "epochs": "optimization.epochs",
        "max_steps": "optimization.max_steps",
        "seed": "optimization.seed",
        "strategy": "parallel.strategy",
        "label_mask": "loss.mask",
        "loss_norm": "loss.norm",
        "max_length": "data.max_length",
        "max_image_side": "data.max_image_side",
        "workers": "data.workers",
        "packing": "packing.tokens",
        "attn": "model.attention",
        "compile": "model.compile",
        "save_minutes": "checkpoints.every_minutes",
        "save_steps": "checkpoints.every_steps",
        "evaluate_steps": "evaluation.every_steps",
    }
    found = {names[option]: _plain(value) for option, value in given.items() if option in names and value is not None}
    if given.get("epochs") is not None and given.get("max_steps") is None:
        found["optimization.max_steps"] = None
    if given.get("save_steps") is not None and given.get("save_minutes") is None:
        found["checkpoints.every_minutes"] = None
    if given.get("adapter") is Adapter.none:
        found["adapter"] = None
    elif given.get("adapter") is not None:
        found["adapter.kind"] = given["adapter"].value
    if given.get("report_to"):
        found["report_to"] = sorted({each.value for each in given["report_to"]})
    return found


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value
