"""SIGKILL and Ctrl-C in the middle of curate: no answer is lost, no answered call is asked again."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.world import make_store

ROOT = Path(__file__).parents[1]
ITEMS = 400


@contextmanager
def _server(tmp_path: Path, *options: str) -> Iterator[tuple[str, Path]]:
    """A fake server in a process of its own, which outlives its clients; its address and its log."""
    log = tmp_path / "server.log"
    command = [sys.executable, "-m", "tests.fakes.openai_server", "--log", str(log), *options]
    command += ["--answers", "tests.fakes.answers:by_rules"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), log
    finally:
        process.kill()
        process.communicate()


def _command(data: Path, url: str, *options: str) -> list[str]:
    command = [sys.executable, "-m", "radvlm_cli", "curate", "--source", "openi", "--data-dir", str(data)]
    return [*command, "--base-url", f"{url}/v1", "--model", "test-model", "--concurrency", "16", *options]


def _data(tmp_path: Path, name: str) -> Path:
    data = tmp_path / name
    (data / "Open-i").mkdir(parents=True)
    make_store(data / "radvlm.db", ITEMS)
    return data


def _stop_after(command: list[str], seconds: float, how: signal.Signals) -> bool:
    """Whether the process was still at work when it was stopped."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
        process.wait()
        return True
    return False


def _texts(data: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data / "radvlm.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        sql = (
            "SELECT study_id, text, 'text' FROM curated_text UNION ALL SELECT item, candidate, 'quarantine' "
            "FROM quarantine UNION ALL SELECT item, '', 'skipped' FROM outcome WHERE status = 'skipped' ORDER BY 1"
        )
        return connection.execute(sql).fetchall()


def _answers_by_call(log: Path) -> tuple[Counter[str], int]:
    """How often each call was answered with 200, and how many answers there were."""
    events = [json.loads(line) for line in log.read_text().splitlines()]
    answered = Counter(e["key"] for e in events if e["event"] == "answered" and e["status"] == "200")
    return answered, sum(answered.values())


_FAULTS = ("--latency-ms", "40", "--fault-rate", "0.2", "--seed", "7")


class Whole(NamedTuple):
    """A job that nothing stopped."""

    texts: list[tuple[Any, ...]]
    took_s: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    data = _data(folder, "whole")
    with _server(folder, *_FAULTS) as (url, _log):
        begun = time.monotonic()
        subprocess.run(_command(data, url, "--no-files"), check=False, capture_output=True)
        return Whole(_texts(data), time.monotonic() - begun)


def _kill_and_compare(tmp_path: Path, whole: Whole, kills: int, how: signal.Signals) -> None:
    with _server(tmp_path, *_FAULTS) as (url, log):
        data, rng, met = _data(tmp_path, "killed"), random.Random(kills), 0
        for _ in range(kills):
            met += _stop_after(_command(data, url), rng.uniform(0.8, max(1.0, 0.6 * whole.took_s)), how)
        subprocess.run(_command(data, url), check=False, capture_output=True)
        answered, total = _answers_by_call(log)
    texts = _texts(data)
    assert texts == whole.texts
    assert len({study for study, *_rest in texts}) == len(texts) == ITEMS, "an item has no outcome, or two"
    again = total - len(answered)
    print(f"{met} of {kills} met a process at work; {len(answered)} calls, {again} answered again")
    if how is signal.SIGINT:
        assert again == 0
    else:
        assert again <= 16 * met, "more than the calls in flight at the kills were asked again"
    assert met > 0


def test_killed_curation_goes_on_to_the_same_end(tmp_path: Path, whole: Whole) -> None:
    _kill_and_compare(tmp_path, whole, kills=3, how=signal.SIGKILL)


def test_after_ctrl_c_no_answered_call_is_asked_again(tmp_path: Path, whole: Whole) -> None:
    _kill_and_compare(tmp_path, whole, kills=2, how=signal.SIGINT)


@pytest.mark.slow
def test_thirty_kills(tmp_path: Path, whole: Whole) -> None:
    _kill_and_compare(tmp_path, whole, kills=30, how=signal.SIGKILL)


def _kill_batches(tmp_path: Path, kills: int) -> None:
    with _server(tmp_path, "--batch-seconds", "0.6", "--batch-error-share", "0.05") as (url, log):
        data, rng, met = _data(tmp_path, "batch"), random.Random(kills), 0
        command = _command(data, url, "--batch", "--poll", "0.1", "--no-files")
        for _ in range(kills):
            met += _stop_after(command, rng.uniform(0.9, 2.2), signal.SIGKILL)
        subprocess.run(command, check=False, capture_output=True)
        events = [json.loads(line) for line in log.read_text().splitlines()]
    intents = Counter(e["metadata"]["radvlm"] for e in events if e["event"] == "batch")
    uploaded = {e["id"] for e in events if e["event"] == "file"}
    deleted = {e["id"] for e in events if e["event"] == "file deleted"}
    assert max(intents.values()) == 1, "a batch was submitted twice"
    assert uploaded == deleted
    assert len({study for study, *_rest in _texts(data)}) == ITEMS
    with closing(sqlite3.connect(data / "radvlm.db")) as connection:
        answered = connection.execute("SELECT count(*) FROM llm_call").fetchone()[0]
        sent = connection.execute("SELECT sum(requests) FROM batch WHERE status = 'deleted'").fetchone()[0]
    print(f"{met} of {kills} met a process at work; {len(intents)} batches, {sent} lines for {answered} calls")
    assert answered <= sent <= 1.2 * answered, "lines were paid twice"


def test_killed_batches_are_never_submitted_twice(tmp_path: Path) -> None:
    _kill_batches(tmp_path, 3)


@pytest.mark.slow
def test_thirty_kills_of_batches(tmp_path: Path) -> None:
    _kill_batches(tmp_path, 30)
