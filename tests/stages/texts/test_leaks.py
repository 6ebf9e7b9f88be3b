"""No key and no report text in what a command prints, logs, raises or keeps of its errors, whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.llm.batch import Provider
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.chat import open_chat
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.main import run
from tests.fakes import answers
from tests.fakes.faults import Faults
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import make_place, report_text, rows_of

KEY = "sk-very-secret-0123456789"
BATCH = ("--batch", "--poll", "0.05")
_SENTENCES = {sentence for n in range(60) for sentence in report_text(n).split(". ")}


class Told:
    """Everything that a command lets out."""

    def __init__(self, place: list[str], capsys: Any, caplog: Any) -> None:
        caplog.set_level(logging.DEBUG)
        self.place = place
        self.bugs: list[str] = []
        self._capsys, self._caplog = capsys, caplog

    def run(self, server: FakeOpenAI, *more: str) -> None:
        """Run curate against a server; a bug's traceback is kept as it would be printed."""
        options = ["--base-url", f"{server.url}/v1", "--model", "m", "--limit", "9", *more]
        try:
            run(["curate", *self.place, *options])
        except Exception as error:
            self.bugs.append("".join(traceback.format_exception(error)))

    def check(self) -> None:
        """Look for key and sentences in output, logs, tracebacks and errors in the store; for the key in all of it."""
        kept = rows_of(
            self.place,
            "SELECT error FROM llm_call UNION ALL SELECT message FROM run UNION ALL SELECT error FROM batch "
            "UNION ALL SELECT reason FROM outcome",
        )
        everything = "".join([*self._capsys.readouterr(), self._caplog.text, *self.bugs, str(kept)])
        assert KEY not in everything
        assert [sentence for sentence in _SENTENCES if sentence in everything] == []
        for file in Path(self.place[-1]).glob("radvlm.db*"):
            assert KEY.encode() not in file.read_bytes()


@pytest.fixture
def told(tmp_path: Path, capsys: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setenv("RADVLM_API_KEY", KEY)
    return Told(make_place(tmp_path), capsys, caplog)


@pytest.mark.parametrize("way", [(), BATCH], ids=["online", "batch"])
def test_no_key_and_no_report_text_in_any_output_log_or_error(told: Told, way: tuple[str, ...]) -> None:
    for behaviour in (
        {"answer": answers.by_rules, "key": KEY, "faults": Faults(rate=0.3, final_rate=0.3), "batch_error_share": 0.3},
        {"answer": answers.inventing, "key": KEY},
        {"key": "another"},
        {"status": 500},
        {"page": "<html>"},
        {"batch_end": "failed"},
    ):
        with FakeOpenAI(batch_seconds=0.05, **behaviour) as server:
            told.run(server, "--retry", "failed", *way)
    assert told.bugs == []
    told.check()


_BUGS = {
    "reading a reply": "radvlm_cli.llm.replies.read_completion",
    "judging an answer": "radvlm_cli.stages.texts.curate.report_faults",
    "counting money": "radvlm_cli.llm.meter.cost",
    "keeping a call": "radvlm_cli.store.calls.pack",
}


def _bug(*_arguments: object, **_options: object) -> None:
    raise RuntimeError("planted")


@pytest.mark.parametrize("way", [(), BATCH], ids=["online", "batch"])
@pytest.mark.parametrize("where", _BUGS)
def test_the_traceback_of_a_bug_shows_neither(
    told: Told, monkeypatch: pytest.MonkeyPatch, where: str, way: tuple[str, ...]
) -> None:
    name = _BUGS[where].rpartition(".")[2]
    users = ("llm.replies", "llm.batch", "stages.texts.curate", "llm.meter", "store.calls", "stages.texts.batches")
    # All are imported before one is changed: what is imported later would keep the bug for the tests that follow.
    for module in [import_module(f"radvlm_cli.{user}") for user in users]:
        monkeypatch.setattr(module, name, _bug, raising=False)
    with FakeOpenAI(answer=answers.by_rules, key=KEY, batch_seconds=0.05) as server:
        told.run(server, *way)
    (bug,) = told.bugs
    assert "RuntimeError: planted" in bug
    told.check()


@pytest.mark.parametrize("statement", ["INSERT INTO nowhere VALUES (?)", "SELECT"])
@pytest.mark.parametrize("way", [(), BATCH], ids=["online", "batch"])
def test_a_statement_that_sqlite_does_not_take_shows_none_of_its_values(
    told: Told, monkeypatch: pytest.MonkeyPatch, statement: str, way: tuple[str, ...]
) -> None:
    for module in ("stages.texts.asking", "store.batches"):
        monkeypatch.setattr(f"radvlm_cli.{module}.CALL_SQL", statement)
    with FakeOpenAI(answer=answers.by_rules, key=KEY, batch_seconds=0.05) as server:
        told.run(server, *way)
    assert "sqlite3" in told.bugs[0]
    told.check()


def test_a_bug_while_a_refusal_is_handled_shows_nothing_of_the_refusal(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Provider.close
    monkeypatch.setattr(Provider, "close", lambda self: _bug(close(self)))
    with FakeOpenAI(key="another") as server:  # its refusal quotes the key that it was given
        told.run(server, *BATCH)
    (bug,) = told.bugs
    assert "refuses the batch (HTTP 401 invalid_api_key)" in bug
    told.check()


def test_nothing_that_holds_the_key_shows_it() -> None:
    async def chat(endpoint: Endpoint) -> str:
        async with open_chat(endpoint, connections=1, timeout_s=1) as chat:
            return f"{chat!r} {chat} {chat.endpoint!r} {chat._session!r}"

    with FakeOpenAI(key="another") as server:
        endpoint = Endpoint("endpoint", model="m", base_url=f"{server.url}/v1", key=KEY)
        provider = Provider(endpoint)
        with pytest.raises(EndpointError) as refused:
            provider.look("batch_1")
        shown = [f"{provider!r} {endpoint!r} {endpoint}", asyncio.run(chat(endpoint))]
        provider.close()
    error = refused.value
    shown += [str(error), repr(error), repr(error.args), str(error.__cause__), *traceback.format_exception(error)]
    assert KEY not in "".join(shown)
