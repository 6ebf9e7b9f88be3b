"""A rank that trains a few linear layers with DeepSpeed, to try checkpoints of real shards on any number of ranks.

    torchrun ... zero_worker.py FOLDER STAGE FIRST_STEP LAST_STEP [universal]

Prints one line a step: `step 3 1.2345`. Saves after the last step; a first step above 1 resumes, with `universal`
through the universal form also where the number of ranks is the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist

from finetuning import universal
from finetuning.checkpoints import Facts, clean_staging, newest, save
from finetuning.stopping import die_with_parent

GLOBAL_BATCH, WIDTH = 4, 12


class Net(torch.nn.Module):
    """Two learning-rate groups, and a frozen part as the vision tower has one."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = torch.nn.Linear(WIDTH, WIDTH)
        self.frozen = torch.nn.LayerNorm(WIDTH)
        self.head = torch.nn.Linear(WIDTH, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.frozen(self.tower(inputs))))


def _engine(stage: int, resharded: bool) -> Any:
    torch.manual_seed(0)
    net = Net()
    net.frozen.requires_grad_(False)
    groups = [{"params": [*net.tower.parameters()], "lr": 0.01}, {"params": [*net.head.parameters()], "lr": 0.05}]
    config = {
        "train_micro_batch_size_per_gpu": GLOBAL_BATCH // dist.get_world_size(),
        "gradient_accumulation_steps": 1,
        "bf16": {"enabled": True},
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "checkpoint": {"load_universal": resharded},
    }
    return deepspeed.initialize(model=net, optimizer=torch.optim.AdamW(groups), config=config)[0]


def _step(engine: Any, step: int) -> float:
    numbers = torch.Generator().manual_seed(step)
    inputs = torch.randn(GLOBAL_BATCH, WIDTH, generator=numbers).bfloat16()
    targets = torch.randint(3, (GLOBAL_BATCH,), generator=numbers)
    rank, world = dist.get_rank(), dist.get_world_size()
    loss = torch.nn.functional.cross_entropy(engine(inputs[rank::world]).float(), targets[rank::world])
    engine.backward(loss)
    engine.step()
    shown = loss.detach().clone()
    dist.all_reduce(shown)
    return float(shown / world)


def main() -> None:
    die_with_parent()
    folder, (stage, first, last) = Path(sys.argv[1]), map(int, sys.argv[2:5])
    always = sys.argv[5:] == ["universal"]
    deepspeed.init_distributed("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if rank == 0:
        clean_staging(folder)
    dist.barrier()
    checkpoint = newest(folder) if first > 1 else None
    strategy = f"zero{stage}"
    resharded = checkpoint is not None and (always or universal.needed(checkpoint, strategy, world))
    engine = _engine(stage, resharded)
    if checkpoint is not None:
        if resharded:
            universal.prepare(checkpoint, rank=rank, barrier=dist.barrier, workers=1, note=lambda _line: None)
        engine.load_checkpoint(str(checkpoint.path))
        if resharded:
            universal.restore_groups(engine.optimizer, checkpoint.path)
    for step in range(first, last + 1):
        loss = _step(engine, step)
        if rank == 0:
            print("step", step, repr(loss), flush=True)
    facts = Facts(last, last * GLOBAL_BATCH, 0.0, world, GLOBAL_BATCH // world, 1, GLOBAL_BATCH, 0, "d", "m", strategy)
    save(
        folder,
        last,
        lambda staging: engine.save_checkpoint(str(staging), tag=f"global_step{last}"),
        facts=facts,
        rank=rank,
        world=world,
        barrier=dist.barrier,
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
