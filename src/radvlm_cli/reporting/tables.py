"""Tables of a report: typed rows, columns that read them, and cells that keep a number with its interval and n."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

DIGITS = 3


class Estimate(NamedTuple):
    """A number that was measured on samples, with its 95 % interval. None: not defined, or not computed here."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    """Samples that it was measured on."""
    patients: int | None = None
    """What was drawn for the interval."""
    remark: str | None = None
    """Why there is no value, or what to know of it."""
    strong: bool = False
    """Better, and not by chance: only a comparison that says so sets it."""


Cell = str | int | float | bool | Estimate | None
Kind = Literal["text", "words", "count", "number", "share", "dollars", "bytes", "seconds"]
"""text: names and short phrases; words: may be long, is wrapped; share: 0-1, shown in percent."""


class Column(NamedTuple):
    """A column: its heading and what it reads from a row."""

    title: str
    get: Callable[[Any], Cell]
    kind: Kind = "text"
    key: bool = False
    """Says which row it is: stands in front again where a table is too wide and goes on below."""
    name: str = ""
    """In CSV and JSON; else the heading."""

    @property
    def field(self) -> str:
        """Name for programs."""
        return self.name or self.title


class Table(NamedTuple):
    """Rows with how they read. `rows` are the row objects themselves, for whoever shows them otherwise."""

    name: str
    """For `--table` and as the key in JSON; unique in a view."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Any, ...]
    notes: tuple[str, ...] = ()
    empty: str = "none"
    """Said in place of a table without rows."""

    def cells(self) -> list[list[Cell]]:
        """The cells, row by row."""
        return [[column.get(row) for column in self.columns] for row in self.rows]


class View(NamedTuple):
    """What a `radvlm report` command shows."""

    name: str
    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    def only(self, name: str) -> View:
        """The view with one of its tables; KeyError where it has none of that name."""
        for table in self.tables:
            if table.name == name:
                return self._replace(tables=(table,))
        raise KeyError(name)


def number(value: float | None, digits: int = DIGITS) -> str:
    """A number with so many decimals; a minus sign that is one; empty where there is none."""
    if value is None or math.isnan(value):
        return "n/a"
    text = f"{value:,.{digits}f}"
    return text.replace("-", "\u2212") if float(text.replace(",", "")) else text.lstrip("-")


def interval(estimate: Estimate) -> str:
    """`0.480 to 0.541`, or nothing where there is none."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{number(estimate.low)} to {number(estimate.high)}"


def cell_text(cell: Cell, kind: Kind = "text") -> str:
    """A cell as people read it, on one line; text is as it is, to be escaped by whoever writes it."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        between = interval(cell)
        return f"{number(cell.value)} ({between})" if between else number(cell.value)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return cell
    return _FORMS.get(kind, _plain)(cell)


def _plain(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)


def _bytes(value: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def _seconds(value: float) -> str:
    whole = round(value)
    if whole < 60:
        return f"{value:,.1f} s" if value < 10 else f"{whole} s"
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value >= 0.005 or not value else f"${value:.4f}"


_FORMS: dict[str, Callable[[float], str]] = {
    "share": lambda value: f"{100 * value:.1f} %",
    "dollars": _dollars,
    "bytes": _bytes,
    "seconds": _seconds,
}
NUMERIC = frozenset(("count", "number", "share", "dollars", "bytes", "seconds"))


def printable(text: str) -> str:
    """Text of models and files with nothing in it that steers a terminal or turns the direction of writing.

    Control characters (line breaks and tabs aside) and marks of direction become escapes that can be read.
    """
    return "".join(char if _harmless(char) else f"\\u{ord(char):04x}" for char in text)


_STEERING = frozenset(
    (
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        0x200E,
        0x200F,
        0x061C,
        0x2028,
        0x2029,
        0xFEFF,
        *range(0xD800, 0xE000),
    )
)


def _harmless(char: str) -> bool:
    code = ord(char)
    if code < 0x20:
        return char in "\n\t"
    return not (0x7F <= code < 0xA0) and code not in _STEERING


def remarks(table: Table) -> Sequence[str]:
    """What the estimates of a table have to say, each once, in the order in which it comes."""
    found: dict[str, dict[str, None]] = {}
    for row in table.cells():
        for column, cell in zip(table.columns, row, strict=True):
            if isinstance(cell, Estimate) and cell.remark:
                found.setdefault(cell.remark, {})[column.title] = None
    return tuple(f"{', '.join(titles)}: {remark}" for remark, titles in found.items())
