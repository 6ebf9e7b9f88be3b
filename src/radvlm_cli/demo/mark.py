"""The file by which a folder of phantoms is known: light, for those who only look for it."""

from __future__ import annotations

from pathlib import Path

MARK = "PHANTOM.json"


def is_world(directory: Path) -> bool:
    """Whether a folder was made by `write_world`, and so holds phantoms alone."""
    return (directory / MARK).is_file()
