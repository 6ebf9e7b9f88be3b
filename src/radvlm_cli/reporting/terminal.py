"""A view on a terminal. Written by hand: a library for it takes longer to load than the store takes to be asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import (
    NUMERIC,
    Cell,
    Column,
    Estimate,
    Table,
    View,
    cell_text,
    interval,
    number,
    printable,
    remarks,
)
from radvlm_cli.reporting.wrapping import wide, wrapped

_GAP = "  "
_WRAPPED = 28
"""Characters that a column of words keeps when there is little room."""
_LEAST = 40
"""Columns of the narrowest terminal."""
_STYLES = {"bold": "1", "dim": "2", "heading": "1;36"}
_RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"


class _Line(NamedTuple):
    """A line of a cell."""

    text: str
    style: str = ""


def terminal(view: View, *, width: int, colours: bool) -> str:
    """The view in at most `width` columns where that can be done; without `colours` plain text, for pipes."""
    lines = [line for part in _parts(view, max(width, _LEAST)) for line in (_coloured(each, colours) for each in part)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _parts(view: View, width: int) -> Iterator[Iterator[Sequence[_Line]]]:
    yield _paragraph(view.title, width, "bold")
    for table in view.tables:
        yield iter([()])
        yield _paragraph(table.title, width, "heading")
        if not table.rows:
            yield _paragraph(table.empty, width, "dim")
        yield _table(table, width)
        for note in (*table.notes, *remarks(table)):
            yield _paragraph(f"  {note}", width, "dim")
    if view.notes:
        yield iter([()])
    for note in view.notes:
        yield _paragraph(note, width, "dim")


def _coloured(line: Sequence[_Line], colours: bool) -> str:
    return "".join(
        f"\x1b[{_STYLES[part.style]}m{part.text}\x1b[0m" if colours and part.style and part.text else part.text
        for part in line
    )


def _paragraph(text: str, width: int, style: str) -> Iterator[Sequence[_Line]]:
    for line in wrapped(printable(text), width):
        yield (_Line(line, style),)


def _table(table: Table, width: int) -> Iterator[Sequence[_Line]]:
    """The table; where it is too wide in parts, one below the other, each with the columns that say which row it is."""
    if not table.rows:
        return
    cells = table.cells()
    kept = [place for place, column in enumerate(table.columns) if _filled(column, [row[place] for row in cells])]
    texts = {place: [_lines(row[place], table.columns[place]) for row in cells] for place in kept}
    widths = {place: _width(table.columns[place], texts[place]) for place in kept}
    for places in _fold(table.columns, kept, widths, width):
        yield from _block([table.columns[place] for place in places], [texts[place] for place in places], width)


def _block(columns: Sequence[Column], texts: Sequence[list[list[_Line]]], width: int) -> Iterator[Sequence[_Line]]:
    """Columns side by side: heading, rule, rows. Those of words are wrapped where there is too little room."""
    heads = [[_Line(printable(column.title), "bold")] for column in columns]
    widths = _narrowed(
        [max(map(_widest, (head, *text))) for head, text in zip(heads, texts, strict=True)], columns, width
    )
    yield from _row(heads, columns, widths)
    yield (_Line(_RULE * (sum(widths) + len(_GAP) * (len(widths) - 1))),)
    for row in zip(*texts, strict=True):
        yield from _row(row, columns, widths)


def _narrowed(widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """The widths, taken from the widest columns of words until all fit, or these have nothing to give."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    wordy = [place for place, column in enumerate(columns) if column.kind == "words" or widths[place] > width]
    for _ in range(excess):
        widest = max(wordy, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= 1:
            break
        widths[widest] -= 1
    return widths


def _row(cells: Sequence[list[_Line]], columns: Sequence[Column], widths: Sequence[int]) -> Iterator[Sequence[_Line]]:
    parts = [
        [_Line(text, line.style) for line in cell for text in wrapped(line.text, size)]
        for cell, size in zip(cells, widths, strict=True)
    ]
    for place in range(max(map(len, parts))):
        line: list[_Line] = []
        for part, column, size in zip(parts, columns, widths, strict=True):
            piece = part[place] if place < len(part) else _Line("")
            space = _Line(" " * (size - wide(piece.text)))
            line += [space, piece] if column.kind in NUMERIC else [piece, space]
            line.append(_Line(_GAP))
        yield line


def _filled(column: Column, cells: Sequence[Cell]) -> bool:
    """Whether a column has anything to show; a program gets empty ones too."""
    return column.key or any(cell is not None and cell != "" for cell in cells)


def _fold(columns: Sequence[Column], kept: Sequence[int], widths: dict[int, int], width: int) -> Iterator[list[int]]:
    gap = len(_GAP)
    keys = [place for place in kept if columns[place].key]
    front = sum(widths[place] + gap for place in keys)
    block, used = list(keys), front
    for place in kept:
        if place in keys:
            continue
        needed = widths[place] + gap
        if used + needed - gap > width and len(block) > len(keys):
            yield sorted(block)
            block, used = list(keys), front
        block.append(place)
        used += needed
    if len(block) > len(keys) or not keys or block == keys:
        yield sorted(block)


def _width(column: Column, cells: Sequence[Sequence[_Line]]) -> int:
    """What a column needs; one of words less than all of it."""
    longest = max(map(_widest, cells), default=0)
    if column.kind != "words":
        return max(longest, wide(column.title))
    return max(min(longest, _WRAPPED), max(map(wide, column.title.split()), default=0))


def _widest(lines: Sequence[_Line]) -> int:
    return max((wide(line.text) for line in lines), default=0)


def _lines(cell: Cell, column: Column) -> list[_Line]:
    if not isinstance(cell, Estimate):
        return [_Line(text) for text in printable(cell_text(cell, column.kind)).expandtabs(8).split("\n")]
    value = _Line(number(cell.value), "bold" if cell.strong else "")
    between = interval(cell)
    return [value, _Line(between, "dim")] if between else [value]
