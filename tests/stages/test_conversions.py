"""Conversions in many processes: order, crashes, adoption, options."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError, Interrupted
from radvlm_cli.sources import SOURCES, Conversion, Options, conversion_pool
from radvlm_cli.sources.conversion_pool import run_pool
from radvlm_cli.sources.dicom import Converted
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.stages import conversions
from radvlm_cli.stages.conversions import convert_images
from radvlm_cli.stages.prepare import prepare
from radvlm_cli.store.runs import Run
from tests.phantoms import convert_here, phantom_world


def _stand_in(source: Path, target: Path, *, size: int, square: bool) -> Converted:
    """A conversion that dies on some files, as a decoder may."""
    if "crash" in source.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return Converted(size, size, source.name, 1, None)


def _die(_parent: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _jobs(*names: str) -> list[Conversion]:
    return [Conversion(name, Path(name), Path(f"{name}.jpg")) for name in names]


def test_results_come_in_the_order_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_pool, "convert", _stand_in)
    jobs = _jobs(*(str(number) for number in range(40)))
    assert [job.image_id for job, _result in run_pool(jobs, Options(), 2)] == [job.image_id for job in jobs]


def test_a_file_that_crashes_its_decoder_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_pool, "convert", _stand_in)
    jobs = _jobs("a", "crash-1", "b", "crash-2")
    problems = {job.image_id: result.problem for job, result in run_pool(jobs, Options(), 2)}
    crashed = "the decoder crashed on this file"
    assert problems == {"a": None, "crash-1": crashed, "b": None, "crash-2": crashed}


def test_processes_that_cannot_start_are_not_blamed_on_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_pool, "_begin_worker", _die)
    with pytest.raises(DataError, match="end as soon as they start"):
        list(run_pool(_jobs("a", "b"), Options(), 2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_world(tmp_path_factory, "official").root


def _layout(data: Path, derived: Path) -> Layout:
    return locate(SOURCES["vindr"]().info, data, derived)


def _prepare(run: Run, data: Path, derived: Path, options: Options) -> None:
    prepare(run, sources=("vindr",), data_dir=data, derived_dir=derived, options=options, workers=2)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversions, "run_pool", convert_here)


@pytest.mark.usefixtures("in_this_process")
def test_other_options_convert_again_and_the_same_ones_do_not(run: Run, data: Path, tmp_path: Path) -> None:
    _prepare(run, data, tmp_path, Options(size=64))
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert first
    _prepare(run, data, tmp_path, Options(size=64))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")} == first
    _prepare(run, data, tmp_path, Options(size=96))
    assert all(path.stat().st_mtime_ns != time for path, time in first.items())


@pytest.mark.usefixtures("in_this_process")
def test_jpegs_of_the_published_layout_are_adopted_with_their_resolutions(run: Run, data: Path, tmp_path: Path) -> None:
    _prepare(run, data, tmp_path / "first", Options(size=64))
    with run.store.write() as connection:
        for table in ("grounding", "image", "artifact", "step", "outcome"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    _prepare(run, data, tmp_path / "first", Options(size=1024))
    origins = run.store.rows("SELECT origin, count(*) FROM artifact WHERE kind = 'image' GROUP BY origin")
    present = run.store.value("SELECT count(*) FROM image WHERE status = 'present' AND width IS NOT NULL")
    assert dict(origins) == {"adopted": present}


def test_a_stop_keeps_what_is_finished(run: Run, data: Path, tmp_path: Path) -> None:
    source = SOURCES["vindr"]()
    prepare(run, sources=("vindr",), data_dir=data, derived_dir=tmp_path, options=Options(tables_only=True), workers=1)
    run.stop.requested = True
    with pytest.raises(Interrupted):
        convert_images(run, source, _layout(data, tmp_path), Options(size=64), workers=2)
    run.stop.requested = False
    convert_images(run, source, _layout(data, tmp_path), Options(size=64), workers=2)
    files = len(list(tmp_path.rglob("*.jpg")))
    assert run.store.value("SELECT count(*) FROM image WHERE status = 'present'") == files > 0
