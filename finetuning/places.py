"""Where this process stands among the ranks of a run, and how it meets the others."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist

TIMEOUT = timedelta(minutes=30)
"""Of a collective: long enough for a slow file system, short enough that a hang is noticed the same day."""


@dataclass(frozen=True)
class Place:
    """The rank of this process, as torchrun and srun tell it by environment variables."""

    rank: int
    world: int
    local_rank: int

    @classmethod
    def of_environment(cls) -> Place:
        """A process that was started by itself is rank 0 of 1."""
        return cls(*(int(os.environ.get(name, default)) for name, default in _VARIABLES.items()))

    @property
    def device(self) -> torch.device:
        """This rank's GPU, or the CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    @property
    def backend(self) -> str:
        """What the ranks speak."""
        return "nccl" if self.device.type == "cuda" else "gloo"

    @property
    def launched(self) -> bool:
        """Whether torchrun started this process."""
        return "TORCHELASTIC_RUN_ID" in os.environ

    def join(self, *, deepspeed: bool) -> None:
        """Meet the other ranks. DeepSpeed needs a group even of one, and before any model is built."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if deepspeed:
            _lone_environment()
            # Only here: it takes seconds to import, and DDP does without.
            from deepspeed import init_distributed

            if self.device.type == "cpu":
                # Else minutes go into compiling an operator that only makes gloo faster. Not by `from deepspeed.comm
                # import torch`, which is torch itself.
                by_torch: Any = import_module("deepspeed.comm.torch")
                by_torch.build_shm_op = lambda: None
            init_distributed(self.backend, timeout=TIMEOUT)
        elif self.world > 1 and not dist.is_initialized():
            dist.init_process_group(self.backend, timeout=TIMEOUT)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.agree(0)

    def agree(self, number: int) -> int:
        """The largest of the numbers that the ranks bring."""
        if self.world == 1:
            return number
        value = torch.tensor(number, device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value.item())


_VARIABLES = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def _lone_environment() -> None:
    """What torchrun would have set, for a process that was started by itself."""
    for name, default in _VARIABLES.items():
        os.environ.setdefault(name, default)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    if "MASTER_PORT" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            os.environ["MASTER_PORT"] = str(free.getsockname()[1])
