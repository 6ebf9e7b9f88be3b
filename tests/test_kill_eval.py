"""SIGKILL of parents and workers of an evaluation: afterwards samples and texts are those of a whole one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from radvlm_cli.demo.world import write_world
from radvlm_cli.errors import StoreError
from radvlm_cli.stages import demo
from tests.stages.evaluation.evaluating import Bench, make_bench, rows, run_eval, script

PATIENCE_S = 600
"""For models that are real, on machines that are busy."""


class Command:
    """`radvlm eval` in a process of its own."""

    def __init__(self, bench: Bench, model: str, *options: str) -> None:
        words = [sys.executable, "-m", "radvlm_cli", "eval", "--model", model, "--batch", "2", *options]
        places = ["--data-dir", str(bench.data), "--store", str(bench.path)]
        self.bench = bench
        self.log = bench.folder / "eval.txt"
        with self.log.open("a") as log:
            self.process = subprocess.Popen([*words, *places], stdout=log, stderr=log)

    def wait_for(self, answered: int) -> None:
        """Until so many answers are in the spools, or it is over."""
        end = time.monotonic() + PATIENCE_S
        while self.answers() < answered and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        assert self.process.poll() is None, f"it was over too early: {self.log.read_text()[-2000:]}"

    def answers(self) -> int:
        """Answers in all spools."""
        spools = (self.bench.folder / "evaluations").glob("*/*.spool.jsonl")
        return sum(spool.read_text().count('"kind":"answer"') for spool in spools)

    def workers(self) -> list[int]:
        """Processes of workers of this store's runs."""
        return _processes(str(self.bench.folder / "evaluations"))

    def kill(self) -> None:
        """Kill the parent; its workers go with it."""
        self.process.kill()
        self.process.wait()
        end = time.monotonic() + 20
        while self.workers() and time.monotonic() < end:
            time.sleep(0.02)
        assert self.workers() == []

    def finish(self) -> None:
        """Wait for the end, which is a good one."""
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()[-3000:]


def _processes(argument: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if argument in words and "radvlm_cli.stages.answering.worker" in words:
                found.append(int(folder.name))
    return found


def _answers(bench: Bench) -> list[tuple[object, ...]]:
    sql = "SELECT test_set, position, sample_id, status, text, prompt, tokens_out FROM prediction_view ORDER BY 1, 2"
    return rows(bench, sql)


def _script(bench: Bench, images: int, delay: float) -> str:
    names = [f"{test_set}-i{n}" for test_set in ("reports", "findings", "talks") for n in range(images)]
    answers = {name: [f"{name} first", f"{name} then"] for name in names}
    return script(bench, answers=answers, delay=delay)


def kill_three_times(bench: Bench, model: str, answers: tuple[int, int, int], *options: str) -> None:
    """Kill an evaluation by two workers at so many answers: its parent, a worker, at last all; a single one ends it."""
    first = Command(bench, model, "--processes", "2", *options)
    first.wait_for(answers[0])
    first.kill()
    second = Command(bench, model, "--resume", "--processes", "2", *options)
    second.wait_for(answers[1])
    os.kill(second.workers()[0], signal.SIGKILL)
    second.wait_for(answers[2])
    for process in (*second.workers(), second.process.pid):
        os.kill(process, signal.SIGKILL)
    second.kill()
    assert rows(bench, "PRAGMA integrity_check") == [("ok",)]
    Command(bench, model, "--resume", "--processes", "1", *options).finish()


def scores(bench: Bench) -> list[tuple[object, ...]]:
    """Every metric of every test set, to the last bit."""
    sql = "SELECT test_set, metric, part, value, low, high, n, clusters FROM evaluation_result ORDER BY 1, 2, 3"
    return rows(bench, sql)


def _same_as_a_whole_one(killed: Bench, folder: Path, images: int) -> None:
    whole = make_bench(folder, images)
    run_eval(whole, model=_script(whole, images, 0.0), processes=1, batch="2")
    expected = _answers(whole)
    assert len(expected) == 5 * images
    assert len({row[4] for row in expected}) > 3 * images, "texts that differ, so that equal ones mean something"
    assert _answers(killed) == expected
    assert rows(killed, "SELECT count(*) FROM prediction") == [(5 * images,)]
    assert rows(killed, "SELECT DISTINCT status FROM evaluation") == [("complete",)]


def test_a_killed_evaluation_resumed_with_other_workers_is_that_of_one_never_killed(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "killed", 7)
    model = _script(bench, 7, 0.1)
    first = Command(bench, model, "--processes", "3")
    first.wait_for(4)
    first.kill()
    Command(bench, model, "--resume", "--processes", "2").finish()
    _same_as_a_whole_one(bench, tmp_path / "whole", 7)
    assert rows(bench, "SELECT count(*), max(resumed) FROM run WHERE command = 'eval'") == [(1, 1)]


@pytest.mark.slow
def test_parents_and_workers_killed_three_times_each(tmp_path: Path) -> None:
    images = 23
    bench = make_bench(tmp_path / "killed", images)
    model = _script(bench, images, 0.1)
    for number, workers in enumerate(("3", "4", "2"), 1):
        command = Command(bench, model, "--processes", workers, *(["--resume"] if number > 1 else []))
        command.wait_for(16 * number)
        os.kill(command.workers()[0], signal.SIGKILL)
        command.wait_for(16 * number + 8)
        command.kill()
        assert rows(bench, "PRAGMA integrity_check") == [("ok",)]
    last = Command(bench, model, "--resume", "--processes", "5")
    last.wait_for(80)
    os.kill(last.workers()[-1], signal.SIGKILL)
    last.finish()
    assert "samples are asked again" in last.log.read_text()
    _same_as_a_whole_one(bench, tmp_path / "whole", images)


@pytest.mark.slow
def test_a_trained_model_killed_three_times_ends_with_the_texts_and_scores_of_one_never_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("accelerate")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "STEPS", "150")
    whole, killed = Bench(tmp_path / "whole"), Bench(tmp_path / "killed")
    write_world(whole.data, patients=12, with_generated=False)
    demo.run_commands(whole.folder, whole.data)
    model = f"radvlm:{demo.train_tiny(whole.folder, whole.data)}"
    killed.folder.mkdir()
    shutil.copy(whole.path, killed.path)
    killed.data.symlink_to(whole.data)
    options = ("--gpus", "0", "--max-new-tokens", "60")
    Command(whole, model, "--processes", "2", *options).finish()
    expected = _answers(whole)
    count = len(expected)
    assert len({row[4] for row in expected}) > count / 4, "texts that differ, so that equal ones mean something"
    assert any(value for _, metric, _, value, *_ in scores(whole) if metric == "bleu_1")
    kill_three_times(killed, model, (count // 5, 2 * count // 5, 3 * count // 5), *options)
    assert _answers(killed) == expected
    assert scores(killed) == scores(whole)


@pytest.mark.slow
def test_a_second_parent_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "bench", 3)
    model = _script(bench, 3, 30.0)
    first = Command(bench, model, "--processes", "1", "--task", "report")
    while not first.workers() and first.process.poll() is None:
        time.sleep(0.02)
    with pytest.raises(StoreError, match="Run 3 is at work on reports"):
        run_eval(bench, model=model, processes=1, batch="2", task=["report"])
    first.kill()
    _script(bench, 3, 0.0)
    run_eval(bench, model=model, processes=1, batch="2", task=["report"])
    assert rows(bench, "SELECT count(*) FROM prediction") == [(3,)]
