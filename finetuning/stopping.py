"""When training stops: signals, the end of a SLURM job, a stop file; and that no process outlives what started it.

torchrun passes SIGTERM and SIGINT on to its workers and kills them 30 s later, which is too short to save a large
model. Whoever starts torchrun stops a run by creating RUN/stop instead; a SLURM job stops by the clock.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

from finetuning.errors import RunHeldError
from finetuning.stuck import StuckGuard

STOP_FILE, LOCK_FILE = "stop", "lock"
_NOTHING, _SAVE = 0, 1
REASONS = {
    2: "as asked",
    3: "the end of the SLURM job",
    4: "SIGTERM",
    5: "SIGINT",
}
"""What ranks tell one another, the strongest wins; as asked: by the stop file."""
_BY_SIGNAL = {signal.SIGTERM: 4, signal.SIGINT: 5}
REPEAT_S = 2.0
"""SLURM signals the workers as torchrun does: what comes within this time of the first is the same request."""
STOP_FILE_EVERY_S = 1.0
PATIENCE_S = 300.0
"""A rank that does not come to the end of its step for so long after SIGTERM (or twice its longest step) is stuck."""


class StopWatch:
    """Asks after each step whether to stop or to save, so that all ranks do so at the same step.

    A context manager: inside it SIGTERM and SIGINT ask for a stop, and a second one, REPEAT_S or more later, ends the
    process at once; so does a SIGTERM that a stuck step leaves unanswered (see stuck.py). `agree` is an all-reduce(max)
    of one small number over all ranks. Only rank 0 looks at clocks and files. `margin_s` is how long before the end of
    the SLURM job to stop; a step as long as the last one must fit too. `save_every_s`: `save_due` becomes true that
    long after `saved` was called (or after the start).
    """

    def __init__(
        self,
        folder: Path,
        *,
        rank: int,
        agree: Callable[[int], int],
        margin_s: float = 300.0,
        save_every_s: float | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._folder, self._rank, self._agree = folder, rank, agree
        self._deadline = _deadline(environment, margin_s) if rank == 0 else None
        self._save_every_s = save_every_s
        self._signal = _NOTHING
        self._first_signal = 0.0
        self._before: dict[signal.Signals, object] = {}
        self._asked = self._saved = time.monotonic()
        self._looked = float("-inf")
        self._longest_s = 0.0
        self._guard = StuckGuard(lambda: max(PATIENCE_S, 2 * self._longest_s))
        self._reason: str | None = None
        self.save_due = False
        """Whether all ranks are to save at the step last asked about."""

    def requested(self, step: int) -> str | None:
        """Why all ranks are to stop after `step`, or None; all ranks must ask after the same steps."""
        if self._reason is None:
            now = time.monotonic()
            step_s, self._asked = now - self._asked, now
            self._longest_s = max(self._longest_s, step_s)
            told = self._agree(max(self._signal, self._seen(now, step_s)))
            self.save_due = told == _SAVE
            if told > _SAVE:
                self._guard.answered()
                self._reason = f"{REASONS[told]}, after step {step}"
                if self._rank == 0:
                    # Honoured: a resumed run is not to stop at its first step.
                    (self._folder / STOP_FILE).unlink(missing_ok=True)
        return self._reason

    def saved(self) -> None:
        """A checkpoint has been saved: the time to the next one begins."""
        self._saved, self.save_due = time.monotonic(), False

    def _seen(self, now: float, step_s: float) -> int:
        """What rank 0 has seen on clocks and in the folder."""
        if self._rank != 0:
            return _NOTHING
        if self._deadline is not None and time.time() + step_s >= self._deadline:
            return 3
        if now - self._looked >= STOP_FILE_EVERY_S:
            self._looked = now
            if (self._folder / STOP_FILE).exists():
                return 2
        if self._save_every_s is not None and now - self._saved >= self._save_every_s:
            return _SAVE
        return _NOTHING

    def __enter__(self) -> StopWatch:
        for each in _BY_SIGNAL:
            self._before[each] = signal.signal(each, self._on_signal)
        self._guard.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._guard.stop()
        for each, handler in self._before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signal == _NOTHING:
            self._signal, self._first_signal = _BY_SIGNAL[signal.Signals(number)], now
            if self._rank == 0:
                # os.write: a handler may have interrupted a print.
                os.write(2, b"Stopping after this step, with a checkpoint; once more to stop at once.\n")
        elif now - self._first_signal >= REPEAT_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _deadline(environment: Mapping[str, str], margin_s: float) -> float | None:
    """Unix time at which to stop: the end of the SLURM job less the margin; None outside a job."""
    end = environment.get("SLURM_JOB_END_TIME", "")
    return float(end) - margin_s if end.isdigit() else None


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process (SIGKILL) when the one that started it dies.

    torchrun's workers live on when torchrun is killed, and would hold the GPUs while the run is resumed. `parent` is
    the process id of the parent where the caller knows it: then a parent that died before this call counts as well.
    Linux only; elsewhere it does nothing. The signal belongs to the parent's *thread* that started this process.
    """
    expected = os.getppid() if parent is None else parent
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except AttributeError:
        return
    pr_set_pdeathsig = 1
    if prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != expected:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def run_lock(folder: Path, *, wait_s: float = 5.0, note: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the run in `folder` for this process (rank 0); RunHeldError naming the holder if another trainer has it.

    The kernel frees the lock on any death. `wait_s`: a run resumed right after a kill waits for the dying process.
    Where the file system has no locks, `note` is told and training goes on unguarded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+", encoding="utf-8") as stream:
        try:
            _acquire(stream, folder, wait_s)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            if note is not None:
                note(f"{folder} lies on a file system without locks: nothing keeps a second trainer off this run.")
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        _close_in_children(stream)
        yield


def _acquire(stream: IO[str], folder: Path, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                stream.seek(0)
                holder = stream.read().strip() or "another process"
                raise RunHeldError(
                    f"Another trainer is at work on {folder} ({holder}).", f"Stop it first: touch {folder / STOP_FILE}"
                ) from None
        time.sleep(0.1)


def _close_in_children(stream: IO[str]) -> None:
    """Forked workers of the data loader must not hold the lock on when this process is killed."""

    def close() -> None:
        with suppress(OSError):
            stream.close()

    os.register_at_fork(after_in_child=close)
