"""One start of a run: from what lies on the disk to the last step, or to a stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
import transformers

from finetuning import checkpoints, universal
from finetuning.arguments import training_arguments
from finetuning.checkpoints import Checkpoint
from finetuning.continuity import Facts, model_fingerprint, package_versions, refuse_changes, settings_of
from finetuning.data import Counted, TrainingData, held_out_loss, open_data, plan_steps
from finetuning.errors import TrainingError
from finetuning.events import Meter, SpoolWriter, now, peak_flops
from finetuning.export import export
from finetuning.manifest import Manifest
from finetuning.model import load_model, parameter_counts
from finetuning.places import Place
from finetuning.session import Session
from finetuning.stopping import StopWatch
from finetuning.trainer import LlavaTrainer

Note = Callable[[str], None]


def train(
    manifest: Manifest, place: Place, spool: SpoolWriter, *, note: Note, reached: Callable[[int], None]
) -> str | None:
    """Train to the end, or to a stop; returns why it was stopped, or None. Raises TrainingError.

    `note` takes lines for the log; `reached` is told each step that is made.
    """
    manifest.accumulation(place.world)
    place.join(deepspeed=manifest.parallel.strategy != "ddp")
    checkpoint = _checkpoint(manifest, place, note)
    every_minutes = manifest.checkpoints.every_minutes
    watch = StopWatch(
        manifest.run.folder,
        rank=place.rank,
        agree=place.agree,
        margin_s=manifest.stop.margin_s,
        save_every_s=every_minutes * 60 if every_minutes is not None else None,
    )
    with watch:
        return _train(manifest, place, spool, watch, checkpoint, note, reached)


def _checkpoint(manifest: Manifest, place: Place, note: Note) -> Checkpoint | None:
    """The checkpoint to go on from, the same on every rank."""
    folder = manifest.run.folder / "checkpoints"
    if place.rank == 0:
        checkpoints.clean_staging(folder)
    place.barrier()
    found = checkpoints.newest(folder, note)
    step = found.facts.step if found else -1
    # Not all ranks may see the same on a network file system; going on from two steps would be silent nonsense.
    if place.agree(step) != step:
        raise TrainingError(f"Not every rank sees the same checkpoints in {folder}")
    return found


def _train(
    manifest: Manifest,
    place: Place,
    spool: SpoolWriter,
    watch: StopWatch,
    checkpoint: Checkpoint | None,
    note: Note,
    reached: Callable[[int], None],
) -> str | None:
    data, facts = _data_and_facts(manifest, place, spool, checkpoint, note)
    steps = plan_steps(manifest, place, data, consumed_samples=facts.consumed_samples, done=facts.step)
    resharded = checkpoint is not None and universal.needed(checkpoint, manifest.parallel.strategy, place.world)
    if checkpoint is not None and resharded:
        universal.prepare(checkpoint, rank=place.rank, barrier=place.barrier, note=note)
    # Alive until the end: transformers loads the model in shards while these arguments of ZeRO-3 live.
    arguments = training_arguments(manifest, place, steps=len(steps), universal=resharded)
    library: Any = transformers
    library.utils.logging.disable_progress_bar()
    transformers.set_seed(manifest.optimization.seed)
    model = load_model(manifest)
    session = Session(
        manifest,
        place,
        spool=spool,
        watch=watch,
        meter=Meter(place.world, _peak(manifest, place)),
        facts=facts,
        data=data,
        held_out=held_out_loss(manifest),
        reached=reached,
    )
    if checkpoint is not None:
        session.restore(checkpoint)
    trainer = LlavaTrainer(
        model,
        arguments,
        steps,
        session,
        norm=manifest.loss.norm,
        vision_learning_rate=manifest.optimization.vision_learning_rate,
    )
    _check_strategy(trainer, manifest)
    if place.rank == 0:
        _tell_start(spool, facts, trainer, place, checkpoint)
    session.meter.restart()
    trainer.train(resume_from_checkpoint=str(checkpoint.path) if checkpoint else None)
    if session.stopped is None:
        export(trainer, manifest, place)
    return session.stopped


def _data_and_facts(
    manifest: Manifest, place: Place, spool: SpoolWriter, checkpoint: Checkpoint | None, note: Note
) -> tuple[TrainingData, Facts]:
    """What is trained on, and where the run stands; TrainingError where that cannot be, or must not be gone on with."""
    data = open_data(manifest, note)
    facts = _facts(manifest, place, checkpoint)
    if checkpoint is not None:
        for remark in refuse_changes(checkpoint.facts, facts, manifest.resume.allow_changed):
            note(remark)
    if place.rank == 0 and (checkpoint is None or checkpoint.facts.data_sha256 != facts.data_sha256):
        data.tell_dropped(spool)
    data.refuse_dropped(Counted(), manifest)
    return data, facts


def _check_strategy(trainer: LlavaTrainer, manifest: Manifest) -> None:
    """TrainingError where accelerate took another strategy than the manifest's, which variables can make it do."""
    if trainer.is_deepspeed_enabled != (manifest.parallel.strategy != "ddp"):
        found = {name for name in os.environ if name.startswith("ACCELERATE_")} - {"ACCELERATE_USE_DEEPSPEED"}
        variables = ", ".join(sorted(found))
        raise TrainingError(
            f"The strategy {manifest.parallel.strategy} is not in force: accelerate was told otherwise ({variables})",
            f"unset {variables.replace(',', '')}" if variables else None,
        )


def _facts(manifest: Manifest, place: Place, checkpoint: Checkpoint | None) -> Facts:
    """Where the run stands, and what it is made of now."""
    optimization, was = manifest.optimization, checkpoint.facts if checkpoint else None
    adapter = asdict(manifest.adapter) if manifest.adapter else None
    return Facts(
        step=was.step if was else 0,
        consumed_samples=was.consumed_samples if was else 0,
        epoch=was.epoch if was else 0.0,
        world_size=place.world,
        micro_batch=optimization.micro_batch,
        accumulation=manifest.accumulation(place.world),
        global_batch=optimization.global_batch,
        seed=optimization.seed,
        data_sha256=manifest.data.sha256,
        model=model_fingerprint(manifest.model.path, adapter),
        strategy=manifest.parallel.strategy,
        settings=settings_of(manifest),
        versions=package_versions(),
    )


def _peak(manifest: Manifest, place: Place) -> float | None:
    if place.device.type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(place.device), manifest.model.dtype)


def _tell_start(
    spool: SpoolWriter, facts: Facts, trainer: LlavaTrainer, place: Place, checkpoint: Checkpoint | None
) -> None:
    parameters, trainable = parameter_counts(trainer.model)
    gpu = place.device.type == "cuda"
    spool.append(
        "started",
        world_size=place.world,
        accumulation=facts.accumulation,
        steps=trainer.args.max_steps,
        parameters=parameters,
        trainable=trainable,
        device=torch.cuda.get_device_name(place.device) if gpu else "cpu",
        resumed_from=facts.step if checkpoint else None,
        at=now(),
    )
