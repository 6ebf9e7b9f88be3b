"""Fixtures that every area uses."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import Run, open_run
from tests.stores import empty_store

if TYPE_CHECKING:
    from tests.stages.evaluation.evaluating import Bench

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests leaks in."""
    for name in os.environ:
        if (
            name == "DATA_DIR"
            or name.startswith(("RADVLM_", "AZURE_", "OPENAI_"))
            or name.casefold().endswith("_proxy")
        ):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with open_store(empty_store(tmp_path / "store" / "radvlm.db")) as store:
        yield store


@pytest.fixture
def run(store: Store) -> Iterator[Run]:
    """A run of a test command in an empty store."""
    with open_run(store, "test", {}) as run:
        yield run


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A store that nothing was evaluated in; the copies of it look for pictures here."""
    from tests.stages.evaluation.evaluating import make_bench  # only those who evaluate wait for it to load

    return make_bench(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def bench(pristine: Bench, tmp_path: Path) -> Bench:
    """A copy of it."""
    return type(pristine)(shutil.copytree(pristine.folder, tmp_path / "bench"))
