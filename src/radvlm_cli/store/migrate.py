"""Bring a store up to date: Alembic revisions in migrations/versions, run from code, after a backup."""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from radvlm_cli.errors import StoreError
from radvlm_cli.store.engine import plain_errors

if TYPE_CHECKING:
    from alembic.config import Config

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
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        if "alembic_version" not in tables or "run" not in tables:
            raise StoreError(f"{path} is an SQLite file of another program, not a radvlm store.", "--store PATH")
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is None:
            raise StoreError(f"The store {path} does not say which revision it is.", "Put a backup in its place.")
        return str(row[0])


def ensure_current(path: Path) -> Path | None:
    """Upgrade the store if it is behind; return the backup that was made, if any.

    Raises StoreError if the store is ahead of this radvlm, or of a revision that it does not know.
    """
    revision, known = revision_of(path), known_revisions()
    newest = known[-1]
    if revision == newest:
        return None
    if revision is not None and revision not in known:
        raise StoreError(
            f"The store {path} is at revision {revision}; this radvlm knows revisions up to {newest}.",
            "Use the newer radvlm that wrote it, or another store: --store PATH",
        )
    backup_path = None
    if revision is not None:
        backup_path = backup(path, path.with_name(f"{path.stem}.before-{newest}{path.suffix}"))
    upgrade(path)
    return backup_path


def upgrade(path: Path, revision: str = "head") -> None:
    """Run the migrations up to `revision`."""
    from alembic import command

    command.upgrade(alembic_config(path), revision)


def alembic_config(path: Path) -> Config:
    """Alembic's configuration for the store at `path`, without an ini file."""
    from alembic.config import Config

    config = Config(stdout=sys.stdout)  # its default is whatever standard output was when alembic was imported
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["store"] = path
    return config


def backup(path: Path, target: Path | None = None) -> Path:
    """Copy a store, consistent even while it is written to; return the copy's path. Never overwrites."""
    if target is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = path.with_name(f"{path.stem}.{stamp}{path.suffix}")
    if not target.parent.is_dir():
        raise StoreError(f"There is no folder {target.parent} for the backup.", f"mkdir -p {target.parent}")
    if target.exists():
        raise StoreError(f"The backup {target} exists already.", f"mv {target} {target}.old")
    partial = target.with_name(f"{target.name}.part")
    partial.unlink(missing_ok=True)
    with plain_errors(path), closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
    partial.replace(target)
    return target
