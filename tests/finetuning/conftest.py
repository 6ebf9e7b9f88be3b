"""What several tests of the training program share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.finetuning import tiny


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model with its tokenizer; not to be changed."""
    return tiny.make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 12 pairs and its pictures; not to be changed."""
    return tiny.make_table(tmp_path_factory.mktemp("data") / "train.parquet")
