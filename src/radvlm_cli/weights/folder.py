"""A folder that appears whole or not at all: made beside its place under another name, synced, renamed."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radvlm_cli.errors import DataError

_SUFFIX = ".radvlm-tmp"


@contextmanager
def whole_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """A new folder beside `target` that takes its place when the body ends; nothing of it stays if the body fails.

    What a killed process left is cleared away first. DataError if `target` exists and may not be replaced, if another
    process is making it, or if the disk refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            clear_leftovers(target)
            refuse_existing(target, replace=replace)
            staging = target.parent / f".{target.name}.{os.getpid()}{_SUFFIX}"
            staging.mkdir()
            try:
                yield staging
                _sync(staging)
                _put(staging, target)
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                raise
    except OSError as error:
        closed = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        raise DataError(
            f"Cannot write {target}: {error.strerror or error}",
            "--output FOLDER, where you may write" if closed else "Free some space, then run the same command again",
        ) from error


def refuse_existing(target: Path, *, replace: bool) -> None:
    """DataError if `target` is there and may not be replaced; a file is never replaced."""
    if target.exists() and not (replace and target.is_dir()):
        raise DataError(f"{target} exists.", "Give another --output, or add --force to replace that folder")


def clear_leftovers(target: Path) -> None:
    """Remove what a killed process left beside `target`; put back what it had moved aside to replace."""
    old = _old(target)
    if old.is_dir() and not target.exists():
        old.rename(target)
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*{_SUFFIX}"):
        shutil.rmtree(leftover)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold the lock of a target; the kernel frees it on any death. Its file goes when the work is done."""
    path = target.parent / f".{target.name}.radvlm-lock"
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before removes the file as it ends: one that was opened before that locks nothing.
            if not path.exists() or not os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                raise BlockingIOError
        except BlockingIOError:
            raise DataError(f"Another process is making {target}.", "Wait for it, or give another --output") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def need_space(parent: Path, size: int) -> None:
    """DataError if the file system of `parent` (or of the folder above that exists) has less than `size` bytes free."""
    while not parent.is_dir():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < size:
        raise DataError(
            f"{parent} has {free / 1e9:,.1f} GB free; the converted folder needs {size / 1e9:,.1f} GB.",
            "Free some space, or give an --output on another disk",
        )


def _old(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced{_SUFFIX}"


def _put(staging: Path, target: Path) -> None:
    """Rename; where there is an old folder it is moved aside first, and put back by the next run after a kill."""
    old = _old(target)
    if target.exists():
        target.rename(old)
    staging.rename(target)
    _sync_entry(target.parent)
    if old.exists():
        shutil.rmtree(old)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_entry(path)
    _sync_entry(folder)


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
