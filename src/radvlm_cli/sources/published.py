"""The generated files of the published layout: curated reports and conversations, written by an LLM stage.

Only listed here, with sizes and times, so that half a million of them cost one directory scan; `adopt` reads those
that are new.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.records import Split
from radvlm_cli.sources.layout import Layout

_WITH_REPORTS = ("mimic", "chexpert-plus", "openi")
_WITH_CONVERSATIONS = ("mimic", "padchest-gr")
_FILTERED = ("filtered_reports", "filtered_reports_test")
_SPLITS: dict[str, Split] = {
    "train": "train",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
}
_KINDS: dict[str, Literal["standard", "grounded"]] = {
    "standard": "standard",
    "grounding": "grounded",
    "padchest": "grounded",
}


class GeneratedFile(NamedTuple):
    """One generated file."""

    key: str
    """The study id (curated report) or image id (conversation) that its name stands for."""
    path: str
    """POSIX path relative to the data folder."""
    bytes: int
    mtime_ns: int
    kind: Literal["report", "standard", "grounded"]
    split: Split | None


def generated_folders(layout: Layout) -> list[Path]:
    """The folders that hold a source's generated files, those that are there."""
    found = []
    if layout.info.name in _WITH_REPORTS:
        found += list(_subfolders(layout, _FILTERED))
    if layout.info.name in _WITH_CONVERSATIONS:
        bases = _subfolders(layout, ("conversations",))
        found += [base / split / kind for base in bases for split in _SPLITS for kind in _KINDS]
    return [folder for folder in found if folder.is_dir()]


def filtered_reports(layout: Layout) -> Iterator[GeneratedFile]:
    """List `filtered_reports/<study>.txt` of MIMIC-CXR and CheXpert Plus, by name."""
    if layout.info.name not in _WITH_REPORTS:
        return
    for folder in _subfolders(layout, _FILTERED):
        place = layout.relative(folder)
        for name in _listed(folder, ".txt"):
            key = _study_of(name.removesuffix(".txt"), layout.info.name)
            if key is not None:
                size, mtime_ns = _state(f"{folder}/{name}")
                yield GeneratedFile(key, f"{place}/{name}", size, mtime_ns, "report", None)


def conversations(layout: Layout) -> Iterator[GeneratedFile]:
    """List `conversations/<split>/<kind>/<image>.json` of MIMIC-CXR and PadChest-GR, by name."""
    if layout.info.name not in _WITH_CONVERSATIONS:
        return
    suffix = ".png" if layout.info.name == "padchest-gr" else ""
    for base in _subfolders(layout, ("conversations",)):
        for split_name, split in _SPLITS.items():
            for kind_name, kind in _KINDS.items():
                folder = base / split_name / kind_name
                place = layout.relative(folder)
                for name in _listed(folder, ".json"):
                    size, mtime_ns = _state(f"{folder}/{name}")
                    key = name.removesuffix(".json") + suffix
                    yield GeneratedFile(key, f"{place}/{name}", size, mtime_ns, kind, split)


def _study_of(stem: str, source: str) -> str | None:
    """`53862424` or `s53862424` is a study of MIMIC-CXR, `train_patient1_study2` of CheXpert Plus, `1` of Open-i."""
    if source in ("mimic", "openi"):
        study = stem.removeprefix("s")
        return study if study.isdigit() else None
    parts = stem.split("_")
    return "/".join(parts) if len(parts) == 3 and parts[1].startswith("patient") else None


def _subfolders(layout: Layout, names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        for folder in layout.folders:
            if (folder / name).is_dir():
                yield folder / name


def _listed(folder: Path, suffix: str) -> list[str]:
    """The names of a folder's files with this suffix, sorted; none if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(suffix))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise DataError(f"{folder} cannot be listed: permission denied.", f"chmod u+rx {folder}") from error


def _state(path: str) -> tuple[int, int]:
    """Bytes and time of a file."""
    try:
        state = os.stat(path)
    except OSError:  # a link to nowhere: whoever reads it will say so
        state = os.lstat(path)
    return state.st_size, state.st_mtime_ns
