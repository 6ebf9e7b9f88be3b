"""Open the store: one SQLite file in WAL mode, written by one process at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from radvlm_cli.errors import StoreError
from radvlm_cli.store.faults import BUSY_TIMEOUT_S, explained

_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.sshfs",
    "ceph",
    "afs",
    "9p",
}


class Store:
    """An open store. Reads stream from their own connection; every write is one `BEGIN IMMEDIATE` transaction."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self.engine = engine

    @contextmanager
    def write(self, *, foreign_keys: bool = True) -> Iterator[Connection]:
        """Begin a write transaction; commit at the end, roll back on an exception.

        `foreign_keys=False` is for removing very many rows whose dependants the caller removes too: SQLite would
        look for them once per row.
        """
        with plain_errors(self.path), self.engine.connect() as connection:
            connection = connection.execution_options(begin="IMMEDIATE")
            raw = connection.connection
            try:
                if not foreign_keys:
                    raw.cursor().execute("PRAGMA foreign_keys=OFF")
                with connection.begin():
                    yield connection
            finally:
                if not foreign_keys:
                    raw.cursor().execute("PRAGMA foreign_keys=ON")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One connection with one snapshot for several reads."""
        with plain_errors(self.path), self.engine.connect() as connection:
            yield connection

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Stream the rows of a query as plain tuples, in constant memory."""
        with plain_errors(self.path), self.engine.connect() as connection:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(sql, tuple(parameters))
                while batch := cursor.fetchmany(5000):
                    yield from batch
            finally:
                cursor.close()

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = next(self.rows(sql, parameters), None)
        return row[0] if row else None

    def close(self) -> None:
        """Fold the write-ahead log back into the file and let go of it."""
        with suppress(OperationalError), self.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()


@contextmanager
def open_store(path: Path, *, create: bool = True, allow_network: bool = False) -> Iterator[Store]:
    """Open the store at `path`, bringing it up to date first (after a backup beside it).

    Raises StoreError if it is ahead of this radvlm, is no SQLite file, lies on a network file system (WAL does not
    work there) and `allow_network` is off, or is absent and `create` is off.
    """
    from radvlm_cli.store.migrate import ensure_current

    _check_place(path, create=create, allow_network=allow_network)
    with plain_errors(path):
        ensure_current(path)
        store = Store(path, connect_engine(path))
        try:
            yield store
        finally:
            store.close()


def connect_engine(path: Path) -> Engine:
    """An engine with the store's pragmas: WAL, synchronous NORMAL, foreign keys, 30 s busy timeout."""
    # The spool and the heartbeat write from other threads than the one that opened the store.
    arguments = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    # Parameters may be report text: they stay out of tracebacks.
    engine = create_engine(f"sqlite:///{path}", connect_args=arguments, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: object) -> None:
        # SQLAlchemy sends BEGIN itself (below), so that it can be IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA wal_autocheckpoint=16384")  # pages: folding 64 MB back at once rewrites hot pages less
        cursor.execute("PRAGMA cache_size=-16384")  # KiB, for each of a few connections
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _check_place(path: Path, *, create: bool, allow_network: bool) -> None:
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a store.", f"--store {path / 'radvlm.db'}")
    if not path.exists():
        if not create:
            raise StoreError(f"There is no store at {path}.", "radvlm prepare --source all --data-dir YOUR_DATA")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Cannot make the store's folder {path.parent}: {error.strerror}.") from error
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise StoreError(f"The store {path} cannot be written: permission denied.", "--store PATH of your own")
    kind = file_system(path.parent)
    if kind in _NETWORK_FILE_SYSTEMS and not allow_network:
        raise StoreError(
            f"The store {path} lies on a network file system ({kind}), where SQLite's write-ahead log can lose data.",
            "--store PATH on a local disk, or --allow-network-store if one host alone will use it",
        )


def file_system(folder: Path) -> str | None:
    """The type of the file system that `folder` is on (from /proc/mounts); None where that is not known."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    resolved = folder.resolve()
    best: tuple[int, str] | None = None
    for line in mounts:
        _device, mount, kind, *_ = line.split(" ")
        point = Path(mount.replace("\\040", " "))
        if resolved.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), kind)
    return best[1] if best else None


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's own errors into ones that a user can act on; bugs in our SQL keep their traceback."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        found = explained(path, str(getattr(error, "orig", None) or error))
        if found is None:
            raise
        raise found from error
