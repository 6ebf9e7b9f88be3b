"""The trainer: transformers' loop, with our order of data, our loss, and checkpoints that are complete or absent.

What is overridden, and why:

- the loader gives whole optimizer steps (lists of micro-batches), so that the loss can be averaged over exactly the
  samples or tokens of a global batch, whatever it is cut into;
- weights are restored strictly: the stock trainer saves this model under other names than it loads, and goes on with
  the untrained ones after a warning;
- saving is left to the hooks, which never do it in place.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.deepspeed import deepspeed_load_checkpoint
from transformers.trainer_callback import PrinterCallback

from finetuning import universal
from finetuning.anyres import normalise
from finetuning.flops import sizes_of
from finetuning.losses import Norm, Targets, count, find_targets, shares, weighted_loss
from finetuning.model import VISION, bare, parameter_groups
from finetuning.restoring import check_poison_gone, is_adapted, poison, restore_weights, write_weights

Batch = dict[str, Any]


class Hooks(Protocol):
    """What happens around the steps. Each is called by all ranks, at the same steps."""

    def waiting(self) -> contextlib.AbstractContextManager[None]:
        """Around waiting for data."""

    def measure(self, trainer: LlavaTrainer, step: list[Batch]) -> Tensor:
        """(n,) float64: this rank's share of what is to be summed over all ranks, before a step."""

    def took(self, samples: float, measured: Tensor) -> None:
        """Samples of weight of the step that is to be made, and the sums of `measure`."""

    def after_step(self, trainer: LlavaTrainer) -> None:
        """Set `trainer.control` to evaluate, save or stop."""

    def observe(self, trainer: LlavaTrainer, logs: dict[str, float]) -> None:
        """The step's loss and gradient norm."""

    def evaluate(self, trainer: LlavaTrainer) -> None:
        """As `after_step` asked for."""

    def save(self, trainer: LlavaTrainer) -> None:
        """As `after_step` asked for; with `trainer.write_checkpoint`."""


class LlavaTrainer(Trainer):
    """Trains a LlavaOnevision on the steps that `loader` gives."""

    # The base class says less about these, and they never are None in training.
    model: Any
    optimizer: Any
    deepspeed: Any

    def __init__(
        self,
        model: nn.Module,
        arguments: TrainingArguments,
        loader: Any,
        hooks: Hooks,
        *,
        norm: Norm,
        vision_learning_rate: float,
    ) -> None:
        """`loader` has the length of the whole run and gives the steps that are left, each a list of batches."""
        self.group_names: list[str] = []
        super().__init__(model=model, args=arguments)
        self.remove_callback(PrinterCallback)
        self.add_callback(_StepCallback(self))
        self.loader, self.hooks, self.norm = loader, hooks, norm
        self.vision_learning_rate = vision_learning_rate
        self.sizes = sizes_of(bare(model).config)
        self.tower_trains = any(p.requires_grad for name, p in model.named_parameters() if VISION.search(name))
        self.totals = torch.zeros(2, dtype=torch.float64)
        """Samples and supervised tokens of the global batch in hand."""
        self.used_rates: dict[str, float] = {}
        """The learning rates of the last step."""

    # --- data

    def get_train_dataloader(self) -> Any:
        """Every step of the run that is left."""
        return self.loader

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], None]:
        """The next step, and what its loss is divided by over all ranks."""
        with self.hooks.waiting():
            step = next(epoch_iterator, None)
        if step is None:
            return [], None
        for batch in step:
            batch["targets"] = find_targets(batch["labels"], batch["sample"])
        counts = torch.stack([count(batch["targets"], batch["weights"]) for batch in step]).sum(0)
        sums = self.sum_over_ranks(torch.cat([counts, self.hooks.measure(self, step)]))
        self.totals = sums[:2]
        self.hooks.took(float(sums[0]), sums[2:])
        return [step], None

    def sum_over_ranks(self, values: Tensor) -> Tensor:
        """The sum of each rank's `values` (on the CPU), back on the CPU."""
        if self.args.world_size == 1:
            return values
        there = values.to(self.args.device)
        dist.all_reduce(there)
        return there.cpu()

    # --- one step

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of all micro-batches of a step, a list of batches.

        Returns this rank's part of the global batch's loss, times the number of ranks: their mean is the loss.
        """
        model.train()
        loss = torch.zeros((), device=self.args.device)
        for number, batch in enumerate(inputs):
            last = number == len(inputs) - 1
            self.accelerator.gradient_state._set_sync_gradients(last)
            with self._gathering(model, last):
                part = self.compute_loss(model, batch)
                self.accelerator.backward(part, **({"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}))
            loss += part.detach()
        return loss

    def _gathering(self, model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Gradients meet those of other ranks once a step, with the last micro-batch (ZeRO: as its stage needs)."""
        if self.is_deepspeed_enabled:
            engine: Any = model
            engine.set_gradient_accumulation_boundary(last)
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last else self.accelerator.no_sync(model)

    def compute_loss(self, model: nn.Module, inputs: Batch, *_: Any, **__: Any) -> Any:
        """This micro-batch's part of the global batch's loss, times the ranks, whose gradients will be averaged."""
        targets: Targets = inputs["targets"]
        share = shares(targets, inputs["weights"], self.norm, self.totals)
        return weighted_loss(self.logits(model, inputs, targets), targets, share) * self.args.world_size

    def logits(self, model: nn.Module, inputs: Batch, targets: Targets) -> Tensor:
        """(n, vocabulary): the model's logits at the n targets."""
        return forward(model, inputs, targets.keep, device=self.args.device, dtype=bare(self.model).dtype)

    # --- optimizer

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """AdamW over the parameter groups."""
        if self.optimizer is None:
            groups = parameter_groups(
                (model or self.model).named_parameters(),
                language=self.args.learning_rate,
                vision=self.vision_learning_rate,
                weight_decay=self.args.weight_decay,
            )
            self.group_names = [group.name for group in groups]
            self.optimizer = torch.optim.AdamW(
                [{"params": g.parameters, "lr": g.learning_rate, "weight_decay": g.weight_decay} for g in groups],
                betas=(self.args.adam_beta1, self.args.adam_beta2),
                eps=self.args.adam_epsilon,
                fused=self.args.device.type == "cuda" or None,
            )
        return self.optimizer

    def learning_rates(self) -> dict[str, float]:
        """The rate of each group, by its name."""
        pairs = zip(self.group_names, self.optimizer.param_groups, strict=True)
        return {name: float(group["lr"]) for name, group in pairs}

    # --- between steps

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the hooks of a step, then the trackers that were asked for."""
        if "grad_norm" in logs:
            self.hooks.observe(self, logs)
        super().log(logs, start_time)

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        self.hooks.evaluate(self)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, {})
        return {}

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.hooks.save(self)

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: see flops.py."""
        return 0

    # --- checkpoints

    def write_checkpoint(self, folder: Path) -> None:
        """Write this rank's share of all that a resume needs into `folder`; called by all ranks."""
        write_weights(self, folder)
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        if self.args.should_save:
            self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        restore_weights(model or self.model, Path(resume_from_checkpoint))

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        by_deepspeed = resume_from_checkpoint is not None and self.is_deepspeed_enabled
        above: Any = super()
        prepared = above._prepare_for_training(
            max_steps, train_dataloader, None if by_deepspeed else resume_from_checkpoint
        )
        if by_deepspeed:
            poison(self.model)
            # With an adapter the frozen weights are not in the checkpoint, so it cannot be strict by itself.
            load: Any = deepspeed_load_checkpoint
            load(self.deepspeed, resume_from_checkpoint, load_module_strict=not is_adapted(self.model))
            check_poison_gone(self.model, Path(resume_from_checkpoint))
            if self.deepspeed.load_universal_checkpoint():
                universal.restore_groups(self.deepspeed.optimizer, Path(resume_from_checkpoint))
            self._load_optimizer_and_scheduler(resume_from_checkpoint)
        self._seed()
        return prepared

    def _save_rng_state(self, output_dir: str) -> None:
        """torch's numbers alone, since nothing in training draws from others; and of this rank's GPU alone."""
        state = {"world": self.args.world_size, "cpu": torch.get_rng_state()}
        if self.args.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.args.device)
        torch.save(state, self._rng_file(output_dir))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """As it was saved; where another number of ranks saved it, from the seed and the step."""
        file = self._rng_file(checkpoint) if checkpoint is not None else None
        state: dict[str, Any] = {"world": 0}
        if file is not None and file.exists():
            state = torch.load(file, map_location="cpu", weights_only=True)
        if state["world"] != self.args.world_size:
            self._seed()
            return
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and self.args.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.args.device)

    def _rng_file(self, folder: str) -> Path:
        return Path(folder) / f"random_{self.args.process_index}.pt"

    def _seed(self) -> None:
        """Random numbers of this rank's own: equal ones would drop out the same units on every rank."""
        key = f"{self.args.seed}/{self.state.global_step}/{self.args.process_index}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:7]))


class _StepCallback(TrainerCallback):
    """Passes the two moments that the trainer has no method for on to it."""

    def __init__(self, trainer: LlavaTrainer) -> None:
        self._trainer = trainer

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """The rates are read before the scheduler moves them."""
        self._trainer.used_rates = self._trainer.learning_rates()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Comes after the trainer's own callbacks, whose wishes it may overrule."""
        self._trainer.hooks.after_step(self._trainer)


def forward(model: nn.Module, inputs: Batch, keep: Tensor, *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(n, vocabulary): logits at the n positions where `keep` (rows, length) is true.

    No attention mask is ever given. Rows are padded on the right, where causal attention does not look; in packed rows
    `position_ids` that start anew keep the samples apart, which transformers does only without mask and cache.
    """
    pixels, positions = inputs["pixels"], inputs.get("position_ids")
    if pixels.stride(1) == 0:
        # Grey: three times the same channel, sent to the device once.
        pixels = pixels[:, :1]
    output = model(
        input_ids=inputs["input_ids"].to(device, non_blocking=True),
        pixel_values=normalise(pixels.to(device, non_blocking=True), dtype).expand(-1, 3, -1, -1),
        # A list, since each size is read on the CPU.
        image_sizes=inputs["image_sizes"].tolist(),
        position_ids=None if positions is None else positions.to(device, non_blocking=True),
        logits_to_keep=keep.to(device, non_blocking=True),
        use_cache=False,
    )
    logits: Tensor = output.logits
    return logits
