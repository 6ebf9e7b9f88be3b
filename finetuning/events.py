"""What a rank tells about itself: events as JSON lines in its spool, and the meters behind them.

The spool has the form that `radvlm train` takes into its store as the file grows: one JSON object a line with its
`kind`, appended whole; a line torn by a death is ended by the next writer.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from finetuning.errors import TrainingError

SUFFIX = ".spool.jsonl"


def now() -> str:
    """The time as events carry it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class SpoolWriter:
    """This rank's events. A disk that is full for a while costs no event and no training step.

    Floats that are not finite become null: JSON has no word for them.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"rank{rank}{SUFFIX}"
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # A line torn by an earlier death is ended, so that it cannot swallow the next one.
        self._unwritten = b"\n" if os.fstat(self._file).st_size else b""

    def append(self, kind: str, **body: Any) -> None:
        """Append one event; what does not fit on the disk now is written with a later one."""
        event = _finite({"kind": kind, **body})
        line = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        self._unwritten += line.encode() + b"\n"
        with suppress(OSError):
            self._write()

    def sync(self) -> None:
        """Write and flush to disk; call before a checkpoint is renamed, so that it is never newer than its steps.

        Raises TrainingError where the disk is full.
        """
        try:
            self._write()
            os.fsync(self._file)
        except OSError as error:
            raise TrainingError(
                f"Events cannot be written to {self._path}: {error.strerror}", "Free some space, then resume."
            ) from error

    def close(self) -> None:
        """Sync and close; raises TrainingError where events are left that the disk has no room for."""
        try:
            self.sync()
        finally:
            os.close(self._file)

    def _write(self) -> None:
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(self._file, self._unwritten) :]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


class Reading(NamedTuple):
    """What the meter shows for the steps since it was last read; totals and rates are over all ranks."""

    tokens: int
    samples: int
    step_s: float
    """Seconds per step."""
    tokens_per_s: float
    samples_per_s: float
    mfu: float | None
    """Model FLOP/s over the GPUs' peak, 0 to 1; None where the peak is not known."""
    data_wait_s: float
    """Seconds per step that this rank waited for the data loader."""
    memory_gib: float
    """Highest use of this rank since the last reading: of its GPU, or of its process on the CPU."""


class Meter:
    """Counts what the steps do. `peak_flops` is of one GPU (see `peak_flops`), `world` how many there are."""

    def __init__(
        self, world: int, peak_flops: float | None = None, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._world, self._peak, self._clock = world, peak_flops, clock
        self.restart()

    def restart(self) -> None:
        """Forget what was counted: after a save or an evaluation, whose time is no step's."""
        self._steps = self._tokens = self._samples = 0
        self._flops = self._waited = 0.0
        self._since = self._clock()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside is waiting for data."""
        begun = self._clock()
        try:
            yield
        finally:
            self._waited += self._clock() - begun

    def step(self, *, tokens: int, samples: int, flops: float = 0.0) -> None:
        """One optimizer step has been made of so much, summed over all ranks; `flops` are the model's, 3 x forward."""
        self._steps += 1
        self._tokens += tokens
        self._samples += samples
        self._flops += flops

    def read(self) -> Reading:
        """The reading since the last one, or since the restart; at least one step must have been made."""
        steps, seconds = self._steps, max(self._clock() - self._since, 1e-9)
        mfu = self._flops / (seconds * self._peak * self._world) if self._peak and self._flops else None
        reading = Reading(
            tokens=self._tokens,
            samples=self._samples,
            step_s=seconds / steps,
            tokens_per_s=self._tokens / seconds,
            samples_per_s=self._samples / seconds,
            mfu=mfu,
            data_wait_s=self._waited / steps,
            memory_gib=peak_memory_gib(),
        )
        self.restart()
        return reading


def peak_memory_gib() -> float:
    """Highest memory in GiB: of this rank's GPU since the last call, or of this process since it began."""
    import torch

    if not torch.cuda.is_available():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return peak


# Dense bfloat16 with float32 accumulation, TFLOP/s, as vendors publish it (November 2026; NVIDIA mostly prints the
# figure with sparsity, twice as high). Matched in this order against torch.cuda.get_device_name().
PEAK_TFLOPS = (
    (r"H100.*NVL", 835.5),
    (r"H[18]00.*PCIe", 756.5),
    (r"H200.*NVL", 835.5),
    (r"GB[23]00", 2500.0),
    (r"GH200|H100|H200|H800", 989.4),
    (r"H20\b", 148.0),
    (r"B[23]00", 2250.0),
    (r"B100", 1750.0),
    (r"A100|A800", 312.0),
    (r"A30\b", 165.0),
    (r"A40\b", 149.7),
    (r"A10\b", 125.0),
    (r"L40S", 362.1),
    (r"L40\b", 181.1),
    (r"L4\b", 121.0),
    (r"RTX 4090\b", 165.2),
    (r"RTX 3090\b", 71.0),
    (r"MI300X|MI325X", 1307.4),
    (r"MI250X?\b", 191.5),  # each of its two dies is a device of its own
)


def peak_flops(device_name: str, dtype: str = "bfloat16") -> float | None:
    """Peak FLOP/s of a GPU by its name, in 16-bit types; None if not known, a slice (MIG), or another type."""
    if dtype not in ("bfloat16", "float16") or "MIG" in device_name:
        return None
    for pattern, tflops in PEAK_TFLOPS:
        if re.search(rf"(?<![A-Z0-9])(?:{pattern})", device_name):
            return tflops * 1e12
    return None
