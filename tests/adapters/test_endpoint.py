"""`endpoint:` against a server on this machine that is real in all but the model."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radvlm_cli.adapters.endpoint import card_of
from radvlm_cli.adapters.endpoint_model import EndpointAdapter
from radvlm_cli.adapters.protocol import Loading, Request
from radvlm_cli.errors import ConfigError
from radvlm_cli.records import Turn
from tests.fakes.answers import describe_picture
from tests.fakes.faults import TRANSIENT, USAGE, Faults
from tests.fakes.openai_server import FakeOpenAI

Pair = tuple[EndpointAdapter, FakeOpenAI]
QUICK = {"wait_s": 0.001, "concurrency": 4, "timeout_s": 5.0}


@contextmanager
def connected(name: str = "m", options: Mapping[str, Any] = QUICK, **behaviour: Any) -> Iterator[Pair]:
    """An adapter and the server that it asks."""
    with FakeOpenAI(**{"answer": describe_picture, "count_tokens": False, **behaviour}) as server:
        adapter = load(f"{server.url}/v1", name, options)
        try:
            yield adapter, server
        finally:
            adapter.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Pair]:
    """One adapter and server for the tests that only change how the server behaves."""
    with connected() as (adapter, server):
        yield adapter, server


@pytest.fixture
def asked(shared: Pair) -> Pair:
    """The shared adapter and server as if they were new."""
    adapter, server = shared
    server.behaviour.faults, server.behaviour.status, server.behaviour.latency_s = Faults(), None, 0.0
    server.stats.clear()
    server.asked.clear()
    adapter._lost_in_a_row = 0
    return adapter, server


def load(url: str, name: str = "m", options: Mapping[str, Any] = QUICK) -> EndpointAdapter:
    """The adapter of a server, as the command line gets it."""
    adapter = card_of(name).load(Loading((), "cpu", base_url=url, options=options))
    assert isinstance(adapter, EndpointAdapter)
    return adapter


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.arange(600 * 400, dtype=np.uint32).reshape(400, 600) % 251
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def ask(picture: Path, *texts: str, key: str = "1") -> Request:
    """A dialogue of human and model in turns."""
    turns = (Turn("gpt" if number % 2 else "human", text) for number, text in enumerate(texts or ("What is it?",)))
    return Request(key, picture, tuple(turns), "report")


def test_the_server_gets_picture_text_and_settings(picture: Path, asked: Pair) -> None:
    adapter, server = asked

    (reply,) = adapter.answer([ask(picture)], 77)

    assert reply.text == "1 data:image/png;base64 PNG RGB 600x400 What is it?"
    assert (reply.truncated, reply.error, reply.seen) == (False, None, (600, 400))
    assert reply.tokens_out == len(reply.text) // 4
    body = server.bodies[-1]
    told = {name: body[name] for name in ("model", "temperature", "seed", "max_tokens")}
    assert told == {"model": "m", "temperature": 0, "seed": 0, "max_tokens": 77}


def test_the_picture_is_there_in_every_turn(picture: Path, asked: Pair) -> None:
    adapter, server = asked

    (reply,) = adapter.answer([ask(picture, "What?", "A chest.", "Normal?")], 8)

    assert reply.text == "1 data:image/png;base64 PNG RGB 600x400 Normal?"
    assert [message["role"] for message in server.bodies[-1]["messages"]] == ["user", "assistant", "user"]


def test_a_model_with_boxes_in_pixels_gets_a_size_that_is_known(picture: Path) -> None:
    with connected("Qwen2.5-VL-7B") as (adapter, _server):
        (reply,) = adapter.answer([ask(picture)], 8)

    assert reply.seen == (588, 392)  # multiples of 28
    assert "588x392" in reply.text


def test_replies_come_in_the_order_of_the_requests_many_at_a_time(picture: Path, asked: Pair) -> None:
    requests = [ask(picture, f"Question {number}?") for number in range(12)]
    adapter, server = asked
    server.behaviour.latency_s = 0.02
    replies = adapter.answer(requests, 8)

    assert [reply.text.rpartition(" ")[2] for reply in replies] == [f"{number}?" for number in range(12)]
    assert 2 <= server.stats["max_in_flight"] <= QUICK["concurrency"]


@pytest.mark.parametrize("kind", [*TRANSIENT, *USAGE])
def test_a_fault_that_passes_costs_no_answer(kind: str, picture: Path, asked: Pair) -> None:
    adapter, server = asked
    server.behaviour.faults = Faults(rate=1.0, kinds=(kind,))

    replies = adapter.answer([ask(picture, f"Question {number}?") for number in range(3)], 8)

    assert [reply.error for reply in replies] == [None] * 3
    assert [reply.text[-2:] for reply in replies] == ["0?", "1?", "2?"]
    if kind in TRANSIENT:
        assert server.stats["requests"] == 4 * 3


@pytest.mark.parametrize(
    ("outcome", "refused", "error"),
    [
        ("content filter", True, "HTTP 400 content_filter"),
        ("output filter", True, "stopped by a content filter"),
        ("refusal", True, "the model refuses"),
        ("length", False, None),
    ],
)
def test_an_outcome_that_stays_is_asked_for_once(
    outcome: str, refused: bool, error: str | None, picture: Path, asked: Pair
) -> None:
    adapter, server = asked
    server.behaviour.faults.final_shares = {outcome: 1.0}
    (reply,) = adapter.answer([ask(picture)], 8)

    assert (reply.refused, reply.error) == (refused, error)
    assert reply.truncated == (outcome == "length")
    assert bool(reply.text) == (outcome == "length")
    assert server.stats["requests"] == 1


def test_a_request_that_is_not_taken_is_an_error_without_its_words(picture: Path, asked: Pair) -> None:
    adapter, server = asked
    server.behaviour.status = 400
    (reply,) = adapter.answer([ask(picture, "Mr Smith?")], 8)

    assert (reply.error, reply.refused) == ("HTTP 400 planted", False)


def test_a_server_that_is_too_slow_is_an_error(picture: Path) -> None:
    with connected(options={**QUICK, "timeout_s": 0.1, "tries": 2}) as (adapter, server):
        server.behaviour.latency_s = 0.4
        (reply,) = adapter.answer([ask(picture)], 8)

    assert reply.error == "no answer after 2 tries (APITimeoutError)"


def test_a_run_ends_where_the_server_has_gone_for_good(picture: Path) -> None:
    with connected(options={**QUICK, "tries": 1}) as (adapter, server):
        server.behaviour.down = True
        replies = adapter.answer([ask(picture)] * 4, 8)
        assert {reply.error for reply in replies} == {"no answer after 1 tries (APIConnectionError)"}
        with pytest.raises(ConfigError, match="8 requests in a row"):
            adapter.answer([ask(picture)] * 4, 8)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_everything_ends_the_run(status: int, picture: Path) -> None:
    with connected() as (adapter, server):
        server.behaviour.status = status
        with pytest.raises(ConfigError, match=f"HTTP {status}"):
            adapter.answer([ask(picture)] * 20, 8)
        assert server.stats["requests"] < 20


def test_a_model_that_changes_under_the_run_ends_it(picture: Path) -> None:
    with connected() as (adapter, _server):
        adapter._reported = "m-2025-12-31"
        with pytest.raises(ConfigError, match="m-2026-01-01 by now"):
            adapter.answer([ask(picture)], 8)


def test_a_damaged_picture_is_an_error_and_no_request(picture: Path, tmp_path: Path, asked: Pair) -> None:
    adapter, server = asked
    replies = adapter.answer([ask(tmp_path / "name.png"), ask(picture)], 8)

    assert [reply.error for reply in replies] == ["the picture cannot be read (FileNotFoundError)", None]
    assert server.stats["requests"] == 1


def test_the_identity_says_what_was_asked() -> None:
    with connected("org/RadVLM-7B", version="0.11.0") as (adapter, _server):
        identity = dict(adapter.identity)

    assert identity["server"] == "vllm 0.11.0"
    assert (identity["asked"], identity["model"]) == ("org/RadVLM-7B", "org/RadVLM-7B-2026-01-01")
    assert identity["fingerprint"] == "fp_fake"
    assert identity["profile"] == "radvlm"
    assert identity["settings"] == {"temperature": 0, "seed": 0}


def test_settings_that_a_model_does_not_know_are_left_out_and_told(picture: Path) -> None:
    with connected("gpt-5.1") as (adapter, server):
        (reply,) = adapter.answer([ask(picture)], 9)

    assert reply.error is None
    assert adapter.identity["settings"] == {"seed": 0}
    assert server.bodies[-1]["max_completion_tokens"] == 9


def test_the_key_comes_from_the_environment_and_shows_nowhere(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-this-server's")
    monkeypatch.setenv("RADVLM_API_KEY", "secret-7")
    with connected(key="secret-7") as (adapter, server):
        assert adapter.answer([ask(picture)], 8)[0].error is None
        assert "secret-7" not in repr([adapter.identity, vars(adapter)])
        server.behaviour.key = "another"
        with pytest.raises(ConfigError, match="HTTP 401") as error:
            adapter.answer([ask(picture)], 8)
    assert "secret-7" not in f"{error.value.message} {error.value.hint}"


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConfigError, match="does not answer"):
        load(f"http://127.0.0.1:{port}/v1", options={**QUICK, "tries": 2})


def test_what_is_asked_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="address"):
        card_of("m").load(Loading((), "cpu"))
    with pytest.raises(ConfigError, match="which model"):
        card_of(None)
    with pytest.raises(ConfigError, match="no option speed"):
        card_of("m").load(Loading((), "cpu", base_url="http://127.0.0.1/v1", options={"speed": 1}))


def test_cost_counts_the_picture_as_it_is_sent(picture: Path) -> None:
    with connected("Qwen2.5-VL-7B") as (adapter, _server):
        assert adapter.cost(ask(picture, "abc")) == 588 * 392 // 784 + 1
