"""Numbers in table cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from radvlm_cli.records import Outcome

MOST = 1_000_000
"""More than any age, year or number of pixels; SQLite takes no number of any length."""
_OLDEST = 120


def whole(cell: str | None) -> int | None:
    """`1930.0` -> 1930; None for a blank cell, and for one that is no whole number from 0 to a million."""
    number = _number(cell)
    return int(number) if number is not None and number.is_integer() else None


def years(cell: str | None) -> int | None:
    """An age, fractions cut off; None for a blank cell, and for one that is no number from 0 to 120."""
    number = _number(cell)
    return int(number) if number is not None and number <= _OLDEST else None


def _number(cell: str | None) -> float | None:
    try:
        number = float(cell or "")
    except ValueError:
        return None
    return number if 0 <= number <= MOST else None


def junk(item: str, cells: Mapping[str, str | None]) -> Iterator[Outcome]:
    """One outcome for each of an item's cells, by what it holds, that should be a number and is not."""
    for what, cell in cells.items():
        if is_junk(cell):
            yield Outcome(f"{item} {what}", "skipped", f"the {what} is not a number; it is unknown")


def is_junk(cell: str | None) -> bool:
    """Whether a cell that should hold such a number holds something else."""
    return bool(cell) and whole(cell) is None
