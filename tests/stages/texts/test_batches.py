"""curate --batch when the provider behaves badly."""

from __future__ import annotations

from typing import Any

import pytest

from radvlm_cli.main import run
from tests.fakes import answers
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import make_place, rows_of, texts_of


def _options(server: FakeOpenAI, *more: str) -> list[str]:
    base = ["--base-url", f"{server.url}/v1", "--model", "m", "--no-files", "--batch", "--poll", "0.05"]
    return [*base, *more]


def _server(**behaviour: Any) -> FakeOpenAI:
    return FakeOpenAI(answer=answers.by_rules, batch_seconds=0.05, **behaviour)


def test_a_batch_that_was_taken_as_the_server_died_is_found_and_not_sent_again(tmp_path: Any, capsys: Any) -> None:
    place = make_place(tmp_path, 20)
    with _server(dies_on_submission=True) as server:
        assert run(["curate", *place, *_options(server)]) == 3
        assert "--resume" in capsys.readouterr().err
        server.behaviour.dies_on_submission = server.behaviour.down = False
        assert run(["curate", *place, *_options(server, "--resume")]) == 0
        assert set(server.batches.submitted.values()) == {1}
        assert max(server.batches.lines.values()) == 1
        assert server.batches.files == {}
    assert len(texts_of(place)) == 20


@pytest.mark.parametrize("status", [500, 429, 401, 404])
def test_a_refused_batch_is_a_user_error_and_goes_on_later(tmp_path: Any, capsys: Any, status: int) -> None:
    place = make_place(tmp_path, 5)
    with _server(status=status) as server:
        assert run(["curate", *place, *_options(server)]) == 3
        told = capsys.readouterr().err
        assert f"HTTP {status}" in told
        assert "Traceback" not in told
        server.behaviour.status = None
        assert run(["curate", *place, *_options(server)]) == 0
        assert server.batches.files == {}
    assert len(texts_of(place)) == 5


def test_what_was_refused_by_one_host_may_go_to_another(tmp_path: Any) -> None:
    place = make_place(tmp_path, 5)
    with _server(status=401) as refusing, _server() as server:
        assert run(["curate", *place, *_options(refusing)]) == 3
        assert run(["curate", *place, *_options(server)]) == 0
        refusing.behaviour.status = None
        assert run(["curate", *place, *_options(refusing)]) == 0
        assert refusing.batches.submitted == {}
    assert len(texts_of(place)) == 5


def test_what_one_host_is_at_work_on_is_not_sent_to_another(tmp_path: Any, capsys: Any) -> None:
    place = make_place(tmp_path, 5)
    with _server(dies_on_submission=True) as first, _server() as second:
        assert run(["curate", *place, *_options(first)]) == 3
        assert run(["curate", *place, *_options(second)]) == 3
        assert "is still at work on 5 requests of `curate` in batches" in capsys.readouterr().err
        assert second.batches.submitted == {}
        first.behaviour.dies_on_submission = first.behaviour.down = False
        assert run(["curate", *place, *_options(first)]) == 0
        assert run(["curate", *place, *_options(second)]) == 0
        assert second.batches.submitted == {}
    assert len(texts_of(place)) == 5


def test_what_is_at_work_in_batches_is_not_asked_online_unless_given_up(tmp_path: Any, capsys: Any) -> None:
    place = make_place(tmp_path, 5)
    with _server(dies_on_submission=True) as server:
        online = [word for word in _options(server) if word != "--batch"]
        assert run(["curate", *place, *_options(server)]) == 3
        server.behaviour.dies_on_submission = server.behaviour.down = False
        assert run(["curate", *place, *online]) == 3
        told = capsys.readouterr().err
        assert "they would be paid twice" in told
        assert "--forget-batches" in told
        assert server.answered.total() == 0
        assert run(["curate", *place, *online, "--forget-batches"]) == 0
        assert server.answered.total() == 5
    assert len(texts_of(place)) == 5


def test_a_batch_whose_reply_got_lost_is_found_and_not_submitted_again(tmp_path: Any) -> None:
    place = make_place(tmp_path, 20)
    with _server(lost_replies=2) as server:  # of the upload, too, which leaves a file behind
        assert run(["curate", *place, *_options(server)]) == 0
        assert server.behaviour.lost_replies == 0
        assert set(server.batches.submitted.values()) == {1}
        assert server.batches.files == {}
    assert len(texts_of(place)) == 20


def test_an_outage_while_batches_are_at_work_is_waited_out(tmp_path: Any, capsys: Any) -> None:
    place = make_place(tmp_path, 5)
    with _server(dies_on_submission=True) as server:
        assert run(["curate", *place, *_options(server)]) == 3
        server.behaviour.dies_on_submission = server.behaviour.down = False
        server.behaviour.outages = 9  # three looks, each tried three times
        assert run(["curate", *place, *_options(server, "--resume")]) == 0
        assert server.behaviour.outages == 0
        assert set(server.batches.submitted.values()) == {1}
    assert capsys.readouterr().err.count("Looking again") == 3


@pytest.mark.parametrize("end", ["expired", "failed"])
def test_what_a_batch_answered_before_it_ended_badly_is_kept(tmp_path: Any, end: str) -> None:
    place = make_place(tmp_path, 20)
    with _server(batch_end=end) as server:
        run(["curate", *place, *_options(server)])
        server.behaviour.batch_end = "completed"
        assert run(["curate", *place, *_options(server, "--resume")]) == 0
        assert server.batches.files == {}
        kept = [key for (key,) in rows_of(place, "SELECT lower(hex(key)) FROM llm_call")]
    assert len(texts_of(place)) == 20
    assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("reply", ["<html>login</html>", '{"data": [', '"words"'])
def test_a_reply_that_is_no_batch_api_is_a_user_error(tmp_path: Any, capsys: Any, reply: str) -> None:
    place = make_place(tmp_path, 3)
    with FakeOpenAI(page=reply) as server:
        assert run(["curate", *place, *_options(server)]) == 3
    assert "unexpected reply" in capsys.readouterr().err


def test_batches_of_a_local_server_go_through_no_proxy(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make_place(tmp_path, 3)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with _server() as server:
        assert run(["curate", *place, *_options(server)]) == 0
    assert len(texts_of(place)) == 3
