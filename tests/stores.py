"""Empty stores, without running the migrations for each."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from radvlm_cli.store.engine import open_store


def empty_store(path: Path) -> Path:
    """Put a store without rows at `path`, whose folder is made if need be; return `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_migrated())
    return path


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "radvlm.db"
        with open_store(path):
            pass
        return path.read_bytes()
