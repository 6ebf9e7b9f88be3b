"""Which revision a store is at, and which this radvlm knows; from file names, without Alembic."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from radvlm_cli.errors import StoreError
from radvlm_cli.store.faults import plain_errors

_REVISION = re.compile(r"(\d{4})_\w+\.py")


def migrations_folder() -> Path:
    """The folder with env.py: inside an installed package, or at the top of a checkout."""
    package = Path(str(files("radvlm_cli")))
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def known_revisions() -> list[str]:
    """The revisions that this radvlm knows, e.g. `0001`, oldest first."""
    names = (_REVISION.fullmatch(path.name) for path in (migrations_folder() / "versions").iterdir())
    return sorted(match[1] for match in names if match)


def newest_revision() -> str:
    """The last revision that this radvlm knows."""
    return known_revisions()[-1]


def revision_of(path: Path) -> str | None:
    """The revision of the store at `path`; None for a file without tables.

    Raises StoreError for a file of another program, and for a damaged one.
    """
    if not path.exists():
        return None
    with plain_errors(path), closing(sqlite3.connect(path)) as connection:
        return revision_in(connection, path)


def revision_in(connection: sqlite3.Connection, path: Path) -> str | None:
    """The revision of an open store; errors as in `revision_of`."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "alembic_version" not in tables or "run" not in tables:
        raise StoreError(f"{path} is an SQLite file of another program, not a radvlm store.", "--store PATH")
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        raise StoreError(f"The store {path} does not say which revision it is.", "Put a backup in its place.")
    return str(row[0])


def is_current(path: Path, revision: str | None) -> bool:
    """Whether a store at `revision` is up to date; False: it is behind. StoreError where it is ahead or unknown."""
    known = known_revisions()
    if revision is not None and revision not in known:
        raise StoreError(
            f"The store {path} is at revision {revision}; this radvlm knows revisions up to {known[-1]}.",
            "Use the newer radvlm that wrote it, or another store: --store PATH",
        )
    return revision == known[-1]
