"""The table: the builder's Parquet file, mapped into memory."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from finetuning import table as module
from finetuning.chat import Turn
from finetuning.errors import DataError
from finetuning.table import COLUMNS, Table, open_table
from tests.finetuning.datasets import Given, write_table

PAIRS = [
    Given(f"/data/{n}.jpg", (f"Question {n}?", f"Answer {n}.") * (1 + n % 3), task=f"t{n // 5}") for n in range(20)
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_table(tmp_path / "train.parquet", PAIRS)


def test_any_row_is_what_the_builder_wrote(source: Path, tmp_path: Path) -> None:
    table = open_table(source, tmp_path / "cache")
    assert len(table) == 20
    for number in (19, 0, 7, 8, 7):
        row, given = table.row(number), PAIRS[number]
        assert (row.pair_id, row.image, row.task) == (f"p{number}", given.image, given.task)
        assert row.turns[0] == Turn("human", f"<image>\nQuestion {number}?")
        assert [turn.text for turn in row.turns[1:]] == list(given.turns[1:])


def test_rows_are_found_on_either_side_of_a_batchs_end(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 4)
    table = open_table(source, tmp_path / "cache")
    assert len(table.batches) == 5
    assert [table.row(number).pair_id for number in range(20)] == [f"p{number}" for number in range(20)]


@pytest.mark.parametrize("number", [-1, 20, 10**9])
def test_a_row_that_is_not_there_is_an_index_error(source: Path, tmp_path: Path, number: int) -> None:
    with pytest.raises(IndexError, match="of 20"):
        open_table(source, tmp_path / "cache").row(number)


def test_the_copy_is_made_once_and_found_by_its_hash_without_the_source(source: Path, tmp_path: Path) -> None:
    first = open_table(source, tmp_path / "cache")
    made = first.path.stat()
    open_table(source, tmp_path / "cache")
    assert first.path.stat().st_ino == made.st_ino
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    assert first.sha256 == sha256
    source.unlink()
    again = open_table(source, tmp_path / "cache", sha256=sha256)
    assert again.path == first.path
    assert again.row(3) == first.row(3)


def test_another_file_than_the_one_meant_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the file that the run was started with"):
        open_table(source, tmp_path / "cache", sha256="0" * 64)
    assert not (tmp_path / "cache").exists()


def test_a_changed_file_gets_a_copy_of_its_own(source: Path, tmp_path: Path) -> None:
    first = open_table(source, tmp_path / "cache")
    second = open_table(write_table(source, PAIRS[:5]), tmp_path / "cache")
    assert first.path != second.path
    assert (len(first), len(second)) == (20, 5)


def test_a_worker_that_is_handed_the_table_maps_it_anew(source: Path, tmp_path: Path) -> None:
    table = open_table(source, tmp_path / "cache")
    shipped = pickle.dumps(table)
    assert len(shipped) < 1000
    assert pickle.loads(shipped).row(5) == table.row(5)


def test_nothing_is_left_of_a_copy_that_fails(tmp_path: Path) -> None:
    source = tmp_path / "bad.parquet"
    parquet.write_table(pa.table({"id": ["a"]}), source)
    with pytest.raises(DataError, match=r"has no column image, conversations"):
        open_table(source, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize(("content", "message"), [(None, "No such file"), (b"[]", "not a Parquet file")])
def test_what_is_no_table_is_told_with_the_way_out(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "train.parquet"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_table(source, tmp_path / "cache")
    assert "radvlm build" in str(caught.value.hint)


def test_a_pair_without_an_image_is_refused(source: Path, tmp_path: Path) -> None:
    table = parquet.read_table(source)
    at = table.schema.get_field_index("image")
    holed = table.set_column(at, "image", pa.array([None, *table["image"].to_pylist()[1:]], pa.string()))
    parquet.write_table(holed, source)
    with pytest.raises(DataError, match="without id, image"):
        open_table(source, tmp_path / "cache")


def _open(arguments: tuple[Path, Path]) -> tuple[int, str]:
    table = open_table(*arguments)
    return len(table), table.row(0).pair_id


def test_many_processes_at_once_make_one_copy(source: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.map(_open, [(source, tmp_path / "cache")] * 6)
    assert found == [(20, "p0")] * 6
    assert len(list((tmp_path / "cache").glob("*.arrow"))) == 1
    assert not list((tmp_path / "cache").glob(".*"))


def test_the_copy_holds_what_training_reads_and_nothing_of_the_patients(source: Path, tmp_path: Path) -> None:
    assert open_table(source, tmp_path / "cache").batches[0].schema.names == list(COLUMNS)


def test_an_empty_dataset_is_a_table_of_no_rows(tmp_path: Path) -> None:
    table = open_table(write_table(tmp_path / "none.parquet", []), tmp_path)
    assert isinstance(table, Table)
    assert len(table) == 0


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    def write() -> None:
        with module.replacing(tmp_path / "copy.arrow") as stream:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"copy\.arrow cannot be written: No space left") as caught:
        write()
    assert caught.value.hint == "Free some space, then resume."
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_half_written_goes_and_what_another_is_writing_stays(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = os.uname().nodename
    left, live = (tmp_path / f".copy.arrow.{host}.{pid}" for pid in (int(dead.stdout), os.getppid()))
    left.touch()
    live.touch()
    with module.replacing(tmp_path / "copy.arrow") as stream:
        stream.write(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [live.name, "copy.arrow"]
