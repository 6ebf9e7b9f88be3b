"""The undamaged phantom world, what prepare makes of each source of it, and fresh copies to damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from radvlm_cli.demo.world import write_world
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages import conversions
from tests.bad_input.trial import Content, Trial
from tests.phantoms import convert_here
from tests.stores import empty_store

FOLDERS = {
    "mimic": "MIMIC-CXR-JPG",
    "chexpert": "CheXpert",
    "chexpert-plus": "CheXpert",
    "imagenome": "CHEST_IMA",
    "mscxr": "MS-CXR",
    "vindr": "VinDr-CXR",
    "padchest": "PadChest",
    "padchest-gr": "PadChest",
    "openi": "NLMCXR",
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest phantom world in which no table is empty."""
    folder = tmp_path_factory.mktemp("undamaged") / "data"
    write_world(folder, seed=1, patients=3)
    return folder


@pytest.fixture(autouse=True)
def conversions_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no worker processes: they are tested elsewhere, and each takes a second."""
    monkeypatch.setattr(conversions, "run_pool", convert_here)


class Whole(NamedTuple):
    """What `prepare` makes of an undamaged source."""

    store: Path
    content: Content


Begin = Callable[[str], tuple[Trial, Content]]


@pytest.fixture(scope="session")
def undamaged() -> dict[str, Whole]:
    """By source; filled on demand."""
    return {}


@pytest.fixture
def begin(
    world: Path,
    undamaged: dict[str, Whole],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> Begin:
    """Begin a trial of a source: a copy of its folder, a store with what it needs, and the undamaged content."""

    def at(source: str, home: Path) -> Trial:
        needs = SOURCES[source]().info.needs
        if needs:
            shutil.copy(whole(needs[0]).store, home / "radvlm.db")
        else:
            empty_store(home / "radvlm.db")
        return Trial(world / FOLDERS[source], home, capsys)

    def whole(source: str) -> Whole:
        if source not in undamaged:
            trial = at(source, tmp_path_factory.mktemp(source))
            assert trial.prepare(source).code in (0, 4)
            undamaged[source] = Whole(trial.store, trial.content())
        return undamaged[source]

    def fresh(source: str) -> tuple[Trial, Content]:
        return at(source, tmp_path), whole(source).content

    return fresh
