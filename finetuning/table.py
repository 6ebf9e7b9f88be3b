"""The dataset that is trained on, as a file mapped into memory: any row at once, whatever the number of rows.

`radvlm build` writes Parquet, which can only be read a row group at a time. Once, it is copied to an Arrow file in a
cache folder, under a name that holds the hash of the Parquet file; all ranks and workers of a machine map that one
file. The copy appears complete or not at all, and only one process makes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from glob import escape
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from finetuning.chat import Turn, turns_of
from finetuning.errors import DataError
from finetuning.space import FULL

COLUMNS = ("id", "image", "conversations", "task", "width", "height")
BUILD = "give the .parquet file that `radvlm build` writes"
_VERSION = 1
"""Part of the copy's name; changes with its columns."""
_BATCH = 8192
"""Rows of a record batch of the copy."""


class Row(NamedTuple):
    """One pair of the dataset."""

    pair_id: str
    image: str
    """Path of the image file: absolute, or relative to the image root."""
    turns: tuple[Turn, ...]
    task: str


class Table:
    """Random access to the rows of an Arrow file; opened anew in each process that it is handed to."""

    def __init__(self, path: Path, sha256: str) -> None:
        """Map the file `path`, the copy of a Parquet file with that hash."""
        self.path, self.sha256 = path, sha256
        self._open()

    def _open(self) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(self.path)))
        self.batches: list[pa.RecordBatch] = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        """The rows in order, mapped: reading a column of one touches its part of the file only."""
        self._starts = np.array([0, *accumulate(batch.num_rows for batch in self.batches)], np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "sha256": self.sha256}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def row(self, number: int) -> Row:
        """Read one row. IndexError: there is none of that number."""
        if not 0 <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        at = int(np.searchsorted(self._starts, number, side="right")) - 1
        batch, within = self.batches[at], number - int(self._starts[at])
        pair_id, image, spoken, task = (batch.column(name)[within].as_py() for name in COLUMNS[:4])
        return Row(pair_id, image, turns_of(spoken), task)


def open_table(source: Path, cache: Path, *, sha256: str | None = None) -> Table:
    """Map the copy of the Parquet file `source` in the folder `cache`, after making it where it is missing.

    `sha256`: what the file should be; where the copy stands, its name is proof enough and the Parquet file is not read.
    Raises DataError for another file, or for one that is no built dataset.
    """
    if sha256 is not None and (copy := _copy_of(cache, sha256)).exists():
        return Table(copy, sha256)
    found = file_hash(source)
    if sha256 is not None and found != sha256:
        message = f"{source} is not the file that the run was started with: its SHA-256 is {found}, not {sha256}"
        raise DataError(message, "build it again from the same recipe, or start a new run")
    copy = _copy_of(cache, found)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(copy):
        if not copy.exists():
            with replacing(copy) as stream:
                _write_copy(source, stream)
    return Table(copy, found)


def _copy_of(cache: Path, sha256: str) -> Path:
    return cache / f"{sha256[:32]}.v{_VERSION}.arrow"


def file_hash(path: Path) -> str:
    """SHA-256 of a file. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", BUILD) from error


def _write_copy(source: Path, stream: IO[bytes]) -> None:
    try:
        file = parquet.ParquetFile(source)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{source} is not a Parquet file, or a damaged one", BUILD) from error
    schema = file.schema_arrow
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise DataError(f"{source} has no column {', '.join(missing)}", BUILD)
    with file, pa.ipc.new_file(stream, pa.schema([schema.field(name) for name in COLUMNS])) as writer:
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(COLUMNS), use_threads=False):
            if any(batch.column(name).null_count for name in COLUMNS[:4]):
                raise DataError(f"{source} has a pair without {', '.join(COLUMNS[:3])} or {COLUMNS[3]}", BUILD)
            writer.write_batch(batch.select(list(COLUMNS)))


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write `path` under a name of this process's own, and rename it once it is on the disk.

    What killed processes of this machine left of it is removed first. Raises DataError where the disk is full.
    """
    mine = f".{path.name}.{os.uname().nodename}."
    for leftover in path.parent.glob(f"{escape(mine)}*"):
        if not _alive(leftover.name.removeprefix(mine)):
            leftover.unlink(missing_ok=True)
    temporary = path.with_name(f"{mine}{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DataError(f"{path} cannot be written: {error.strerror}", "Free some space, then resume.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep the other processes of this machine from making `path` at the same time."""
    with path.with_name(path.name + ".lock").open("w") as stream:
        # Some network file systems have no locks. Two processes then do the same work, and the second rename changes
        # nothing.
        with suppress(OSError):
            flock(stream, LOCK_EX)
        yield
