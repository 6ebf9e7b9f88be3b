"""Ctrl-C in the middle of converse: what was answered is kept, and the next run goes on from there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fakes.fixtures import read_log, server_process, stats
from tests.stages.texts.conversing import WANTED, kept, place


def _command(options: list[str], url: str) -> list[str]:
    command = [sys.executable, "-m", "radvlm_cli", "converse", *options, "--base-url", f"{url}/v1"]
    return [*command, "--model", "test-model", "--concurrency", "4", "--no-files"]


def test_ctrl_c_keeps_what_was_answered_and_the_next_run_asks_for_the_rest(tmp_path: Path) -> None:
    options, log = place(tmp_path, "mscxr"), tmp_path / "log"
    answers = ("--answers", "tests.fakes.dialogues:right_in_the_end")
    with server_process(*answers, "--latency-ms", "200", "--log", str(log)) as url:
        with subprocess.Popen(_command(options, url), stderr=subprocess.PIPE, text=True) as process:
            while stats(url)["answered"] < 4:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            told = process.communicate()[1]
        assert process.returncode == 130
        assert "radvlm converse" in told, "how to go on is not said"
        first, answered_first = kept(options), stats(url)["answered"]
        assert 0 < len(first) <= answered_first
        assert subprocess.run([*_command(options, url), "--resume"], capture_output=True).returncode == 0
        answered = Counter(event["key"] for event in read_log(log) if event.get("status") == "200")
    assert max(answered.values()) == 1, "an answered call was asked again"
    assert len(answered) > answered_first
    assert set(first) < set(kept(options))
    assert {image for image, *_rest in kept(options)} == WANTED["mscxr"]
