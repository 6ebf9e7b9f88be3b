"""Write small tables, and part what a source yields into records and outcomes."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from radvlm_cli.records import Outcome

R = TypeVar("R")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under `columns`, cells that a row lacks blank; gzipped if the name says so."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def parted(found: Iterable[R | Outcome]) -> tuple[list[R], list[Outcome]]:
    """Records and outcomes, each in their order."""
    every = list(found)
    outcomes = [one for one in every if isinstance(one, Outcome)]
    return [one for one in every if not isinstance(one, Outcome)], outcomes


def touch(path: Path) -> None:
    """Make an empty file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
