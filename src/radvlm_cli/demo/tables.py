"""Write the tables of the phantom world so that the same seed gives the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time stamp of every member of an archive."""


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, line_end: str = "\n") -> str:
    """Write rows as CSV text; None gives a blank cell, and line breaks within cells are kept."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator=line_end)
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file, gzipped where the name ends in .gz (with neither name nor time in its header)."""
    write_bytes(path, csv_text(columns, rows).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write one file, gzipped where the name ends in .gz, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write one JSON file."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=indent).encode())


def write_zip(path: Path, members: Mapping[str, str]) -> None:
    """Write text files into a zip archive, by member name, without the hour of writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name], zipfile.ZIP_DEFLATED)
