"""The JSON files of a checkpoint's folder, such as config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from radvlm_cli.errors import DataError


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. DataError: it cannot be read, or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object.")
    return value


def read_config_file(folder: Path, title: str, needed: Iterable[str] = ()) -> dict[str, Any]:
    """config.json of a checkpoint of the model of that title. DataError: it is not there, or lacks what is needed."""
    path = folder / "config.json"
    if not path.is_file():
        raise DataError(f"{folder} holds no {title}: it has no config.json.")
    found = read_object(path)
    if lacking := [name for name in needed if name not in found]:
        raise DataError(f"{folder} holds no {title}: its config.json lacks {', '.join(lacking)}.")
    return found
