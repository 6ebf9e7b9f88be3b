"""SIGKILL at random moments of prepare and build: afterwards store and files are those of an uninterrupted run."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.phantoms import phantom_world

# Every column but row ids of artifacts, run ids and times: those tell when and by which run, not what.
CONTENT = {
    "image": "SELECT id, source, image_id, patient_id, study_id, split, view, root, path, width, height, sex, age, "
    "labels, status, reason FROM image ORDER BY id",
    "report": "SELECT id, source, study_id, patient_id, split, language, findings, impression, last_paragraph, "
    "comparison, history, text, origin FROM report ORDER BY id",
    "grounding": "SELECT source, image_id, ordinal, kind, split, label, phrase, boxes, detail FROM grounding "
    "ORDER BY 1, 2, 3",
    "curated_text": "SELECT c.id, c.source, study_id, text, c.origin, a.path FROM curated_text c "
    "LEFT JOIN artifact a ON a.id = artifact_id ORDER BY c.id",
    "conversation": "SELECT v.id, v.source, image_id, v.kind, split, turns, v.origin, a.path FROM conversation v "
    "LEFT JOIN artifact a ON a.id = artifact_id ORDER BY v.id",
    "artifact": "SELECT root, path, kind, origin, key, sha256, bytes FROM artifact WHERE root <> 'output' "
    "ORDER BY 1, 2",
    "outcome": "SELECT stage, subject, step, item, status, reason FROM outcome ORDER BY 1, 2, 3, 4",
    "step": "SELECT subject, step, fingerprint FROM step ORDER BY 1, 2",
    "dataset": "SELECT name, recipe, sha256, pairs, status FROM dataset ORDER BY name",
    "component": "SELECT position, name, found, unusable, leaked, removed, pairs, remark FROM component ORDER BY 1",
    "pair": "SELECT position, pair_id, component, image_id, report_id, curated_text_id, grounding, conversation_id "
    "FROM pair ORDER BY position",
    "leak": "SELECT component, image_id, level, shared, evaluation FROM leak ORDER BY 1, 2",
}


class Place(NamedTuple):
    """Where one trial works; the data are shared by all."""

    data: Path
    home: Path

    @property
    def store(self) -> Path:
        return self.home / "radvlm.db"

    def command(self, stage: str) -> list[str]:
        arguments = [
            sys.executable,
            "-m",
            "radvlm_cli",
            stage,
            "--data-dir",
            str(self.data),
            "--store",
            str(self.store),
        ]
        arguments += ["--derived-dir", str(self.home / "derived")]
        if stage == "prepare":
            return [*arguments, "--source", "all", "--workers", "2"]
        return [*arguments, "--output", str(self.home / "train")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_world(tmp_path_factory, "official").root


def _finish(place: Place, stage: str) -> float:
    begun = time.monotonic()
    result = subprocess.run(place.command(stage), capture_output=True, text=True, check=False)
    assert result.returncode in (0, 4), result.stderr
    return time.monotonic() - begun


def _kill_after(place: Place, stage: str, seconds: float) -> bool:
    """Whether the process was still at work when it was killed."""
    process = subprocess.Popen(place.command(stage), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def _content(place: Place) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(place.store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return {name: connection.execute(sql).fetchall() for name, sql in CONTENT.items()}


def _files(place: Place) -> Iterator[tuple[str, str]]:
    for folder in ("derived", "train"):
        for path in sorted((place.home / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(place.home).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()


def _killed_run(place: Place, rng: random.Random, kills: int, times: dict[str, float]) -> int:
    """Prepare and build with kills in between; returns how many kills met a process at work."""
    met = 0
    for stage, share in (("prepare", kills - kills // 2), ("build", kills // 2)):
        met += sum(_kill_after(place, stage, rng.uniform(0.1, 0.9) * times[stage]) for _ in range(share))
        _finish(place, stage)
    return met


def _compare(world: Path, tmp_path: Path, rounds: int, kills: int) -> None:
    # Every trial works at the same place, for the paths of images are part of the dataset.
    place = Place(world, tmp_path / "work")
    times = {stage: _finish(place, stage) for stage in ("prepare", "build")}
    expected, expected_files = _content(place), dict(_files(place))
    assert len(expected["pair"]) > 100
    met = 0
    for number in range(rounds):
        shutil.rmtree(place.home)
        met += _killed_run(place, random.Random(number), kills, times)
        content = _content(place)
        for table in CONTENT:
            assert content[table] == expected[table], table
        assert dict(_files(place)) == expected_files
    print(f"{met} of {rounds * kills} kills met a process at work")
    assert met >= rounds * kills // 2, "the kills came too late to test anything"


def test_a_killed_run_goes_on_to_the_same_end(world: Path, tmp_path: Path) -> None:
    _compare(world, tmp_path, rounds=1, kills=4)


@pytest.mark.slow
def test_fifty_kills_of_prepare_and_build_leave_no_trace(world: Path, tmp_path: Path) -> None:
    _compare(world, tmp_path, rounds=14, kills=4)
