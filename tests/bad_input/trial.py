"""One damage at a time: a copy of a phantom dataset, the real command line, and what the store says afterwards."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from radvlm_cli.main import run

_KEYS_AND_VALUES = {
    "image": (
        "source, image_id",
        "patient_id, study_id, split, view, root, path, width, height, sex, age, labels, status, reason FROM image",
    ),
    "report": (
        "source, study_id",
        "patient_id, split, language, findings, impression, last_paragraph, comparison, history, text, origin "
        "FROM report",
    ),
    "grounding": (
        "g.source, i.image_id, g.ordinal",
        "g.kind, g.split, g.label, g.phrase, g.boxes, g.detail FROM grounding g JOIN image i ON i.id = g.image_id",
    ),
    "curated_text": ("source, study_id", "text, origin FROM curated_text"),
    "conversation": (
        "v.source, i.image_id, v.kind",
        "v.split, v.turns, v.origin FROM conversation v JOIN image i ON i.id = v.image_id",
    ),
    "artifact": (
        "root, path",
        "kind, origin, sha256 FROM artifact WHERE kind IN ('image', 'filtered_report', 'conversation')",
    ),
    "outcome": ("subject, step, item", "status, reason FROM outcome"),
}
"""What a row is told apart by, and what it says: neither row ids nor runs nor times."""

Content = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Trial:
    """A place where one damaged dataset is prepared and built from."""

    def __init__(self, pristine: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = home / "data"
        self.home = home
        self._pristine = pristine
        self.store = home / "radvlm.db"
        self._capsys = capsys
        self.mend()

    def mend(self) -> None:
        """Put the undamaged files (hard links, each with its old time) in place of whatever is there."""
        place = self.data / self._pristine.name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._pristine, place, copy_function=os.link)

    def run(self, *words: str) -> Ended:
        """Type a command line."""
        self._capsys.readouterr()
        code = run(list(words))
        ended = Ended(code, *self._capsys.readouterr())
        assert "Traceback" not in ended.err
        return ended

    def stage(self, stage: str, *words: str) -> Ended:
        """Type a command line with the folders of this trial."""
        places = ["--data-dir", str(self.data), "--store", str(self.store), "--derived-dir", str(self.home / "derived")]
        return self.run(stage, *places, *words)

    def prepare(self, *sources: str, more: tuple[str, ...] = ()) -> Ended:
        """Prepare sources; conversions are small, for speed."""
        named = [word for source in sources for word in ("--source", source)]
        return self.stage("prepare", *named, "--size", "64", "--workers", "1", *more)

    def build(self, *more: str) -> Ended:
        """Build the default recipe to `train` with image paths that are the same in every trial."""
        return self.stage("build", "--output", str(self.home / "train"), "--image-root", str(self.data.parent), *more)

    def pairs(self, recipe: str, component: str) -> list[str]:
        """Build a recipe and return the ids of one component's pairs."""
        output = self.home / recipe
        assert self.stage("build", "--recipe", recipe, "--output", str(output)).code == 0
        names = [str(pair["id"]) for pair in json.loads((output / "test.json").read_text())]
        return [name for name in names if name.startswith(f"{component}-")]

    def content(self) -> Content:
        """Everything that the store says of the datasets."""
        with closing(sqlite3.connect(self.store)) as connection:
            connection.row_factory = sqlite3.Row
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            return {
                name: _by_key(connection.execute(f"SELECT {key}, {values}").fetchall(), key.count(",") + 1)
                for name, (key, values) in _KEYS_AND_VALUES.items()
            }


def _by_key(rows: list[sqlite3.Row], length: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row)[:length]: dict(zip(row.keys()[length:], tuple(row)[length:], strict=True)) for row in rows}


def differences(before: Content, after: Content) -> Counter[str]:
    """What differs, counted: `image gone`, `image.width`, `failed: the reason`. Empty where nothing does."""
    found: Counter[str] = Counter()
    for name, rows in before.items():
        found.update(_named(name, rows[key], "gone") for key in rows.keys() - after[name].keys())
        found.update(_named(name, after[name][key], "new") for key in after[name].keys() - rows.keys())
        for key in rows.keys() & after[name].keys():
            found.update(f"{name}.{c}" for c, value in rows[key].items() if after[name][key][c] != value)
    return found


def _named(name: str, row: dict[str, Any], how: str) -> str:
    if name != "outcome":
        return f"{name} {how}"
    return f"{row['status']}: {row['reason']}" + (" (gone)" if how == "gone" else "")


def said(ended: Ended) -> str:
    """The message of a user error, checked to be one: exit code 3, one message, one hint, no traceback."""
    assert ended.code == 3, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, ended.err
    assert "\nTry:  " in ended.err, ended.err
    return lines[0].removeprefix("Error: ")
