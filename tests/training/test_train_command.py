"""radvlm train from the command line: done, stopped, killed, resumed; nothing lost, nothing twice, nobody left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from radvlm_cli.errors import StoreError
from radvlm_cli.progress import Silent, StopSignal
from radvlm_cli.stages.training import train as stage
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from tests.training.conftest import World


def _wait_for_steps(world: World, least: int, run: int = 1) -> None:
    """Until the program has made so many steps."""
    spool = world.runs / str(run) / "rank0.spool.jsonl"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if spool.exists() and spool.read_text().count('"kind":"step"') >= least:
            return
        time.sleep(0.02)
    pytest.fail("the program makes no steps")


def _gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def _trainer_pid(world: World, run: int = 1, rank: int = 0) -> int:
    return int((world.runs / str(run) / f"pid-{rank}").read_text())


def _finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _out, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_run_is_recorded_to_its_end(world: World) -> None:
    result = world.run(world.new("--max-steps", "10", "--processes", "2"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(world.runs / "1" / "final")
    assert "training (10)" in result.stderr
    assert "Warning: " in result.stderr, "there is no room for checkpoints of a 7B"
    assert world.query("SELECT status, message FROM run") == [("done", None)]
    assert world.steps() == list(range(1, 11))
    rows = world.query("SELECT step, status, path FROM checkpoint ORDER BY step")
    complete = [(step, path) for step, status, path in rows if status == "complete"]
    assert complete == [(step, str(world.runs / "1" / "checkpoints" / f"checkpoint-{step}")) for step in (8, 10)]
    assert world.query("SELECT loss, learning_rate, vision_learning_rate FROM training_step WHERE step = 4") == [
        (0.25, 1e-5, 2e-6)
    ]
    ((recipe, folder, pairs),) = world.query("SELECT recipe, folder, pairs FROM training")
    assert (recipe, folder, pairs) == ("tiny", str(world.runs / "1"), 64)
    manifest = json.loads((world.runs / "1" / "manifest.json").read_text())
    assert manifest["optimization"]["max_steps"] == 10
    assert manifest["checkpoints"] == {"every_minutes": None, "every_steps": 4, "keep": 2}


def test_what_was_left_out_or_kept_as_text_is_said_at_the_end_of_the_whole_run(world: World) -> None:
    world.tell("marked", "3")
    world.tell("crash", "6")
    world.run(world.new("--max-steps", "10"))
    (world.runs / "crash").unlink()
    result = world.run(world.words("--resume"))
    assert result.returncode == 0, result.stderr
    assert "2 pairs left out: the image file is missing" in result.stderr, "each once, however often it was met"
    assert "30 times a text held what reads like a special token" in result.stderr
    tally = dict(world.query("SELECT name, value FROM tally WHERE subject = 'training'"))
    assert tally == {"checkpoints": 2, "pairs dropped": 2, "special tokens in texts": 30, "steps": 10}


def test_a_store_that_is_locked_for_a_while_stops_no_training(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([StoreError("It is locked."), StoreError("It is locked."), None, None])

    def take(*_: object) -> None:
        if (error := next(looks)) is not None:
            raise error

    class Noted(Silent):
        def __init__(self) -> None:
            self.warned: list[str] = []

        def warn(self, message: str) -> None:
            self.warned.append(message)

    class Training:
        """Ends at the fourth look; nothing stops it."""

        looked = 0
        process = SimpleNamespace(wait=lambda _s: None)

        @property
        def ended(self) -> bool:
            self.looked += 1
            return self.looked == 4

    monkeypatch.setattr(stage, "_take", take)
    progress, launched = Noted(), Training()
    run = Run(store, 1, progress, StopSignal())
    stage._watch(run, tmp_path, launched, None, None)  # type: ignore[arg-type]
    assert launched.looked == 4
    (warning,) = progress.warned
    assert warning.startswith("It is locked. Training goes on")

    looks = iter([StoreError("It is locked.", "Wait.")])
    with pytest.raises(StoreError, match="It is locked") as caught:
        stage._watch(run, tmp_path, SimpleNamespace(ended=True), None, None)  # type: ignore[arg-type]
    assert caught.value.hint == "Mend that, then: radvlm train --resume --run 1"


def test_ctrl_c_saves_and_resume_goes_on_to_the_same_end(world: World) -> None:
    world.tell("step_s", "0.1")
    process = world.start(world.new("--max-steps", "40"))
    _wait_for_steps(world, 3)
    process.send_signal(signal.SIGINT)
    code, err = _finish(process)
    assert code == 130
    assert "radvlm train --resume --run 1" in err
    assert world.query("SELECT status FROM run") == [("interrupted",)]
    stopped = max(world.steps())
    assert world.query("SELECT max(step) FROM checkpoint WHERE status = 'complete'") == [(stopped,)]
    world.tell("step_s", "0.01")
    result = world.run(world.words("--resume", "--processes", "2", "--workers", "7", "--micro-batch", "2"))
    assert result.returncode == 0, result.stderr
    assert world.steps() == list(range(1, 41))
    assert world.query("SELECT id, status, resumed FROM run") == [(1, "done", 1)]
    starts = world.query("SELECT body FROM event WHERE kind = 'started' ORDER BY offset")
    assert [json.loads(body)["resumed_from"] for (body,) in starts] == [None, stopped]
    assert json.loads((world.runs / "1" / "manifest.json").read_text())["data"]["workers"] == 7


def test_ctrl_c_twice_ends_all_at_once_and_what_was_done_again_counts_once(world: World) -> None:
    world.tell("step_s", "0.3")
    process = world.start(world.new("--max-steps", "20"))
    _wait_for_steps(world, 6)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, err = _finish(process)
    assert code == 130
    assert "stopped at once; it goes on from checkpoint-4" in err
    assert _gone(_trainer_pid(world))
    world.tell("step_s", "0.01")
    assert world.run(world.words("--resume")).returncode == 0
    assert world.steps() == list(range(1, 21))
    assert world.query("SELECT count(*) > 20 FROM event WHERE kind = 'step'") == [(1,)], "steps 5 on were done twice"


def test_a_killed_launcher_leaves_nobody_and_loses_no_step(world: World) -> None:
    world.tell("step_s", "0.1")
    process = world.start(world.new("--max-steps", "30", "--processes", "2"))
    _wait_for_steps(world, 9)
    process.kill()
    process.communicate()
    assert _gone(_trainer_pid(world))
    written = (world.runs / "1" / "rank0.spool.jsonl").read_text().count('"kind":"step"')
    world.tell("step_s", "0.01")
    result = world.run(world.words("--resume", "--run", "1"))
    assert result.returncode == 0, result.stderr
    assert world.steps() == list(range(1, 31))
    ((events,),) = world.query("SELECT count(*) FROM event WHERE kind = 'step'")
    assert events == written + 30 - 8, "the spool of the killed run was not taken in whole"
    assert world.query("SELECT status, resumed FROM run") == [("done", 1)]


def test_one_run_has_one_trainer_but_two_runs_train_side_by_side(world: World) -> None:
    world.tell("step_s", "0.2")
    first = world.start(world.new("--max-steps", "1000"))
    _wait_for_steps(world, 1)
    refused = world.run(world.words("--resume", "--run", "1"))
    assert refused.returncode == 3
    assert "at work" in refused.stderr
    second = world.start(world.new("--max-steps", "1000"))
    _wait_for_steps(world, 1, run=2)
    for run, process in ((2, second), (1, first)):
        assert world.run(world.words("--stop", str(run))).returncode == 0
        code, err = _finish(process)
        assert code == 130
        assert f"--resume --run {run}" in err
        assert "as asked" in err
    listed = json.loads(world.run(world.words("--list", "--json")).stdout)
    assert [(line["run"], line["state"], line["steps"]) for line in listed] == [
        (1, "interrupted", 1000),
        (2, "interrupted", 1000),
    ]
    assert all(line["checkpoint"] == line["step"] for line in listed)


def test_a_failure_is_told_in_the_programs_words(world: World) -> None:
    world.tell("fail", "The weights do not fit.")
    result = world.run(world.new("--max-steps", "5"))
    assert result.returncode == 3
    assert "Error: The weights do not fit." in result.stderr
    assert "Mend it." in result.stderr
    assert world.query("SELECT status, message FROM run") == [("failed", "The weights do not fit.")]


def test_a_crash_is_told_and_resumed_from_the_last_checkpoint(world: World) -> None:
    world.tell("crash", "6")
    result = world.run(world.new("--max-steps", "9"))
    assert result.returncode == 3
    assert "without a word" in result.stderr
    assert "radvlm train --resume --run 1" in result.stderr
    (world.runs / "crash").unlink()
    assert world.run(world.words("--resume")).returncode == 0
    assert world.steps() == list(range(1, 10))


def test_a_resume_with_other_settings_is_refused_by_name(world: World) -> None:
    world.tell("crash", "6")
    world.run(world.new("--max-steps", "9"))
    result = world.run(world.words("--resume", "--learning-rate", "0.5"))
    assert result.returncode == 3
    assert "optimization.learning_rate: was 0.003, now 0.5" in result.stderr
    assert world.query("SELECT status FROM run") == [("failed",)]


def test_a_resume_takes_the_batch_that_was_allowed_to_change(world: World) -> None:
    world.tell("crash", "6")
    world.run(world.new("--max-steps", "9"))
    (world.runs / "crash").unlink()
    refused = world.run(world.words("--resume", "--global-batch", "16"))
    assert refused.returncode == 3
    result = world.run(world.words("--resume", "--global-batch", "16", "--allow-changed", "global-batch"))
    assert result.returncode == 0, result.stderr
    manifest = json.loads((world.runs / "1" / "manifest.json").read_text())
    assert manifest["resume"] == {"allow_changed": ["global_batch"]}
    ((arguments,),) = world.query("SELECT arguments FROM run")
    assert json.loads(arguments)["optimization.global_batch"] == 16


def test_there_is_nothing_to_resume_after_a_run_that_is_done(world: World) -> None:
    assert world.run(world.new("--max-steps", "2")).returncode == 0
    for options, said in ((("--resume",), "no training run to resume"), (("--resume", "--run", "1"), "is done")):
        result = world.run(world.words(*options))
        assert result.returncode == 3
        assert said in result.stderr


def test_the_folder_of_another_stores_run_is_left_alone(world: World) -> None:
    (world.runs / "1").mkdir()
    (world.runs / "1" / "manifest.json").write_text("{}")
    assert world.run(world.new("--max-steps", "2")).returncode == 0
    assert (world.runs / "1" / "manifest.json").read_text() == "{}"
    assert world.query("SELECT folder FROM training") == [(str(world.runs / "1-2"),)]


def test_preflight_measures_three_steps_and_leaves_nothing(world: World) -> None:
    world.store.unlink()
    before = set(os.listdir(world.runs))
    result = world.run(world.new("--preflight", "--json"))
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    assert measured["memory_gib"] == 3.5
    assert measured["steps"] == 36, "of the real run: 4.5 epochs of 64 pairs, 8 at a time"
    assert set(os.listdir(world.runs)) == before
    assert not world.store.exists()


def test_stop_of_a_run_that_is_not_at_work_says_so(world: World) -> None:
    world.run(world.new("--max-steps", "2"))
    result = world.run(world.words("--stop", str(world.runs / "1")))
    assert result.returncode == 3
    assert "not at work: it is done" in result.stderr
    assert not (world.runs / "1" / "stop").exists()
