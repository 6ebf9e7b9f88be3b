"""What tells a phantom world from real data; by itself, as those who only ask need none of what draws one."""

from __future__ import annotations

from pathlib import Path

MARK = "PHANTOM.json"
"""A file at the top of the folder."""


def is_world(directory: Path) -> bool:
    """Whether a folder was made by `write_world`, and so holds phantoms alone."""
    return (directory / MARK).is_file()
