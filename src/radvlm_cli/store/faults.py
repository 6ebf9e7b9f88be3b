"""SQLite's own errors, as ones that a user can act on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radvlm_cli.errors import StoreError

BUSY_TIMEOUT_S = 30
_RESTORE = "Put a backup in its place (radvlm db backup makes them), or make it anew: mv {0} {0}.damaged"


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn errors of the store's file into StoreError; bugs in our SQL keep their traceback."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        found = explained(path, str(error))
        if found is None:
            raise
        raise found from error


def explained(path: Path, text: str) -> StoreError | None:
    """What SQLite's message means for the user; None where it is no matter of the file."""
    if "file is not a database" in text:
        return StoreError(f"{path} is not a radvlm store (not an SQLite file).", "--store PATH")
    if "malformed" in text and "malformed JSON" not in text:
        return StoreError(f"The store {path} is damaged: {text}.", _RESTORE.format(path))
    if "locked" in text:
        return StoreError(
            f"The store {path} stayed locked for {BUSY_TIMEOUT_S} s: another program is writing to it.",
            "Wait for it, or see which: radvlm db status",
        )
    if "disk is full" in text or "disk I/O" in text:
        return StoreError(
            f"The store {path} cannot be written: {text}.",
            "Free some space, then run the same command again: finished work is kept.",
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(f"The store {path} cannot be opened for writing: {text}.", "--store PATH")
    return None
