"""What happens around the steps of a run: events, saving, evaluating, stopping."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from finetuning.checkpoints import Checkpoint, save
from finetuning.continuity import Facts
from finetuning.data import Counted, TrainingData
from finetuning.errors import TrainingError
from finetuning.evaluation import HeldOutLoss
from finetuning.events import Meter, SpoolWriter, now
from finetuning.flops import training_flops
from finetuning.manifest import Manifest
from finetuning.places import Place
from finetuning.stopping import StopWatch
from finetuning.trainer import Batch, Hooks, LlavaTrainer

STATE = "radvlm_state.json"
"""In a checkpoint: what of the session goes on with a resume."""


class Session(Hooks):
    """The hooks of one start of a run."""

    def __init__(
        self,
        manifest: Manifest,
        place: Place,
        *,
        spool: SpoolWriter,
        watch: StopWatch,
        meter: Meter,
        facts: Facts,
        data: TrainingData,
        held_out: HeldOutLoss | None,
        reached: Callable[[int], None],
    ) -> None:
        """`facts` tell where the run stands at the start; `reached` is told each step that is made."""
        self.manifest, self.place, self.spool, self.watch, self.meter = manifest, place, spool, watch, meter
        self.facts, self.data, self.held_out, self.reached = facts, data, held_out, reached
        reached(facts.step)
        self.counted = Counted()
        """Since the run began."""
        self.stopped: str | None = None
        """Why the run was stopped before its end."""

    # --- of a step

    def waiting(self) -> AbstractContextManager[None]:
        """Around waiting for data."""
        return self.meter.waiting()

    def measure(self, trainer: LlavaTrainer, step: list[Batch]) -> Tensor:
        """(5,) float64, this rank's share of: what `Counted` holds, tokens, floating-point operations."""
        dropped = [each for batch in step for each in batch["dropped"]]
        for each in dropped:
            self.spool.append("dropped", pair_id=each.pair_id, reason=each.reason)
        trained = {"tower_trains": trainer.tower_trains, "weights_train": self.manifest.adapter is None}
        tokens, flops = 0, 0.0
        for batch in step:
            lengths = torch.bincount(batch["sample"][batch["sample"] >= 0]).tolist()
            tokens += sum(lengths)
            supervised, tiles = len(batch["targets"].labels), int(batch["tiles"].sum())
            flops += training_flops(trainer.sizes, lengths=lengths, tiles=tiles, supervised=supervised, **trained)
        unreadable = sum(each.unreadable for each in dropped)
        literals = sum(batch["literals"] for batch in step)
        return torch.tensor([unreadable, len(dropped) - unreadable, literals, tokens, flops], dtype=torch.float64)

    def took(self, samples: float, measured: Tensor) -> None:
        """Told, on every rank, the sums over all ranks of a step that is about to be made."""
        *counted, tokens, flops = measured.tolist()
        self.counted = Counted(*(before + int(new) for before, new in zip(self.counted, counted, strict=True)))
        self.data.refuse_dropped(self.counted, self.manifest)
        self.meter.step(tokens=int(tokens), samples=int(samples), flops=flops)

    def after_step(self, trainer: LlavaTrainer) -> None:
        """A step has been made: decide, the same on every rank, what follows it."""
        step = trainer.state.global_step
        consumed = self.facts.consumed_samples + self.manifest.optimization.global_batch
        self.reached(step)
        trainer.state.epoch = epoch = consumed / len(self.data.rows)
        self.facts = replace(self.facts, step=step, consumed_samples=consumed, epoch=epoch)
        control, last = trainer.control, step >= trainer.state.max_steps
        reason = self.watch.requested(step)
        if reason is not None and not last:
            self.stopped = reason
            control.should_training_stop = True
        due, every = self.watch.save_due, self.manifest.checkpoints.every_steps
        control.should_save = bool(last or reason is not None or due or (every and step % every == 0))
        every = self.manifest.evaluation.every_steps
        control.should_evaluate = self.held_out is not None and reason is None and (last or step % every == 0)

    def observe(self, trainer: LlavaTrainer, logs: dict[str, float]) -> None:
        """Write the event of the step; TrainingError where its loss is no number."""
        loss = logs["loss"]
        reading = self.meter.read()
        if self.place.rank == 0:
            self.spool.append(
                "step",
                step=trainer.state.global_step,
                consumed_samples=self.facts.consumed_samples,
                loss=loss,
                learning_rates=trainer.used_rates,
                gradient_norm=logs["grad_norm"],
                literals=self.counted.literals,
                at=now(),
                **reading._asdict(),
            )
        if loss != loss or abs(loss) == float("inf"):
            raise TrainingError(
                f"The loss at step {trainer.state.global_step} is {loss}",
                "Begin a new run, with a lower learning rate or with bfloat16 instead of float16; "
                "`radvlm convert RUN` makes a model of the last checkpoint to begin from.",
            )

    # --- between steps

    def evaluate(self, trainer: LlavaTrainer) -> None:
        """Write the losses of the held-out pairs."""
        assert self.held_out is not None, "after_step asks for an evaluation only where there are held-out pairs"
        losses = self.held_out(trainer)
        if self.place.rank == 0:
            self.spool.append("evaluation", step=trainer.state.global_step, losses=losses, at=now())
        self.meter.restart()

    def save(self, trainer: LlavaTrainer) -> None:
        """Save a checkpoint, with all ranks."""
        begun = time.perf_counter()
        step, folder = trainer.state.global_step, self.manifest.run.folder
        if self.stopped is not None and self.place.rank == 0:
            self.spool.append("stopping", reason=self.stopped, step=step)
        self.spool.sync()

        def write(staging: Path) -> None:
            trainer.write_checkpoint(staging)
            if self.place.rank == 0:
                (staging / STATE).write_text(json.dumps(self.counted._asdict()))

        path = save(
            folder / "checkpoints",
            step,
            write,
            facts=self.facts,
            rank=self.place.rank,
            world=self.place.world,
            barrier=self.place.barrier,
            keep=self.manifest.checkpoints.keep,
            first_of_node=self.place.local_rank == 0,
        )
        self.watch.saved()
        if self.place.rank == 0:
            size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            self.spool.append(
                "checkpoint",
                step=step,
                consumed_samples=self.facts.consumed_samples,
                path=path.relative_to(folder).as_posix(),
                bytes=size,
                seconds=time.perf_counter() - begun,
                at=now(),
            )
        self.meter.restart()

    # --- resuming

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint's numbers."""
        state: dict[str, int] = json.loads((checkpoint.path / STATE).read_text(encoding="utf-8"))
        self.counted = Counted(**state)
