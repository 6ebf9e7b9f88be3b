"""Bring a store up to date: Alembic revisions in migrations/versions, run from code, after a backup."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from radvlm_cli.errors import StoreError
from radvlm_cli.store.faults import plain_errors
from radvlm_cli.store.revisions import is_current, known_revisions, migrations_folder, revision_of

if TYPE_CHECKING:
    from alembic.config import Config


def ensure_current(path: Path) -> Path | None:
    """Upgrade the store if it is behind; return the backup that was made, if any.

    Raises StoreError if the store is ahead of this radvlm, or of a revision that it does not know.
    """
    revision, newest = revision_of(path), known_revisions()[-1]
    if is_current(path, revision):
        return None
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
