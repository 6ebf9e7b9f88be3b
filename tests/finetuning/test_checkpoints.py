import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetuning.checkpoints import MANIFEST, Facts, check, clean_staging, newest, read, rotate, save
from finetuning.continuity import model_fingerprint, refuse_changes
from finetuning.errors import CheckpointError
from finetuning.space import refuse_if_full

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


def _save(folder: Path, step: int, *, keep: int = 2, size: int = 3, content: bytes = b"w", **changed: object) -> Path:
    def write(staging: Path) -> None:
        (staging / "deep").mkdir()
        (staging / "weights.bin").write_bytes(content * size)
        (staging / "deep" / "state.json").write_text("{}")

    facts = replace(FACTS, step=step, consumed_samples=4 * step, **changed)  # type: ignore[arg-type]
    return save(folder, step, write, facts=facts, rank=0, world=1, barrier=lambda: None, keep=keep)


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*"))


def test_a_saved_checkpoint_is_read_back_as_it_was_described(tmp_path: Path) -> None:
    path = _save(tmp_path, 7)
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
    _save(tmp_path, 5)
    damage(_save(tmp_path, 10))
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
        (_save(tmp_path, step) / "weights.bin").unlink()
    with pytest.raises(CheckpointError, match=r"No complete checkpoint is left: .*checkpoint-10.*checkpoint-5"):
        newest(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, 5) / MANIFEST
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CheckpointError, match="has format 2, this version reads 1"):
        read(path.parent)


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8, 10):
        _save(tmp_path, step, keep=3)
    assert _steps(tmp_path) == [6, 8, 10]


def test_rotation_never_goes_below_two_complete_ones(tmp_path: Path) -> None:
    for step in (2, 4, 6, 8):
        _save(tmp_path, step, keep=9)
    (tmp_path / "checkpoint-6" / "weights.bin").unlink()
    assert rotate(tmp_path, 1) == [tmp_path / "checkpoint-2"]
    assert _steps(tmp_path) == [4, 6, 8], "6 is damaged and does not count"
    _save(tmp_path, 10, keep=2)
    assert _steps(tmp_path) == [8, 10], "damaged ones behind two complete ones go"


def test_what_a_killed_run_left_is_removed_and_never_taken(tmp_path: Path) -> None:
    whole = _save(tmp_path, 5)
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
    path = _save(tmp_path, 5)
    before = (path / MANIFEST).stat().st_mtime_ns
    _save(tmp_path, 5)
    assert (path / MANIFEST).stat().st_mtime_ns == before


@pytest.mark.parametrize("damaged", [True, False])
def test_another_one_of_the_same_step_is_replaced(tmp_path: Path, damaged: bool) -> None:
    path = _save(tmp_path, 5)
    if damaged:
        (path / "weights.bin").unlink()
    _save(tmp_path, 5, content=b"new", **({} if damaged else {"world_size": 2}))
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert (checkpoint.path / "weights.bin").read_bytes() == b"newnewnew"
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_kill_between_the_two_renames_of_a_replacement_loses_nothing(tmp_path: Path) -> None:
    _save(tmp_path, 5).rename(tmp_path / ".replaced-5")
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
        _save(tmp_path, step)
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
    _save(tmp_path, 3)
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


def _fail_with(error: Exception) -> Callable[[Path], None]:
    def write(staging: Path) -> None:
        (staging / "weights.bin").write_bytes(bytes(1 << 20))
        raise error

    return write


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["disk", "quota", "safetensors"],
)
def test_a_disk_that_fills_up_is_told_and_leaves_the_older_ones(tmp_path: Path, error: Exception) -> None:
    _save(tmp_path, 5, size=3 << 20)
    facts = replace(FACTS, step=10)
    with pytest.raises(CheckpointError, match=r"1\.0 MiB was written .* The last checkpoint takes 3\.0 MiB") as told:
        save(tmp_path, 10, _fail_with(error), facts=facts, rank=0, world=1, barrier=lambda: None)
    assert told.value.hint is not None
    assert not (tmp_path / ".staging-10").exists()
    checkpoint = newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.facts.step == 5
    _save(tmp_path, 10)
    assert _steps(tmp_path) == [5, 10]


def test_another_error_while_writing_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        save(tmp_path, 5, _fail_with(ZeroDivisionError()), facts=FACTS, rank=0, world=1, barrier=lambda: None)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_another_one_pulls_along_tells_the_same_reason(tmp_path: Path) -> None:
    def write(staging: Path) -> None:
        shutil.rmtree(staging)
        (tmp_path / ".given-up-5").write_text("No space left for it")
        (staging / "weights.bin").write_bytes(b"w")

    with pytest.raises(CheckpointError, match="No space left for it"):
        save(tmp_path, 5, write, facts=FACTS, rank=1, world=2, barrier=lambda: None)


def test_a_checkpoint_that_cannot_fit_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No room for .*checkpoint-5: .* is missing"):
        refuse_if_full(tmp_path / "not" / "yet", "checkpoint-5", 1 << 60)
    refuse_if_full(tmp_path, "checkpoint-5", 1)
    refuse_if_full(tmp_path, "checkpoint-5", None)


FILL_A_DISK = """
import sys
from dataclasses import replace
from pathlib import Path
from finetuning.checkpoints import save
from finetuning.errors import CheckpointError
from tests.finetuning.test_checkpoints import FACTS

def attempt(step, size):
    def write(staging):
        if sys.argv[2] == "torch":
            import torch
            torch.save(torch.zeros(size, dtype=torch.uint8), staging / "optimizer.pt")
        else:
            (staging / "optimizer.pt").write_bytes(bytes(size))
    facts = replace(FACTS, step=step)
    save(folder, step, write, facts=facts, rank=0, world=1, barrier=lambda: None)

folder = Path(sys.argv[1])
attempt(1, 1 << 20)
try:
    attempt(2, 4 << 20)
except CheckpointError as error:
    print(error.message)
print(sorted(path.name for path in folder.iterdir()))
"""


@pytest.mark.parametrize("writer", ["plain", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_really_full_disk(tmp_path: Path, writer: str) -> None:
    """torch has an error of its own for it, which does not name the cause."""
    mounted = f'mount -t tmpfs -o size=4m none "{tmp_path}" && exec "$@"'
    program = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*program, "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [*program, sys.executable, "-c", FILL_A_DISK, str(tmp_path), writer],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root}/src"},
    )
    first, second = result.stdout.splitlines()
    assert first.startswith("No space left for ")
    assert "The last checkpoint takes 1.0 MiB" in first
    assert second == "['.given-up-2', 'checkpoint-1']"


@pytest.mark.parametrize(
    ("change", "allowed", "words"),
    [
        ({"data_sha256": "ff" * 32}, (), "other data: da7ada7ada7a..., now ffffffffffff..."),
        ({"global_batch": 8}, ("data",), "another global batch: 4, now 8"),
        ({"model": "ff" * 32}, ("data", "global_batch", "model"), "another model or adapter"),
        ({"seed": 1}, ("seed",), "another seed"),
        ({"strategy": "zero3"}, (), "zero2, now zero3"),
    ],
)
def test_changes_that_would_make_it_another_training_are_refused(
    change: dict[str, object], allowed: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words) as told:
        refuse_changes(FACTS, replace(FACTS, **change), allowed)  # type: ignore[arg-type]
    assert told.value.hint is not None


def test_what_may_change_is_remarked(tmp_path: Path) -> None:
    assert refuse_changes(FACTS, replace(FACTS, world_size=8, micro_batch=2, accumulation=1)) == []
    now = replace(FACTS, global_batch=8, versions={"torch": "2.14.0", "peft": "1"})
    remarks = refuse_changes(FACTS, now, ["global_batch"])
    assert remarks == [
        "checkpoint-0 was made with another global batch: 4, now 8 (allowed).",
        "checkpoint-0 was made with torch 2.13.0, now 2.14.0.",
    ]


def test_the_fingerprint_of_a_model_knows_its_weights_and_adapter(tmp_path: Path) -> None:
    def model(name: str, last: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(3 << 20) + last)
        return folder

    first = model_fingerprint(model("a", b"1"))
    assert model_fingerprint(model("elsewhere", b"1")) == first
    assert model_fingerprint(model("b", b"2")) != first
    assert model_fingerprint(tmp_path / "a", {"kind": "lora", "rank": 8}) != first
