"""Two processes on one store at the same time: of one stage only one works, two stages work side by side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from radvlm_cli.store.engine import open_store
from radvlm_cli.store.runs import open_run
from tests.fakes.fixtures import read_log, server_process
from tests.fakes.world import fill_images, make_place, rows_of, texts_of


class Provider(NamedTuple):
    """A fake server of its own, and its log."""

    url: str
    log: Path

    def answered(self) -> Counter[str]:
        """How often each call was answered."""
        return Counter(e["key"] for e in read_log(self.log) if e["event"] == "answered" and e["status"] == "200")

    def wait_until_asked(self) -> None:
        """Until the first call has arrived."""
        until = time.monotonic() + 30
        while not self.log.read_text():
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    log = tmp_path / "server.log"
    options = ["--log", str(log), "--latency-ms", "150", "--answers", "tests.fakes.answers:by_rules"]
    with server_process(*options) as url:
        yield Provider(url, log)


def _start(stage: str, place: list[str], url: str, *more: str) -> subprocess.Popen[str]:
    options = ["--base-url", f"{url}/v1", "--model", "m", "--concurrency", "4", "--no-files", *more]
    command = [sys.executable, "-m", "radvlm_cli", stage, *place, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def test_a_second_curate_is_refused_and_the_first_asks_every_call_once(tmp_path: Path, provider: Provider) -> None:
    place = make_place(tmp_path, 150)
    first = _start("curate", place, provider.url)
    provider.wait_until_asked()
    others = [_start("curate", place, provider.url, *more) for more in ([], ["--resume"])]
    for code, told in map(_end, others):
        assert code == 3
        assert f"Another `radvlm curate` is at work on {place[-1]}/radvlm.db (process {first.pid} on" in told
        assert "Try:  Wait for it: radvlm db status" in told
    assert first.poll() is None, "the first run ended before the others were refused: nothing was tested"
    assert _end(first)[0] == 0
    assert max(provider.answered().values()) == 1
    assert len(texts_of(place)) == 150
    assert rows_of(place, "SELECT command, status FROM run WHERE command = 'curate'") == [("curate", "done")]


def test_curate_and_converse_work_side_by_side_and_lose_nothing(tmp_path: Path, provider: Provider) -> None:
    place = make_place(tmp_path, 100)
    with open_store(Path(place[-1]) / "radvlm.db") as store, open_run(store, "test", {}) as run:
        fill_images(store, run, 60)
    curate = _start("curate", place, provider.url)
    provider.wait_until_asked()
    converse = _start("converse", ["--source", "mimic", *place[2:]], provider.url)
    ends: dict[str, Any] = {"converse": _end(converse), "curate": _end(curate)}
    assert ends["curate"][0] == 0, ends["curate"][1]
    assert ends["converse"][0] == 4, ends["converse"][1]  # what the fake says is no dialogue
    answered = provider.answered()
    assert max(answered.values()) == 1
    assert rows_of(place, "SELECT count(*) FROM llm_call") == [(len(answered),)]
    assert len(texts_of(place)) == 150, "100 of Open-i, 50 of MIMIC-CXR that were there"
    spoken_of = "image JOIN curated_text USING (source, study_id) WHERE source = 'mimic' AND view <> 'LATERAL'"
    items = rows_of(place, f"SELECT count(*) FROM {spoken_of}")
    assert rows_of(place, "SELECT count(*) FROM quarantine WHERE stage = 'converse'") == items
    (overlap,) = rows_of(
        place,
        "SELECT a.started_at < b.ended_at AND b.started_at < a.ended_at FROM run a, run b "
        "WHERE a.command = 'curate' AND b.command = 'converse'",
    )
    assert overlap == (1,), "they did not run at the same time"
