"""Tables as HTML: numbers to the right, intervals beneath them, what estimates have to say below the table."""

from __future__ import annotations

from radvlm_cli.reporting.page.markup import Markup, element
from radvlm_cli.reporting.tables import NUMERIC, Cell, Column, Estimate, Table, cell_text, interval, number


def table_markup(table: Table, *, heading: bool = True) -> Markup:
    """A table in a frame that scrolls by itself where the page is too narrow for it."""
    notes = _notes(table)
    title = element("h3", table.title) if heading else None
    if not table.rows:
        return element("div", title, element("p", table.empty, class_="none"), notes, class_="block")
    head = element("tr", [_heading(column) for column in table.columns])
    body = [
        element("tr", [_cell(column, cell) for column, cell in zip(table.columns, row, strict=True)])
        for row in table.cells()
    ]
    grid = element("table", element("thead", head), element("tbody", body))
    classes = "frame wide" if len(table.columns) > _WIDE else "frame"
    frame = element("div", grid, class_=classes, role="region", tabindex="0", aria_label=table.title)
    return element("div", title, frame, notes, class_="block")


def _notes(table: Table) -> Markup | None:
    """The table's own notes, and what its estimates have to say: each once, folded where it is much."""
    found: dict[str, dict[str, None]] = {}
    for row in table.cells():
        for column, cell in zip(table.columns, row, strict=True):
            if isinstance(cell, Estimate) and cell.remark:
                found.setdefault(cell.remark, {})[column.title] = None
    said = [element("p", f"{', '.join(titles)}: {remark}", class_="note") for remark, titles in found.items()]
    own = [element("p", note, class_="note") for note in table.notes]
    if len(said) <= _REMARKS:
        return element("div", own, said) if own or said else None
    summary = element("summary", f"{len(said)} remarks on values marked {_MARK}")
    return element("div", own, element("details", summary, said, class_="folded"))


_WIDE = 9
"""Columns beyond which a table is printed small."""
_REMARKS = 3
_MARK = "\u2020"


def _heading(column: Column) -> Markup:
    return element("th", column.title, scope="col", class_="number" if _right(column) else None)


def _right(column: Column) -> bool:
    return column.kind in NUMERIC


def _cell(column: Column, cell: Cell) -> Markup:
    classes = " ".join(name for name, yes in (("number", _right(column)), ("words", column.kind == "words")) if yes)
    if isinstance(cell, Estimate):
        mark = element("sup", _MARK, title=cell.remark) if cell.remark else None
        value = element("strong" if cell.strong else "span", number(cell.value), mark)
        between = interval(cell)
        return element("td", value, element("small", between) if between else None, class_=classes or None)
    name = "th" if column.key and not _right(column) else "td"
    scope = "row" if name == "th" else None
    return element(name, cell_text(cell, column.kind), scope=scope, class_=classes or None)
