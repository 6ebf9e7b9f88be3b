"""Find the files of a dataset below the data folder, however they were downloaded.

A dataset may lie under any of its usual folder names (also those of the published RadVLM README), directly or in a
version folder, or where `wget -r` puts PhysioNet files; tables may be plain or gzipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import DataError

_MIRRORS = ("", "physionet.org/files")
_VERSION = re.compile(r"v?\d+(\.\d+)+")


class Requirement(NamedTuple):
    """One file or folder that a source reads."""

    name: str
    """How the source asks for it, e.g. `metadata`."""
    paths: tuple[str, ...]
    """Where it may lie, relative to the dataset's folder, best first. Globs allowed; `.gz` beside `.csv` is implied."""
    what: str
    """What it is, for the message that says it is missing."""
    needed: bool = True


class Info(NamedTuple):
    """What is known of a dataset before any of it is read."""

    name: str
    """As typed after `--source`."""
    title: str
    folders: tuple[str, ...]
    """Folder names below the data folder, best first."""
    obtain: str
    """Where it is obtained (URL)."""
    licence: str
    credentialed: bool
    requirements: tuple[Requirement, ...]
    needs: tuple[str, ...] = ()
    """Sources that must be prepared before this one."""


class Layout(NamedTuple):
    """Which files of a dataset were found."""

    info: Info
    data_dir: Path
    derived_dir: Path
    """Where files made by `prepare` go: the data folder itself unless told otherwise (read-only mounts)."""
    folders: tuple[Path, ...]
    """The dataset's folders that exist, best first."""
    found: dict[str, Path]
    missing: tuple[Requirement, ...]
    """What is not there, needed or not."""

    @property
    def absent(self) -> tuple[Requirement, ...]:
        """The needed files that are not there."""
        return tuple(requirement for requirement in self.missing if requirement.needed)

    @property
    def home(self) -> Path:
        """The dataset's main folder."""
        return self.folders[0] if self.folders else self.data_dir / self.info.folders[0]

    @property
    def derived(self) -> Path:
        """The dataset's folder for files made by `prepare`: `home`, moved below `derived_dir`."""
        return self.derived_dir / self.home.relative_to(self.data_dir)

    def path(self, name: str) -> Path:
        """Return the file or folder of a requirement; DataError, saying where to get it, if it is not there."""
        if name in self.found:
            return self.found[name]
        requirement = next(r for r in self.info.requirements if r.name == name)
        raise DataError(
            f"{self.info.title}: {requirement.what} not found; looked for {_places(self, requirement)}.",
            f"Obtain it from {self.info.obtain}, then: radvlm prepare --source {self.info.name}",
        )

    def relative(self, path: Path) -> str:
        """`path` relative to the data folder, as stored with root `data`."""
        return path.relative_to(self.data_dir).as_posix()

    def relative_derived(self, path: Path) -> str:
        """`path` relative to the folder of derived files, as stored with root `derived`."""
        return path.relative_to(self.derived_dir).as_posix()

    def require(self) -> None:
        """Raise DataError naming the first needed file that is not there."""
        for requirement in self.absent:
            self.path(requirement.name)


def locate(info: Info, data_dir: Path, derived_dir: Path | None = None) -> Layout:
    """Look for every requirement of `info` below `data_dir`; missing ones are listed, not raised."""
    found: dict[str, Path] = {}
    missing = []
    try:
        folders = tuple(dict.fromkeys(_existing_folders(info, data_dir)))
        for requirement in info.requirements:
            path = next(_candidates(folders, requirement), None)
            if path is None:
                missing.append(requirement)
            else:
                found[requirement.name] = path
    except PermissionError as error:
        raise DataError(
            f"{error.filename} cannot be listed: permission denied.", f"chmod u+rx {error.filename}"
        ) from error
    return Layout(info, data_dir, derived_dir or data_dir, folders, found, tuple(missing))


def _existing_folders(info: Info, data_dir: Path) -> Iterator[Path]:
    for mirror in _MIRRORS:
        base = data_dir / mirror
        if not base.is_dir():
            continue
        children = sorted(child for child in base.iterdir() if child.is_dir())
        for name in info.folders:
            alike = [child for child in children if child.name.casefold() == name.casefold()]
            for folder in sorted(alike, key=lambda child: child.name != name):
                yield folder
                versions = (child for child in folder.iterdir() if child.is_dir() and _VERSION.fullmatch(child.name))
                yield from sorted(versions, key=_version, reverse=True)


def _version(folder: Path) -> list[int]:
    return [int(number) for number in folder.name.removeprefix("v").split(".")]


def _candidates(folders: tuple[Path, ...], requirement: Requirement) -> Iterator[Path]:
    for pattern in requirement.paths:
        for folder in folders:
            for variant in (pattern, f"{pattern}.gz") if pattern.endswith(".csv") else (pattern,):
                if any(mark in variant for mark in "*?["):
                    yield from sorted(folder.glob(variant))
                elif (path := folder / variant).exists():
                    yield path


def _places(layout: Layout, requirement: Requirement) -> str:
    home = layout.folders[0].name if layout.folders else layout.info.folders[0]
    gz = " (or .gz)" if any(path.endswith(".csv") for path in requirement.paths) else ""
    return " or ".join(f"{home}/{path}" for path in requirement.paths) + gz
