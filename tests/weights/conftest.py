"""Weights are tensors: these tests need torch and transformers, and skip where they are not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.weights.originals import ORIGINAL, run_convert, tensors_of, write_single


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint, converted."""
    return run_convert(ORIGINAL, tmp_path_factory.mktemp("golden") / "model").output


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoint as one file, for tests that leave it as it is."""
    return write_single(tmp_path_factory.mktemp("single") / "model", tensors_of(ORIGINAL))
