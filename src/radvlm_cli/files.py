"""Files that are whole or absent: written to a temporary name, synced, renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from radvlm_cli.errors import DataError

TEMPORARY_SUFFIX = ".radvlm-tmp"


@contextmanager
def atomic_write(path: Path, mode: str = "w", *, sync: bool = True) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success sync it and rename it over `path`, otherwise remove it.

    With `sync=False` a power cut (not a kill) may lose the file: for the many small ones that are cheap to remake.
    Raises DataError, with the reason, where the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = None if "b" in mode else "utf-8"
        with temporary.open(mode, encoding=encoding, newline=None if "b" in mode else "") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"Cannot write {path}: {error.strerror or error}",
            "Free some space or mend the permissions, then run the same command again: finished work is kept.",
        ) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(folder: Path) -> int:
    """Remove temporary files that a killed run left directly in `folder`; return how many."""
    count = 0
    if folder.is_dir():
        for leftover in folder.glob(f"*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
            count += 1
    return count
