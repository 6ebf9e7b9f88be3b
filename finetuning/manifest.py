"""The manifest: all that a training run is told, one JSON file. `radvlm train` writes it; people may, too.

A manifest is read strictly: an unknown key, a wrong type or a value out of range is an error that names the field.
What is left out has the value of the published recipe.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from finetuning.structure import ManifestError, between, structure

__all__ = ["Manifest", "ManifestError", "manifest_json", "parse_manifest", "read_manifest"]

FORMAT = 1


@dataclass(frozen=True)
class RunPlace:
    """Which run this is, and the folder that is its own."""

    id: int
    """The run's id in the store; 0 for a run that no store knows."""
    folder: Path


@dataclass(frozen=True)
class ModelChoice:
    """The model that training starts from."""

    path: Path
    """A Hugging Face folder of a LlavaOnevisionForConditionalGeneration."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    compile: bool = False
    """torch.compile of each decoder layer."""


@dataclass(frozen=True)
class HeldOut:
    """The slice that the loss is watched on."""

    table: Path | None = None
    per_task: int = between(1, default=64)
    """Pairs of each task at most."""


@dataclass(frozen=True)
class Data:
    """The built dataset."""

    table: Path
    """Its Parquet file."""
    sha256: str
    """Of that file's bytes; a resume on other data is refused."""
    cache: Path
    """Folder for the memory-mapped copy of the table."""
    pairs: int = between(1)
    image_root: Path | None = None
    """What the table's image paths are relative to; None: they are absolute."""
    max_image_side: int | None = between(32, default=None)
    """Shrink images whose longer side has more pixels."""
    max_length: int = between(16, default=16384)
    """Tokens; a pair that is longer is dropped, never cut."""
    unreadable_share: float = between(0.0, 1.0, default=0.001)
    """The run fails when more than this share of its images cannot be read."""
    workers: int = between(0, default=4)
    """Processes per rank that read images; 0: the rank itself."""
    held_out: HeldOut = field(default_factory=HeldOut)


@dataclass(frozen=True)
class Loss:
    """What is supervised, and how it is averaged."""

    mask: Literal["assistant", "llava-next"] = "assistant"
    """assistant: the answers and their end token; llava-next: also every template token that the published trainer
    supervised."""
    norm: Literal["sample", "token"] = "sample"
    """Mean over samples of the mean over their tokens (as published), or over all tokens of the global batch."""


@dataclass(frozen=True)
class Packing:
    """Several samples in one row."""

    tokens: int | None = between(16, default=None)
    """Tokens of a row at most; None: one sample a row."""


@dataclass(frozen=True)
class Optimization:
    """Steps, batches and learning rates."""

    learning_rate: float = between(0.0, default=1e-5)
    """Of the language model and the projector."""
    vision_learning_rate: float = between(0.0, default=2e-6)
    """Of the vision tower; 0 freezes it."""
    warmup: float = between(0.0, 1.0, default=0.03)
    """Share of all steps."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = between(0.0, default=0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    gradient_clipping: float = between(0.0, default=1.0)
    """Norm; 0: none."""
    epochs: float = between(0.0, default=1.0, above=True)
    max_steps: int | None = between(1, default=None)
    """Instead of `epochs`."""
    global_batch: int = between(1, default=256)
    """Samples per optimizer step, over all ranks."""
    micro_batch: int = between(1, default=1)
    """Samples per rank and forward pass."""
    seed: int = between(0, default=0)


@dataclass(frozen=True)
class Parallel:
    """How the ranks share the work."""

    strategy: Literal["ddp", "zero2", "zero3", "zero3-offload"] = "zero2"
    activation_checkpointing: int = between(0, default=1)
    """0: off; n: every n-th layer keeps only its input."""


@dataclass(frozen=True)
class Adapter:
    """LoRA on the language model's linear layers."""

    kind: Literal["lora", "qlora"] = "lora"
    rank: int = between(1, default=64)
    alpha: float = between(0.0, default=128.0, above=True)
    dropout: float = between(0.0, 1.0, default=0.05)
    projector: bool = True
    """Train the projector in full beside it."""


@dataclass(frozen=True)
class Checkpoints:
    """When to save, and how many complete checkpoints to keep."""

    every_steps: int | None = between(1, default=None)
    every_minutes: float | None = between(0.0, default=30.0, above=True)
    keep: int = between(2, default=2)


@dataclass(frozen=True)
class Evaluation:
    """Teacher-forced loss per task on the held-out slice."""

    every_steps: int = between(1, default=500)


@dataclass(frozen=True)
class Resume:
    """What a resume may change besides ranks, workers and save interval."""

    allow_changed: tuple[Literal["data", "global_batch"], ...] = ()


@dataclass(frozen=True)
class Stop:
    """When to stop by itself."""

    margin_s: float = between(0.0, default=300.0)
    """Seconds before the end of the SLURM job."""


@dataclass(frozen=True)
class Manifest:
    """One training run."""

    format: int
    run: RunPlace
    model: ModelChoice
    data: Data
    loss: Loss = field(default_factory=Loss)
    packing: Packing = field(default_factory=Packing)
    optimization: Optimization = field(default_factory=Optimization)
    parallel: Parallel = field(default_factory=Parallel)
    adapter: Adapter | None = None
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    evaluation: Evaluation = field(default_factory=Evaluation)
    resume: Resume = field(default_factory=Resume)
    stop: Stop = field(default_factory=Stop)
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()

    def accumulation(self, world_size: int) -> int:
        """Micro-batches per optimizer step and rank; ManifestError where the global batch does not divide.

        Packs are planned over the whole global batch, which need not divide; there are at most about so many of them.
        """
        optimization = self.optimization
        at_once = optimization.micro_batch * world_size
        if self.packing.tokens is None and optimization.global_batch % at_once:
            raise ManifestError(
                "optimization.global_batch",
                f"{optimization.global_batch} samples cannot be dealt to {world_size} ranks in micro-batches of "
                f"{optimization.micro_batch}: it must be a multiple of {at_once}",
            )
        return -(-optimization.global_batch // at_once)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; ManifestError naming the field and what is wrong with it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestError("", f"the manifest {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ManifestError("", f"the manifest {path} is not JSON: {error}") from error
    return parse_manifest(value)


def parse_manifest(value: Any) -> Manifest:
    """A manifest from parsed JSON; ManifestError naming the field and what is wrong with it."""
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise ManifestError("format", f"is {value.get('format')!r}; this program reads format {FORMAT}")
    manifest = structure(Manifest, value)
    _check_together(manifest)
    return manifest


def manifest_json(manifest: Manifest) -> str:
    """The JSON text that `read_manifest` reads back to an equal manifest."""
    return json.dumps(asdict(manifest), indent=2, default=str) + "\n"


def _check_together(manifest: Manifest) -> None:
    adapter, strategy = manifest.adapter, manifest.parallel.strategy
    if adapter is not None and adapter.kind == "qlora" and strategy.startswith("zero3"):
        raise ManifestError(
            "parallel.strategy", f"{strategy} cannot shard the 4-bit weights of QLoRA; use ddp or zero2"
        )
    if manifest.packing.tokens is not None and manifest.packing.tokens < manifest.data.max_length:
        raise ManifestError(
            "packing.tokens",
            f"{manifest.packing.tokens} is less than data.max_length, {manifest.data.max_length}: "
            "a sample may not fit into a row",
        )
    for name in ("learning_rate", "vision_learning_rate"):
        if getattr(manifest.optimization, name) > 1:
            raise ManifestError(f"optimization.{name}", "is above 1")
    if not all(0 <= beta < 1 for beta in manifest.optimization.betas):
        raise ManifestError("optimization.betas", "each must be from 0 to below 1")
    if manifest.checkpoints.every_steps is None and manifest.checkpoints.every_minutes is None:
        raise ManifestError("checkpoints", "either every_steps or every_minutes must be given")
