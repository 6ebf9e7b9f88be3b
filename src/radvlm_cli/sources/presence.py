"""Is an image's file there? One cheap question per image, asked the same way by every source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from radvlm_cli.sources import Options


class Presence(NamedTuple):
    """Status and reason of an image's file, as records.Image has them."""

    status: Literal["present", "missing", "unchecked"]
    reason: str | None


_PRESENT = Presence("present", None)
_UNCHECKED = Presence("unchecked", None)
_MISSING = Presence("missing", "file not found")


def presence(path: Path | str, options: Options) -> Presence:
    """Look for `path` unless the user asked for tables only."""
    if options.tables_only:
        return _UNCHECKED
    return _PRESENT if os.path.isfile(path) else _MISSING
