"""A view on a terminal, by rich."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

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

_GAP = 2
_WRAPPED = 28
"""Characters that a column of words keeps when there is little room."""


def terminal(view: View, *, width: int, colours: bool) -> str:
    """The view in at most `width` columns where that can be done; without `colours` plain text, for pipes."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=max(width, 40),
        force_terminal=colours,
        color_system="auto" if colours else None,
        no_color=not colours,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        legacy_windows=False,
    )
    console.print(Text(printable(view.title), style="bold"))
    for table in view.tables:
        console.print()
        console.print(Text(printable(table.title), style="bold cyan"))
        if not table.rows:
            console.print(Text(printable(table.empty), style="dim"))
        for block in _blocks(table, width):
            console.print(block)
        for note in (*table.notes, *remarks(table)):
            console.print(Text(f"  {printable(note)}", style="dim"))
    if view.notes:
        console.print()
    for note in view.notes:
        console.print(Text(printable(note), style="dim"))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _blocks(table: Table, width: int) -> Iterator[RichTable]:
    """The table; where it is too wide in parts, one below the other, each with the columns that say which row it is."""
    if not table.rows:
        return
    cells = table.cells()
    kept = [place for place, column in enumerate(table.columns) if _filled(column, [row[place] for row in cells])]
    widths = {place: _width(table.columns[place], [row[place] for row in cells]) for place in kept}
    for places in _fold(table.columns, kept, widths, width):
        block = RichTable(
            box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False, expand=False
        )
        for place in places:
            column = table.columns[place]
            wrapped = column.kind == "words"
            block.add_column(
                Text(printable(column.title)),
                justify="right" if column.kind in NUMERIC else "left",
                overflow="fold",
                no_wrap=not wrapped and widths[place] <= width,
                vertical="top",
            )
        for row in cells:
            block.add_row(*(_cell(row[place], table.columns[place]) for place in places))
        yield block


def _filled(column: Column, cells: Sequence[Cell]) -> bool:
    """Whether a column has anything to show; a program gets empty ones too."""
    return column.key or any(cell is not None and cell != "" for cell in cells)


def _fold(columns: Sequence[Column], kept: Sequence[int], widths: dict[int, int], width: int) -> Iterator[list[int]]:
    keys = [place for place in kept if columns[place].key]
    front = sum(widths[place] + _GAP for place in keys)
    block, used = list(keys), front
    for place in kept:
        if place in keys:
            continue
        needed = widths[place] + _GAP
        if used + needed - _GAP > width and len(block) > len(keys):
            yield sorted(block)
            block, used = list(keys), front
        block.append(place)
        used += needed
    if len(block) > len(keys) or not keys or block == keys:
        yield sorted(block)


def _width(column: Column, cells: Sequence[Cell]) -> int:
    longest = max(cell_len(line) for cell in cells for line in (_text(cell, column).splitlines() or [""]))
    heading = max(cell_len(word) for word in column.title.split() or [""])
    if column.kind == "words":
        longest = min(longest, _WRAPPED)
    else:
        heading = cell_len(column.title)
    return max(longest, heading)


def _text(cell: Cell, column: Column) -> str:
    if isinstance(cell, Estimate):
        return "\n".join(part for part in (number(cell.value), interval(cell)) if part)
    return printable(cell_text(cell, column.kind))


def _cell(cell: Cell, column: Column) -> Text:
    if not isinstance(cell, Estimate):
        return Text(_text(cell, column))
    text = Text(number(cell.value), style="bold" if cell.strong else "")
    between = interval(cell)
    return text.append(f"\n{between}", style="dim not bold") if between else text
