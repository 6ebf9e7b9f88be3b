"""Read dataset tables in constant memory, and say plainly what is wrong with a damaged one."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import csv

from radvlm_cli.errors import DataError

Row = tuple[str | None, ...]

_BLANKS = ("", "NaN", "nan", "None", "NULL")
_HINT = "Download the file again and compare its checksum, then run the same command again."


def read_table(
    path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), blanks: Sequence[str] = _BLANKS
) -> Iterator[Row]:
    """Yield the rows of a CSV file (plain, .gz, or alone in a .zip) as tuples of `columns`, then `optional`.

    All cells are text, None for `blanks`. A column of `optional` that the file lacks gives None in every row. Cells may hold line breaks. Raises DataError
    where the file cannot be opened, lacks a column, is cut short, or has rows of another length.
    """
    header = read_header(path)
    absent = [name for name in columns if name not in header]
    if absent:
        shown = ", ".join(repr(name) for name in header[:8]) + (", ..." if len(header) > 8 else "")
        raise DataError(f"{path}: column {absent[0]!r} is missing; its first line has {shown}.", _HINT)
    wanted = [*columns, *optional]
    present = [name for name in wanted if name in header]
    options = csv.ConvertOptions(
        include_columns=present,
        column_types={name: pa.string() for name in present},
        null_values=blanks,
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    rows_read = 0
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
    except (pa.ArrowException, OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged after row {rows_read:,}: {_without_content(error)}.", _HINT) from error


def read_header(path: Path) -> list[str]:
    """Return the column names in the first line of a CSV file (plain or .gz)."""
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder where a file should be.", _HINT)
        with (
            _opened(path) as stream,
            csv.open_csv(
                stream,
                read_options=csv.ReadOptions(use_threads=False, block_size=1 << 20),
                parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _row: "skip"),
            ) as reader,
        ):
            return list(reader.schema.names)
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: permission denied.", f"chmod u+r {path}") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a table: {_without_content(error)}.", _HINT) from error


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
    for mark in (", got", ": '", ' "'):
        if mark == ", got" and mark in first_line:
            head, _, tail = first_line.partition(mark)
            return f"{head}, got {tail.split(':')[0].strip()}"
        first_line = first_line.split(mark)[0]
    return first_line.rstrip(".")
