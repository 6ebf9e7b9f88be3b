"""What the program says before there is anything to train."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finetuning.program import main
from finetuning.stopping import run_lock
from tests.finetuning import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["--help"]])
def test_the_usage_is_one_manifest(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "MANIFEST.json" in capsys.readouterr().err


def test_a_wrong_manifest_is_told_by_its_field_before_torch_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"format": 1, "run": {"id": 1, "folder": "x"}, "model": {"paht": "x"}}))
    code = "import sys; from finetuning.program import main; print(main([sys.argv[1]]), 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["3", "False"]
    assert "model.paht: is not known; is it path?" in result.stderr


def test_the_program_runs_as_a_file_from_anywhere(tmp_path: Path) -> None:
    program = ROOT / "finetuning" / "train.py"
    result = subprocess.run(
        [sys.executable, str(program), "absent.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 3
    assert "absent.json cannot be read" in result.stderr


def test_a_run_that_another_trainer_holds_is_left_alone(
    tmp_path: Path, model_folder: Path, table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("finetuning.stopping.time.monotonic", iter(range(0, 1000, 10)).__next__)
    with run_lock(run):
        assert main([str(tiny.write_manifest(run, model_folder, table))]) == 3
    assert "Another trainer is at work" in capsys.readouterr().err
    assert not list(run.glob("*.spool.jsonl"))


def test_a_global_batch_that_cannot_be_dealt_is_told_and_kept_in_the_events(
    tmp_path: Path, model_folder: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    path = tiny.write_manifest(run, model_folder, table, optimization={"global_batch": 3, "micro_batch": 2})
    assert main([str(path)]) == 3
    assert "global_batch" in capsys.readouterr().err
    (ended,) = tiny.events(run, "ended")
    assert "multiple of 2" in ended["message"]


def test_a_bug_keeps_its_traceback_and_is_told(
    tmp_path: Path, model_folder: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr("finetuning.running.open_data", broken)
    run = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        main([str(tiny.write_manifest(run, model_folder, table))])
    assert tiny.events(run, "ended")[0]["message"] == "ZeroDivisionError: of nothing"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), "--micro-batch 1"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), "fewer --workers"),
    ],
)
def test_too_little_memory_has_a_hint(
    tmp_path: Path,
    model_folder: Path,
    table: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    hint: str,
) -> None:
    def fail(*_: object, note: Callable[[str], None], **__: object) -> None:
        note("Something to wait for.")
        raise error

    run = tmp_path / "run"
    monkeypatch.setattr("finetuning.running.train", fail)
    with pytest.raises(RuntimeError):
        main([str(tiny.write_manifest(run, model_folder, table))])
    told, ended = tiny.events(run)
    assert (told["kind"], told["message"]) == ("note", "Something to wait for.")
    assert hint in ended["hint"]


def test_last_events_that_find_no_room_are_told_without_a_traceback(
    tmp_path: Path, model_folder: Path, table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _line: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tiny.write_manifest(
        tmp_path / "run", model_folder, table, optimization={"global_batch": 3, "micro_batch": 2}
    )
    monkeypatch.setattr("finetuning.events.os.write", full)
    assert main([str(path)]) == 3
    told = capsys.readouterr().err
    assert "rank0.spool.jsonl: No space left on device" in told
    assert "Hint: Free some space, then resume." in told
