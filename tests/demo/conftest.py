"""Two small phantom worlds, one in each arrangement, made once a session."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from radvlm_cli.demo.world import write_world

PATIENTS = 8


class World(NamedTuple):
    root: Path
    manifest: dict[str, Any]

    def case(self, source: str, name: str) -> str:
        return str(self.manifest["cases"][source][name])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("official")
    return World(root, write_world(root, seed=5, patients=PATIENTS))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("published")
    return World(root, write_world(root, seed=5, patients=PATIENTS, arrangement="published"))
