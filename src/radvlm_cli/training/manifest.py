"""The manifest of a run: recipe and options over places; and which of it a resume may change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.training.recipe import Values, flat, overlaid

FORMAT = 1
FILE = "manifest.json"
SPOOL = "rank0.spool.jsonl"
STOP_FILE = "stop"
LOG = "log.txt"

CHANGEABLE = (
    *("data.workers", "checkpoints.every_steps", "checkpoints.every_minutes", "checkpoints.keep"),
    *("evaluation.every_steps", "stop.margin_s", "report_to", "optimization.micro_batch"),
)
"""Settings that decide nothing of the result; how a global batch is cut changes only how its sum is rounded."""


class Places(NamedTuple):
    """What a run works on, and where."""

    model: Path
    table: Path
    """The dataset's Parquet file."""
    sha256: str
    pairs: int
    image_root: Path | None
    held_out: Path | None
    """The Parquet file whose loss is watched."""

    def values(self) -> Values:
        """The places as sections of a manifest."""
        data = {
            "table": str(self.table),
            "sha256": self.sha256,
            "pairs": self.pairs,
            "image_root": _text(self.image_root),
            "held_out": {"table": _text(self.held_out)},
        }
        return {"model": {"path": str(self.model)}, "data": data}


def make_manifest(settings: Values, *, run_id: int, folder: Path, allow_changed: tuple[str, ...] = ()) -> Values:
    """The manifest of run `run_id` in `folder`; `settings` are recipe, options and places, one on top of the other."""
    own = {
        "format": FORMAT,
        "run": {"id": run_id, "folder": str(folder)},
        "data": {"cache": str(folder.parent / "cache")},
        "resume": {"allow_changed": list(allow_changed)},
    }
    return overlaid(settings, own)


def settings_of(manifest: Values) -> Values:
    """What of a manifest is settings: all but where the run is and how it is resumed."""
    settings = {key: value for key, value in manifest.items() if key not in ("format", "run", "resume")}
    return settings | {"data": {key: value for key, value in settings["data"].items() if key != "cache"}}


def arguments_of(settings: Values) -> dict[str, Any]:
    """Settings as a run record keeps them: by dotted name."""
    return flat(settings)


def write_manifest(folder: Path, manifest: Values) -> Path:
    """Write the manifest into the run's folder; return its path."""
    path = folder / FILE
    with atomic_write(path) as stream:
        json.dump(manifest, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
    return path


def read_manifest(folder: Path) -> Values:
    """The manifest of the run in `folder`; DataError where there is none."""
    try:
        manifest: Values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"The manifest {folder / FILE} cannot be read: {error}",
            "Put the run's folder back to where it was, or start a new run.",
        ) from error
    return manifest


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
