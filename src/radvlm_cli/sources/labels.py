"""Label cells of the CheXpert family: 1.0 present, 0.0 absent, -1.0 uncertain, blank not mentioned."""

from __future__ import annotations

from functools import lru_cache

from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import ALIASES, FINDINGS

_VALUES = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": -1, "-1": -1}


def label_columns(header: list[str]) -> list[str]:
    """The table's column for each of the fourteen findings; its own name if there is none, for the reader to miss."""
    aliases = {finding: alias for alias, finding in ALIASES.items() if alias in header}
    return [finding if finding in header else aliases.get(finding, finding) for finding in FINDINGS]


@lru_cache(maxsize=1 << 16)
def labels_json(columns: tuple[str, ...], cells: tuple[str | None, ...]) -> str | None:
    """Canonical JSON of finding -> value; None where a cell is none of 1, 0, -1 and blank.

    Few combinations occur, so each is written once.
    """
    values = {ALIASES.get(name, name): _VALUES.get(cell) for name, cell in zip(columns, cells, strict=True) if cell}
    return None if None in values.values() else canonical_json(values)
