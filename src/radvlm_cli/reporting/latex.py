"""A view as LaTeX tables (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from radvlm_cli.reporting.tables import NUMERIC, Cell, Estimate, Kind, Table, View, cell_text, printable, remarks

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # after \\ it would begin an option
    "]": "{]}",
    "*": "{*}",
    "-": "{-}",  # no ligature: -- stays two
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "\u2212": "$-$",
    "\u00d7": r"$\times$",
    "\u00b1": r"$\pm$",
    "\u2265": r"$\geq$",
    "\u2264": r"$\leq$",
    "\u2013": r"\textendash{}",
    "\n": " ",
    "\t": " ",
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)))


def latex(view: View) -> str:
    """One table environment for each table, notes below it in small print."""
    parts = [f"% {_comment(view.title)}", "% \\usepackage{booktabs,textcomp}", ""]
    for table in view.tables:
        parts += [*_table(view.name, table), ""]
    parts += [rf"\noindent{{\footnotesize {escape(note)}\par}}" for note in view.notes]
    return "\n".join(parts).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that stays text."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], printable(text))


def _comment(text: str) -> str:
    return " ".join(printable(text).split())


def _table(view: str, table: Table) -> Iterator[str]:
    yield r"\begin{table}[htbp]"
    yield r"\centering\small"
    yield rf"\caption{{{escape(table.title)}}}"
    yield rf"\label{{tab:{_label(view)}-{_label(table.name)}}}"
    if table.rows:
        yield rf"\begin{{tabular}}{{{''.join(_alignment(column.kind) for column in table.columns)}}}"
        yield r"\toprule"
        yield rf"{' & '.join(escape(column.title) for column in table.columns)} \\"
        yield r"\midrule"
        for row in table.cells():
            cells = (_cell(cell, column.kind) for cell, column in zip(row, table.columns, strict=True))
            yield rf"{' & '.join(cells)} \\"
        yield r"\bottomrule"
        yield r"\end{tabular}"
    else:
        yield escape(table.empty)
    for note in (*table.notes, *remarks(table)):
        yield rf"\par{{\footnotesize {escape(note)}}}"
    yield r"\end{table}"


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)


def _alignment(kind: Kind) -> str:
    if kind == "words":
        return r"p{6cm}"
    return "r" if kind in NUMERIC else "l"


def _cell(cell: Cell, kind: Kind) -> str:
    text = escape(cell_text(cell, kind))
    return rf"\textbf{{{text}}}" if isinstance(cell, Estimate) and cell.strong else text
