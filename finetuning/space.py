"""Room on disk for a checkpoint: asked for before it is written, and put into words when it runs out meanwhile."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from finetuning.errors import CheckpointError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk, and of an exhausted quota."""
FULL_HINT = "Free some space, then resume: the checkpoints before this one are untouched."
_LITTLE = 64 << 20
"""A write that failed with less than this free failed for lack of room, whatever its error says."""


def refuse_if_full(folder: Path, name: str, expected: int | None) -> None:
    """Raise CheckpointError where checkpoint `name` of `expected` bytes (None: not known) cannot fit into `folder`."""
    free = shutil.disk_usage(_existing(folder)).free
    if expected is not None and free < expected:
        raise CheckpointError(
            f"No room for {folder / name}: the last checkpoint takes {_gib(expected)} and {_gib(free)} is free, "
            f"{_gib(expected - free)} is missing.",
            FULL_HINT,
        )


@contextmanager
def given_up_on_error(staging: Path, reason: Path, expected: int | None) -> Iterator[None]:
    """Remove the folder `staging` on any error inside; a full disk becomes a CheckpointError that says what is missing.

    Its words also go to the file `reason`, for the ranks that fail because their files were removed with the folder.
    """
    try:
        yield
    except BaseException as error:
        if not staging.exists() and isinstance(error, Exception):
            raise CheckpointError(_given_reason(reason), FULL_HINT) from error
        message = None
        if isinstance(error, Exception) and _disk_full(error, staging, expected):
            message = _explain_full(staging, expected)
        shutil.rmtree(staging, ignore_errors=True)
        if message is None:
            raise
        with suppress(OSError):
            reason.write_text(message, encoding="utf-8")
        raise CheckpointError(message, FULL_HINT) from error


def _given_reason(path: Path, wait_s: float = 2.0) -> str:
    """Why another rank gave the checkpoint up: it writes that down just after it removed the staging folder."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        with suppress(OSError):
            return path.read_text(encoding="utf-8")
        time.sleep(0.05)
    return f"Another rank gave up a checkpoint in {path.parent}; its log says why."


def _disk_full(error: BaseException, staging: Path, expected: int | None) -> bool:
    """Whether `error`, raised while writing into `staging`, came from a full disk or an exhausted quota.

    torch and safetensors raise errors of their own for it, some without a word of the cause: then the free space tells.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL:
            return True
        if "os error 28" in str(cause) or "No space left" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, CheckpointError):
        return False
    missing = 0 if expected is None else expected - _written(staging)
    return shutil.disk_usage(_existing(staging)).free < max(_LITTLE, missing)


def _explain_full(staging: Path, expected: int | None) -> str:
    """What to tell when `staging` could not be finished: written, free, and how much was missing."""
    written, free = _written(staging), shutil.disk_usage(_existing(staging)).free
    text = f"No space left for {staging}: {_gib(written)} was written and {_gib(free)} is free (a quota may be lower)"
    if expected is None:
        return f"{text}. How much is missing is not known: nothing of the kind was written before."
    return f"{text}. The last checkpoint takes {_gib(expected)}: {_gib(max(0, expected - written - free))} is missing."


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
