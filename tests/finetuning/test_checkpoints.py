import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetuning.checkpoints import MANIFEST, Facts, check, clean_staging, newest, read, rotate, save
from finetuning.errors import CheckpointError

FACTS = Facts(
    step=0,
    consumed_samples=0,
    epoch=0.5,
    world_size=1,
    micro_batch=1,
    accumulation=4,
    global_batch=4,
    seed=0,
    data_sha256="da7a" * 16,
    model="0de1" * 16,
    strategy="zero2",
    versions={"torch": "2.13.0"},
)


def save_one(
    folder: Path, step: int, *, keep: int = 2, size: int = 3, content: bytes = b"w", **changed: object
) -> Path:
    def write(staging: Path) -> None:
        (staging / "deep").mkdir()
        (staging / "weights.bin").write_bytes(content * size)
        (staging / "deep" / "state.json").write_text("{}")

    facts = replace(FACTS, step=step, consumed_samples=4 * step, **changed)  # type: ignore[arg-type]
    return save(folder, step, write, facts=facts, rank=0, world=1, barrier=lambda: None, keep=keep)


def steps_of(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))


def test_a_saved_checkpoint_is_read_back_as_it_was_described(tmp_path: Path) -> None:
    path = save_one(tmp_path, 7)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.path == path == tmp_path / "checkpoint-7"
    assert checkpoint.facts == replace(FACTS, step=7, consumed_samples=28)
    assert checkpoint.files == {"weights.bin": 3, "deep/state.json": 2}
    assert checkpoint.bytes == 5
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint-7"]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "never") is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: (path / MANIFEST).unlink(), "cannot be read"),
        (lambda path: (path / MANIFEST).write_text('{"format": 1, "ste'), "cannot be read"),
        (lambda path: (path / MANIFEST).write_text('{"format": 1}'), "lacks 'step'"),
        (lambda path: (path / "weights.bin").unlink(), r"weights\.bin cannot be read"),
        (lambda path: (path / "weights.bin").write_bytes(b"ww"), r"weights\.bin has 2 bytes instead of 3"),
        (lambda path: (path / "weights.bin").write_bytes(b"www-".replace(b"-", b"")[:2] + b"x"), "has been changed"),
        (lambda path: shutil.rmtree(path / "deep"), r"deep/state\.json cannot be read"),
    ],
    ids=["no manifest", "torn manifest", "empty manifest", "lost file", "cut file", "changed file", "lost folder"],
)
def test_a_damaged_newest_one_falls_back_with_a_note(
    tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    save_one(tmp_path, 5)
    damage(save_one(tmp_path, 10))
    with pytest.raises(CheckpointError, match=words):
        check(read(tmp_path / "checkpoint-10"))
    notes: list[str] = []
    checkpoint = newest(tmp_path, notes.append)
    assert checkpoint is not None
    assert checkpoint.facts.step == 5
    assert len(notes) == 1
    assert "checkpoint-10" in notes[0]
    assert "going on from checkpoint-5" in notes[0]


def test_where_all_are_damaged_nothing_is_begun_anew_silently(tmp_path: Path) -> None:
    for step in (5, 10):
        (save_one(tmp_path, step) / "weights.bin").unlink()
    with pytest.raises(CheckpointError, match=r"No complete checkpoint is left: .*checkpoint-10.*checkpoint-5"):
        newest(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    path = save_one(tmp_path, 5) / MANIFEST
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CheckpointError, match="has format 2, this version reads 1"):
        read(path.parent)


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        save_one(tmp_path, step, keep=3)
    assert steps_of(tmp_path) == [6, 8, 10]


def test_rotation_never_goes_below_two_complete_ones(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        save_one(tmp_path, step, keep=9)
    (tmp_path / "checkpoint-6" / "weights.bin").unlink()
    assert rotate(tmp_path, 1) == [tmp_path / "checkpoint-2"]
    assert steps_of(tmp_path) == [4, 6, 8], "6 is damaged and does not count"
    save_one(tmp_path, 10, keep=2)
    assert steps_of(tmp_path) == [8, 10], "damaged ones behind two complete ones go"


def test_what_a_killed_run_left_is_removed_and_never_taken(tmp_path: Path) -> None:
    whole = save_one(tmp_path, 5)
    shutil.copytree(whole, tmp_path / ".staging-10")
    shutil.copytree(whole, tmp_path / ".removed-3")
    (tmp_path / ".given-up-4").write_text("full")
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.path == whole
    clean_staging(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
    clean_staging(tmp_path / "never")


def test_a_complete_checkpoint_of_the_same_step_is_not_written_again(tmp_path: Path) -> None:
    path = save_one(tmp_path, 5)
    before = (path / MANIFEST).stat().st_mtime_ns
    save_one(tmp_path, 5)
    assert (path / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("damaged", [True, False])
def test_another_one_of_the_same_step_is_replaced(tmp_path: Path, damaged: bool) -> None:
    path = save_one(tmp_path, 5)
    if damaged:
        (path / "weights.bin").unlink()
    save_one(tmp_path, 5, content=b"new", **({} if damaged else {"world_size": 2}))
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.path / "weights.bin").read_bytes() == b"newnewnew"
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_kill_between_the_two_renames_of_a_replacement_loses_nothing(tmp_path: Path) -> None:
    save_one(tmp_path, 5).rename(tmp_path / ".replaced-5")
    clean_staging(tmp_path)
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.facts.step == 5


def test_all_ranks_write_and_the_first_one_finishes(tmp_path: Path) -> None:
    barrier, order = threading.Barrier(3), []

    def rank(number: int) -> None:
        def write(staging: Path) -> None:
            (staging / f"shard-{number}").write_text(str(number))
            assert not (tmp_path / "checkpoint-5").exists()
            order.append(number)

        facts = replace(FACTS, step=5, world_size=3)
        save(tmp_path, 5, write, facts=facts, rank=number, world=3, barrier=lambda: _wait(barrier))

    ranks = [threading.Thread(target=rank, args=(number,)) for number in range(3)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join()
    assert sorted(order) == [0, 1, 2]
    assert set(read(tmp_path / "checkpoint-5").files) == {"shard-0", "shard-1", "shard-2"}


def _wait(barrier: threading.Barrier) -> None:
    barrier.wait(10)


def test_everything_is_on_disk_before_the_rename_and_the_rename_before_older_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save_one(tmp_path, step)
    done: list[str] = []
    sync, rename = os.fsync, Path.rename

    def noted_sync(handle: int) -> None:
        done.append("sync " + os.readlink(f"/proc/self/fd/{handle}").removeprefix(f"{tmp_path}"))
        sync(handle)

    def noted_rename(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name} {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    save_one(tmp_path, 3)
    manifest = done.index(f"sync /.staging-3/{MANIFEST}")
    written = ("", "/deep", "/deep/state.json", "/weights.bin")
    assert {f"sync /.staging-3{name}" for name in written} <= set(done[:manifest])
    assert done[manifest:] == [
        f"sync /.staging-3/{MANIFEST}",
        "sync /.staging-3",
        "rename .staging-3 checkpoint-3",
        "sync ",
        "rename checkpoint-1 .removed-1",
    ]


def test_nodes_that_do_not_share_the_folder_are_found_out(tmp_path: Path) -> None:
    facts = replace(FACTS, step=5, world_size=2)
    with pytest.raises(CheckpointError, match=r"Files of rank 1 are not in .*do not share"):
        save(tmp_path, 5, lambda _: None, facts=facts, rank=0, world=2, barrier=lambda: None)
    assert list(tmp_path.iterdir()) == []
