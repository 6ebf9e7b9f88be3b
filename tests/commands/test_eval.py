"""The command line of `radvlm eval`, over a small store."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import run
from tests.fakes import judges
from tests.fakes.openai_server import FakeOpenAI
from tests.stages.evaluation.evaluating import Bench, rows, script

ROOT = Path(__file__).parents[2]


class Said:
    """Runs the command line; what it prints."""

    def __init__(self, bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
        self._places = ["--data-dir", str(bench.data), "--store", str(bench.path)]
        self._capsys = capsys
        self.err = ""

    def __call__(self, *options: str, code: int = 0) -> str:
        assert run(["eval", *options, *self._places]) == code, self._capsys.readouterr().err
        captured = self._capsys.readouterr()
        self.err = captured.err
        return captured.out

    def json(self, *options: str, code: int = 0) -> Any:
        return json.loads(self(*options, "--json", code=code))


@pytest.fixture
def said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(bench, capsys)


def test_a_dry_run_shows_the_published_counts_and_the_prompts_and_writes_nothing(bench: Bench, said: Said) -> None:
    told = said.json("--model", "scripted", "--dry-run", "--processes", "2")
    assert told["workers"] == 2
    first = told["test_sets"][0]
    assert (first["test set"], first["published"], first["found"], first["samples"]) == ("reports", 3314, 5, 5)
    assert first["prompt"]
    assert rows(bench, "SELECT count(*) FROM test_set") == [(0,)]
    assert not (bench.folder / "evaluations").exists()
    assert "reports" in said("--model", "scripted", "--dry-run")


def test_answers_are_counted_and_failures_are_the_exit_code(bench: Bench, said: Said) -> None:
    model = script(bench, fail=["reports-i1"])
    told = said.json("--model", model, "--task", "report", code=4)
    assert [(line["ok"], line["error"]) for line in told["lines"]] == [(4, 1)]
    assert "asks them again" in said.err
    script(bench)
    table = said("--model", model, "--task", "report")
    assert "reports" in table
    assert "3,314" in table or "3314" in table


def test_the_list_names_models_and_evaluations(said: Said) -> None:
    said("--model", "scripted", "--task", "report", "--limit", "2")
    told = said.json("--list")
    assert {row["model"] for row in told["models"]} >= {"radvlm", "llavaov"}
    assert [(row["model"], row["samples"], row["status"]) for row in told["evaluations"]] == [
        ("scripted", 2, "complete")
    ]
    assert "hf download" in said("--list")


@pytest.mark.slow
def test_answers_are_scored_anew_without_being_asked_again(bench: Bench, said: Said) -> None:
    told = said.json("--model", "scripted", "--task", "report")
    before = rows(bench, "SELECT * FROM prediction")
    again = said.json("--rescore", str(told["run_id"]))
    assert [line["evaluation"] for line in again["lines"]] == [line["evaluation"] for line in told["lines"]]
    assert rows(bench, "SELECT * FROM prediction") == before
    assert rows(bench, "SELECT command FROM run ORDER BY id DESC LIMIT 1") == [("rescore",)]


@pytest.mark.slow
def test_a_served_model_is_asked_by_workers_at_its_url(bench: Bench, said: Said) -> None:
    with FakeOpenAI(answer=lambda _body: "The lungs are clear.") as server:
        options = ("--model", "endpoint:test-model", "--base-url", f"{server.url}/v1", "--task", "report")
        told = said.json(*options, "--processes", "2")
    assert [line["ok"] for line in told["lines"]] == [5]
    assert rows(bench, "SELECT DISTINCT text FROM prediction") == [("The lungs are clear.",)]


def test_conversations_are_graded_by_a_server_at_a_url(bench: Bench, said: Said) -> None:
    told = said.json("--model", "scripted", "--task", "conversation", "--limit", "3")
    with FakeOpenAI(answer=judges.sound) as server:
        options = ("--judge", str(told["run_id"]), "--base-url", f"{server.url}/v1", "--model", "test-model")
        (plan,) = said.json(*options, "--dry-run")
        assert (plan["conversations"], plan["to grade"], plan["cost"]) == (3, 3, 0)
        assert plan["input tokens"] > 1000
        assert server.stats["requests"] == 0
        assert rows(bench, "SELECT count(*) FROM run WHERE command = 'judge'") == [(0,)]
        again = said.json(*options)
        assert "talks: " in said.err
        assert "3 graded" in said.err
        said(*options)
        assert server.stats["requests"] == 1, "all three say the same: the answer is there after the first"
    assert [line["evaluation"] for line in again["lines"]] == [line["evaluation"] for line in told["lines"]]
    assert rows(bench, "SELECT count(*) FROM judgement WHERE status = 'ok'") == [(3,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--judge", "77", "--base-url", "http://localhost:1/v1"), "no evaluation run 77"),
        (("--judge", "1", "--rescore", "1"), "are two commands"),
        (("--rescore", "1", "--dry-run"), "nothing to try"),
        (("--green", "1", "--limit", "3"), "--limit plays no part in --green"),
        (("--judge", "1", "--max-new-tokens", "3"), "--max-new-tokens plays no part"),
        (("--rescore", "1", "--task", "report"), "--task plays no part"),
        (("--green", "1", "--weights", "/nowhere"), "/nowhere does not exist"),
        (("--model", "scripted", "--run", "3"), "--run goes with --resume"),
        (("--model", "scripted", "--again", "--resume"), "--again forgets"),
        (("--rescore", "77"), "no evaluation run 77"),
        (("--follow", "77"), "no evaluation run 77"),
        (("--model", "scripted", "--dataset", "nowhere"), "no complete dataset"),
        (("--model", "chexagnet"), "There is no model"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(said: Said, options: tuple[str, ...], message: str) -> None:
    said(*options, code=3)
    assert message in said.err
    assert "Try:" in said.err


def test_without_a_store_the_command_that_makes_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "--model", "scripted", "--store", str(tmp_path / "none.db")]) == 3
    assert "radvlm prepare" in capsys.readouterr().err


@pytest.fixture
def cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's commands on the path; the folder that holds their state."""
    state, commands = bench.folder / "slurm", bench.folder / "bin"
    state.mkdir()
    commands.mkdir()
    for name in ("sbatch", "srun", "scontrol", "squeue"):
        text = f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/training/slurm_stand_in.py {name} "$@"\n'
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STAND_IN", str(state))
    return state


def test_a_slurm_job_answers_and_is_followed_to_the_scores(
    bench: Bench, said: Said, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = bench.folder / "cluster.yaml"
    profile.write_text("account: lab\npartition: gpu\ntime: 01:00:00\n")
    options = ("--model", script(bench), "--task", "report", "--slurm", "--profile", str(profile), "--processes", "2")
    assert "#SBATCH --account=lab" in said(*options, "--dry-run")
    job = said(*options).strip()
    run_id = rows(bench, "SELECT run_id FROM answering WHERE job_id = ?".replace("?", job))[0][0]
    monkeypatch.setattr("radvlm_cli.stages.evaluation.evaluate._ASK_SLURM_EVERY_S", 0.1)
    told = said.json("--follow", str(run_id))
    assert [line["ok"] for line in told["lines"]] == [5]
    assert rows(bench, f"SELECT status FROM run WHERE id = {run_id}") == [("done",)]
    assert rows(bench, "SELECT count(DISTINCT worker) FROM prediction") == [(2,)]


@pytest.mark.slow
def test_an_evaluation_that_a_slurm_job_works_on_is_left_to_it(bench: Bench, said: Said, cluster: Path) -> None:
    options = ("--model", script(bench, delay=20), "--task", "report", "--batch", "1")
    job = said(*options, "--slurm", "--processes", "1").strip()
    said(*options, code=3)
    assert f"SLURM job {job} is at work" in said.err
    folder = bench.folder / "evaluations"
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.exists() and str(folder).encode() in path.read_bytes():
            os.kill(int(path.parent.name), 9)
    end = time.monotonic() + 20
    while json.loads(next(cluster.glob("*.json")).read_text())["state"] == "RUNNING" and time.monotonic() < end:
        time.sleep(0.05)
