"""A full disk: a clear error; once there is space the same command ends as if nothing had been."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from radvlm_cli.store import engine
from tests.bad_input.conftest import Begin
from tests.bad_input.trial import Trial, differences, said


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, the store among them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def store_limit(pages: int) -> Iterator[None]:
    """The store may grow to so many pages of 4 KiB and no further."""
    connect = engine.connect_engine

    def limited(path: Path) -> Engine:
        made = connect(path)
        event.listen(made, "connect", lambda raw, _record: raw.execute(f"PRAGMA max_page_count={pages}").close())
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "connect_engine", limited)
        yield


def _no_space(_handle: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _files(trial: Trial) -> dict[str, bytes]:
    folders = (trial.home / "train", trial.home / "derived")
    return {str(p.relative_to(trial.home)): p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file()}


def test_a_disk_that_is_full_at_the_end_of_a_build(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    assert trial.build().code == 0
    whole = _files(trial)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _no_space)
        assert "No space left on device" in said(trial.build("--seed", "1"))
    assert _files(trial) == whole, "the dataset that was there is spoilt"
    assert trial.build("--seed", "1").code == 0
    assert trial.build().code == 0
    assert _files(trial) == whole


def test_a_disk_that_is_full_in_the_middle_of_a_build(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    trial.prepare("chexpert")
    with file_size_limit(2000):
        said(trial.build())
    assert not _files(trial)
    assert trial.build().code == 0
    assert len(_files(trial)) == 3


def test_a_disk_that_is_full_while_images_are_converted(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, undamaged = begin("vindr")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", lambda _self, _target: _no_space(0))
        ended = trial.prepare("vindr")
    assert "No space left on device" in said(ended)
    assert not _files(trial)
    trial.prepare("vindr")
    assert not differences(undamaged, trial.content())


def test_a_disk_that_is_full_when_derived_files_are_written(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, undamaged = begin("mimic")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _no_space)
        assert "No space left on device" in said(trial.prepare("mimic"))
    trial.prepare("mimic")
    assert not differences(undamaged, trial.content())
    assert list((trial.home / "derived").rglob("reports.csv"))


@pytest.mark.parametrize("pages", [32, 36, 40])
def test_a_store_that_cannot_grow(begin: Begin, pages: int) -> None:
    trial, undamaged = begin("mimic")
    with store_limit(pages):
        assert "database or disk is full" in said(trial.prepare("mimic"))
    assert trial.prepare("mimic").code == 0
    assert not differences(undamaged, trial.content())
