"""Read dataset tables in constant memory, and say plainly what is wrong with a damaged one."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from csv import Error as CsvError
from csv import reader as csv_reader
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
from pyarrow import csv

from radvlm_cli.errors import DataError

Row = tuple[str | None, ...]

_BLANKS = ("", "NaN", "nan", "None", "NULL")
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_DAMAGES = (
    pa.ArrowException, CsvError, OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error,
    RuntimeError,  # an encrypted zip, or (NotImplementedError) one packed in a way unknown to Python
)  # fmt: skip
_HINT = "Download the file again and compare its checksum, then run the same command again."


def read_table(
    path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), blanks: Sequence[str] = _BLANKS
) -> Iterator[Row]:
    """Yield the rows of a CSV file (plain, .gz, or alone in a .zip) as tuples of `columns`, then `optional`.

    All cells are text, None for `blanks`. A column of `optional` that the file lacks gives None in every row. Cells
    may hold line breaks. Raises DataError where the file cannot be opened, lacks a column or has it twice, is cut
    short, has rows of another length, holds zero bytes, or has no rows.
    """
    header = read_header(path)
    _check_columns(path, header, columns, optional)
    _check_zeros(path)
    wanted = [*columns, *optional]
    present = [name for name in wanted if name in header]
    options = csv.ConvertOptions(
        include_columns=[*dict.fromkeys([*present, header[-1]])],
        column_types={name: pa.string() for name in [*present, header[-1]]},
        null_values=blanks,
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    rows_read, last_cell = 0, None
    try:
        with (
            _opened(path) as stream,
            csv.open_csv(
                stream,
                read_options=csv.ReadOptions(block_size=2 << 20, use_threads=False),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=options,
            ) as reader,
        ):
            for batch in reader:
                cells = {name: batch.column(name).to_pylist() for name in present}
                blank = [None] * batch.num_rows
                yield from zip(*(cells.get(name, blank) for name in wanted), strict=True)
                rows_read += batch.num_rows
                last_cell = batch.column(header[-1])[-1].as_py() if batch.num_rows else None
    except _DAMAGES as error:
        raise DataError(f"{path}: damaged after row {rows_read:,}: {_without_content(error)}.", _HINT) from error
    _check_end(path, rows_read, last_cell)


def _check_end(path: Path, rows: int, last_cell: str | None) -> None:
    """DataError for a table without rows, and for one whose last cell has swallowed what came after a lone quote."""
    if not rows:
        raise DataError(f"{path} has a first line but no rows.", _HINT)
    if last_cell is not None and last_cell.endswith(("\n", "\r")):
        raise DataError(f"{path}: a quotation mark opens in row {rows:,} and never closes; rows are lost.", _HINT)


def read_header(path: Path) -> list[str]:
    """Return the column names in the first line of a CSV file (plain, .gz, or alone in a .zip)."""
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder where a file should be.", _HINT)
        with _opened_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
            header = next((row for row in csv_reader(stream) if row), None)
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied.", f"chmod u+r {path}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read as a table: it is not UTF-8 text.", _HINT) from error
    except _DAMAGES as error:
        raise DataError(f"{path} cannot be read as a table: {_without_content(error)}.", _HINT) from error
    if header is None:
        raise DataError(f"{path} is empty.", _HINT)
    return header


@contextmanager
def _opened_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the table itself, unpacked."""
    with _opened(path) as place:
        if not isinstance(place, Path):
            yield place
            return
        with gzip.open(place) if place.suffix == ".gz" else place.open("rb") as stream:
            yield cast("IO[bytes]", stream)


def _check_columns(path: Path, header: list[str], columns: Sequence[str], optional: Sequence[str]) -> None:
    """DataError where a column is missing, or there twice. The first line is not quoted: it may be a patient's row."""
    absent = next((name for name in columns if name not in header), None)
    if absent is not None:
        delimiter = next((mark for mark in _OTHER_DELIMITERS if len(header) == 1 and mark in header[0]), None)
        close = get_close_matches(absent, header, n=1)
        if delimiter is not None:
            why = f"columns are separated by {_OTHER_DELIMITERS[delimiter]} where a comma should be"
        else:
            why = f"the first line has {len(header)} columns" + (f", {close[0]!r} among them" if close else "")
        raise DataError(f"{path}: column {absent!r} is missing; {why}.", _HINT)
    twice = next((name for name in (*columns, *optional) if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} is there twice.", _HINT)


def _check_zeros(path: Path) -> None:
    """DataError for zero bytes: blocks that a download or disk lost. They hide line ends, so rows would run together.

    Archives have checksums against that.
    """
    if path.suffix in (".gz", ".zip"):
        return
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            if b"\0" in block:
                raise DataError(f"{path} holds zero bytes: a part of it is lost.", _HINT)


@contextmanager
def _opened(path: Path) -> Iterator[Path | IO[bytes]]:
    """What Arrow can read from: it knows .gz by the name; of a .zip the one table inside."""
    if path.suffix != ".zip":
        yield path
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX")]
        if len(names) != 1:
            raise DataError(f"{path} holds {len(names)} tables where one should be.", _HINT)
        with archive.open(names[0]) as stream:
            yield stream


def first_row(path: Path, columns: Sequence[str]) -> Row | None:
    """Return the first row, or None for a table without rows."""
    return next(chain(read_table(path, columns), [None]))


def _without_content(error: Exception) -> str:
    """The parser's message without the piece of the file that it quotes: that may be patient data."""
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    for mark in (", got", ": '", ' "', " (b'"):
        if mark == ", got" and mark in first_line:
            head, _, tail = first_line.partition(mark)
            return f"{head}, got {tail.split(':')[0].strip()}"
        first_line = first_line.split(mark)[0]
    return first_line.rstrip(".")
