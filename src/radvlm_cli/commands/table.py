"""Lay out a table as plain text that stays readable in a narrow terminal and in a pipe."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_GAP = "  "
_LEAST = 20
"""Characters that a wrapped column keeps, however narrow the terminal."""


class _Column(NamedTuple):
    heading: list[str]
    cells: list[str]
    to_the_right: bool
    width: int


def lay_out(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    width: int,
    notes: str | None = None,
    spare: Sequence[str] = (),
) -> list[str]:
    """Return a table's lines, at most `width` characters each where that can be done.

    Numbers stand to the right with thousands separators, None is blank. Where all columns are too wide together, the
    column `notes` moves below the table, one line a row; then the columns `spare` are left out, one after another;
    then the widest column is wrapped.
    """
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    below = []
    if notes in columns and _total(columns) > width:
        named = columns[names[0]].cells
        below = [f"{name}: {note}" for name, note in zip(named, columns.pop(notes).cells, strict=True) if note]
    for name in spare:
        if name in columns and _total(columns) > width:
            del columns[name]
    lines = _lines(list(columns.values()), width)
    wrapped = [part for line in below for part in _wrap(line, width)]
    return [*lines, "", *wrapped] if wrapped else lines


def _wrap(text: str, width: int, indent: str = _GAP) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _column(name: str, values: list[Any]) -> _Column:
    cells = [_cell(value) for value in values]
    longest = max(map(len, [*name.split(), *cells]), default=0)
    heading = textwrap.wrap(name, longest, break_on_hyphens=False) or [""]
    return _Column(heading, cells, any(type(value) is int for value in values), longest)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _total(columns: Mapping[str, _Column]) -> int:
    return sum(column.width + len(_GAP) for column in columns.values()) - len(_GAP)


def _lines(columns: list[_Column], width: int) -> list[str]:
    excess = sum(column.width + len(_GAP) for column in columns) - len(_GAP) - width
    widest = max(columns, key=lambda column: column.width)
    widths = [c.width if excess <= 0 or c is not widest else max(_LEAST, c.width - excess) for c in columns]
    depth = max(len(column.heading) for column in columns)
    headings = [[""] * (depth - len(column.heading)) + column.heading for column in columns]
    lines = [_line([heading[n] for heading in headings], columns, widths) for n in range(depth)]
    lines.append(_GAP.join("-" * width for width in widths))
    for cells in zip(*(column.cells for column in columns), strict=True):
        parts = [_wrap(cell, size, indent="") for cell, size in zip(cells, widths, strict=True)]
        for n in range(max(map(len, parts))):
            lines.append(_line([part[n] if n < len(part) else "" for part in parts], columns, widths))
    return lines


def _line(cells: Sequence[str], columns: Sequence[_Column], widths: Sequence[int]) -> str:
    placed = zip(cells, columns, widths, strict=True)
    return _GAP.join(c.rjust(size) if column.to_the_right else c.ljust(size) for c, column, size in placed).rstrip()
