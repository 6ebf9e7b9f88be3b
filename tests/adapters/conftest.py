"""What tests of adapters share."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radvlm_cli.adapters.protocol import Loading, Request
from radvlm_cli.records import Turn
from tests.finetuning import tiny


@pytest.fixture(scope="session")
def onevision_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaVA-OneVision as a run has it in RUN/final; not to be changed."""
    return tiny.make_model(tmp_path_factory.mktemp("onevision"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Noise of several sizes, so of several numbers of tiles; the last but one in colour; not to be changed."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for number, shape in enumerate(((120, 90), (56, 56), (56, 300), (130, 130, 3), (210, 150))):
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


@pytest.fixture
def copied(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint of the tests' own module, to spoil."""
    return Path(shutil.copytree(checkpoint, tmp_path / "copied"))


def loading(*weights: Path, **changes: object) -> Loading:
    """How to load on the CPU in float32."""
    return Loading(weights, "cpu", "float32")._replace(**changes)


def request(image: Path, *texts: str, key: str = "one") -> Request:
    """A request whose turns are `texts`, human first."""
    turns = tuple(Turn(("human", "gpt")[number % 2], text) for number, text in enumerate(texts))  # type: ignore[arg-type]
    return Request(key, image, turns, "conversation" if len(texts) > 1 else "report")
