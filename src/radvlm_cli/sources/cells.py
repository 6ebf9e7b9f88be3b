"""Numbers in table cells."""

from __future__ import annotations


def whole(cell: str | None) -> int | None:
    """`1930.0` -> 1930; None for a blank cell, and for one that is no number."""
    try:
        return int(float(cell)) if cell else None
    except (ValueError, OverflowError):
        return None
