"""The shared phantom worlds, one in each arrangement."""

from __future__ import annotations

import pytest

from tests.phantoms import World, phantom_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return phantom_world(tmp_path_factory, "official")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> World:
    return phantom_world(tmp_path_factory, "published")
