"""Weights are tensors: these tests need torch and transformers, and are left out where they are not installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.weights.originals import ORIGINAL, run_convert, tensors_of, write_single

collect_ignore_glob = [] if find_spec("torch") and find_spec("transformers") else ["test_*.py"]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint, converted."""
    return run_convert(ORIGINAL, tmp_path_factory.mktemp("golden") / "model").output


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint as one file, for tests that leave it as it is."""
    return write_single(tmp_path_factory.mktemp("single") / "model", tensors_of(ORIGINAL))
