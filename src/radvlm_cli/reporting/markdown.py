"""A view as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from radvlm_cli.reporting.tables import NUMERIC, Cell, Estimate, Kind, Table, View, cell_text, printable, remarks

_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(view: View) -> str:
    """Headings, tables, and notes as lists."""
    lines = [f"## {escape(view.title)}", ""]
    for table in view.tables:
        lines += [f"### {escape(table.title)}", "", *_table(table), ""]
    lines += [f"- {escape(note)}" for note in view.notes]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that stays text: no markup, no HTML, no link, no formula, no cell's end."""
    text = printable(text)
    text = re.sub(r"[\\`*_{}\[\]|~$#@]|://|www\.", lambda found: _escaped(found[0]), text)
    text = re.sub(r"&|<|>", lambda found: _NAMED[found[0]], text)
    return re.sub(r"\r?\n|\t", lambda found: " " if found[0] == "\t" else "<br>", text)


def _escaped(found: str) -> str:
    """A backslash in front; what would become a link by itself, or a mention, is broken by an entity."""
    links = {"://": "&#58;//", "www.": "www&#46;", "@": "&#64;"}
    return links.get(found, f"\\{found}")


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield escape(table.empty)
    else:
        yield _line(escape(column.title) for column in table.columns)
        yield _line("---:" if column.kind in NUMERIC else "---" for column in table.columns)
        for row in table.cells():
            yield _line(_cell(cell, column.kind) for cell, column in zip(row, table.columns, strict=True))
    notes = [*table.notes, *remarks(table)]
    if notes:
        yield ""
        yield from (f"- {escape(note)}" for note in notes)


def _line(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell, kind: Kind) -> str:
    text = escape(cell_text(cell, kind))
    return f"**{text}**" if isinstance(cell, Estimate) and cell.strong else text
