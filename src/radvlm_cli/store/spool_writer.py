"""A worker's end of the spools (see spool.py); light, since workers that load nothing of the store begin with it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radvlm_cli.hashing import canonical_json

SUFFIX = ".spool.jsonl"


class SpoolWriter:
    """A worker's end: append events; each call is one write of whole lines."""

    def __init__(self, folder: Path, worker: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{worker}{SUFFIX}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        # A line torn by an earlier death of this worker is ended, so that it cannot swallow the next one.
        if os.fstat(self._file).st_size:
            os.write(self._file, b"\n")

    def append(self, kind: str, **body: Any) -> None:
        """Append one event."""
        os.write(self._file, (canonical_json({"kind": kind, **body}) + "\n").encode())

    def close(self) -> None:
        """Sync and close."""
        os.fsync(self._file)
        os.close(self._file)


def now() -> str:
    """UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
