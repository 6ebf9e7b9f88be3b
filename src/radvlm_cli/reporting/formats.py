"""The forms in which a view is written; the same row objects behind all of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

from radvlm_cli.reporting.latex import latex
from radvlm_cli.reporting.markdown import markdown
from radvlm_cli.reporting.tables import Cell, Column, Estimate, Table, View, remarks

Format = Literal["table", "md", "csv", "json", "latex"]
FORMATS: tuple[str, ...] = get_args(Format)


def write_view(view: View, form: Format, *, width: int = 120, colours: bool = False) -> str:
    """The view as text, with its line end. `width` and `colours` are those of the terminal."""
    if form == "table":
        from radvlm_cli.reporting.terminal import terminal

        return terminal(view, width=width, colours=colours)
    writers: dict[str, Callable[[View], str]] = {
        "md": markdown,
        "csv": delimited,
        "json": as_json,
        "latex": latex,
    }
    return writers[form](view)


def as_json(view: View) -> str:
    """JSON object of tables by name; an estimate is an object with value, low, high, n, patients, remark."""
    tables = {
        table.name: {
            "title": table.title,
            "rows": [record(table, row) for row in table.rows],
            "notes": list(table.notes),
        }
        for table in view.tables
    }
    document = {"view": view.name, "title": view.title, "tables": tables, "notes": list(view.notes)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def record(table: Table, row: Any) -> dict[str, Any]:
    """A row as plain values by column, nothing rounded."""
    return {column.field: _plain(column.get(row)) for column in table.columns}


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        return {name: _number(value) for name, value in cell._asdict().items() if name != "strong"}
    return _number(cell)


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def delimited(view: View) -> str:
    """CSV. An estimate has columns of its own for value, low, high and n; numbers are not rounded.

    Several tables stand one below the other, each under a line `# title` and before an empty one; `View.only` gives
    a file with one. A text that a spreadsheet would take for a formula has an apostrophe in front.
    """
    stream = io.StringIO()
    for place, table in enumerate(view.tables):
        if len(view.tables) > 1:
            stream.write(f"{chr(10) if place else ''}# {table.title}\n")
        writer = csv.writer(stream, lineterminator="\n")
        cells = table.cells()
        measured = [any(isinstance(row[place], Estimate) for row in cells) for place in range(len(table.columns))]
        writer.writerow(
            name for column, wide in zip(table.columns, measured, strict=True) for name in _names(column, wide)
        )
        for row in cells:
            writer.writerow(value for cell, wide in zip(row, measured, strict=True) for value in _values(cell, wide))
    return stream.getvalue()


def _names(column: Column, measured: bool) -> Iterator[str]:
    yield _safe(column.field)
    if measured:
        yield from (_safe(f"{column.field} {end}") for end in ("low", "high", "n"))


def _values(cell: Cell, measured: bool) -> Iterator[Any]:
    if isinstance(cell, Estimate):
        yield from (_number(value) for value in (cell.value, cell.low, cell.high, cell.n))
        return
    yield _safe(cell) if isinstance(cell, str) else _number(cell)
    if measured:
        yield from ("", "", "")


def _safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula. csv cannot write NUL."""
    text = text.replace("\0", "\\u0000")
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def notes_of(table: Table) -> Iterator[str]:
    """What stands below a table: its notes, then what its estimates have to say."""
    yield from table.notes
    yield from remarks(table)
