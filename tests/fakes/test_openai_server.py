"""The fake server as the real `openai` client sees it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.fakes.faults import FINAL, TRANSIENT, USAGE, Faults, request_key
from tests.fakes.fixtures import control, read_log, server_process, stats
from tests.fakes.openai_server import FakeOpenAI

Clients = Callable[..., openai.OpenAI]


@pytest.fixture
def client_of() -> Iterator[Clients]:
    """Make clients that do not retry, and close them."""
    clients = []

    def make(url: str, base: str = "/v1", key: str = "k") -> openai.OpenAI:
        clients.append(openai.OpenAI(base_url=url + base, api_key=key, max_retries=0, timeout=10))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def _body(text: str, model: str = "m") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def _ask(client: openai.OpenAI, text: str = "The lungs are clear.", model: str = "m", **more: Any) -> Any:
    return client.chat.completions.create(**_body(text, model), **more)


def _meeting(kind: str, faults: Faults) -> str:
    """A text whose first attempt meets a fault, or which has a final outcome."""
    texts = (f"report {n}" for n in range(10_000))
    keys = ((text, request_key(_body(text))) for text in texts)
    return next(text for text, key in keys if kind in (faults.transient(key, 1), faults.final(key)))


def test_an_answer_echoes_and_counts_tokens_as_documented(client_of: Clients) -> None:
    with FakeOpenAI() as server:
        answer = _ask(client_of(server.url))
    assert json.loads(answer.choices[0].message.content) == {"nothing_left": False, "text": "The lungs are clear."}
    assert answer.usage.prompt_tokens == 3 + 4 + 5
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("api_version", [None, "2024-10-21"], ids=["v1", "dated"])
def test_azure_is_asked_with_its_own_paths_and_header(client_of: Clients, api_version: str | None) -> None:
    with FakeOpenAI(key="right", models=("gpt-4o",)) as server:
        if api_version is None:
            client = client_of(server.url, "/openai/v1", "right")
        else:
            client = openai.AzureOpenAI(azure_endpoint=server.url, api_key="right", api_version=api_version)
        assert _ask(client, model="gpt-4o").model == "gpt-4o-2026-01-01"
        with pytest.raises(openai.NotFoundError) as unknown:
            _ask(client, model="gpt-4")
        assert unknown.value.code == "DeploymentNotFound"
        client.close()


@pytest.mark.parametrize("path", ["/v1/models", "/openai/v1/files", "/openai/batches?api-version=1"])
def test_a_wrong_key_is_refused_on_every_path(path: str) -> None:
    async def fetch(url: str) -> tuple[int, Any]:
        headers = {"Authorization": "Bearer wrong", "api-key": "wrong"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
            return response.status, await response.json()

    with FakeOpenAI(key="right") as server:
        status, document = asyncio.run(fetch(server.url + path))
    assert status == 401
    assert document["error"]["code"] == "invalid_api_key"


def test_a_wrong_key_is_refused_in_the_shape_that_the_client_knows(client_of: Clients) -> None:
    with FakeOpenAI(key="right") as server, pytest.raises(openai.AuthenticationError) as refused:
        _ask(client_of(server.url, key="wrong"))
    assert refused.value.code == "invalid_api_key"


_RAISED: dict[str, type[Exception]] = {
    "429": openai.RateLimitError,
    "500": openai.InternalServerError,
    "503": openai.InternalServerError,
    "408": openai.APIStatusError,
    "disconnect": openai.APIConnectionError,
    "disconnect in body": openai.APIConnectionError,
    "truncated JSON": json.JSONDecodeError,
    "malformed JSON": json.JSONDecodeError,
}


@pytest.mark.parametrize("kind", [kind for kind in TRANSIENT if kind in _RAISED])
def test_a_transient_fault_fails_once_as_it_should_and_is_logged(client_of: Clients, tmp_path: Path, kind: str) -> None:
    faults = Faults(rate=0.3, kinds=(kind,))
    text = _meeting(kind, faults)
    with FakeOpenAI(faults=faults, log=tmp_path / "log") as server:
        with pytest.raises(_RAISED[kind]):
            _ask(client_of(server.url), text)
        faults.rate = 0
        _ask(client_of(server.url), text)
    assert [e["status"] for e in read_log(tmp_path / "log") if e["event"] == "answered"] == ["fault", "200"]


def test_a_fault_without_choices_is_no_answer(client_of: Clients) -> None:
    faults = Faults(rate=1.0, kinds=("no choices",))
    with FakeOpenAI(faults=faults) as server:
        assert _ask(client_of(server.url)).choices == []
        assert server.answered.total() == 0


@pytest.mark.parametrize(("kind", "told"), [("no usage", None), ("zero usage", 0), ("negative usage", -5)])
def test_wrong_usage_is_an_answer_all_the_same(client_of: Clients, kind: str, told: int | None) -> None:
    with FakeOpenAI(faults=Faults(rate=1.0, kinds=(kind,))) as server:
        answer = _ask(client_of(server.url))
        assert server.stats["input_tokens"] > 0
    assert (answer.usage and answer.usage.prompt_tokens) == told
    assert answer.choices[0].finish_reason == "stop"


def test_no_body_meets_more_than_three_faults_in_a_row_and_every_kind_is_met() -> None:
    faults, met = Faults(rate=0.9, seed=5), set()
    for n in range(200):
        drawn = [faults.transient(f"key {n}", attempt) for attempt in range(1, 40)]
        assert all(None in drawn[start : start + 4] for start in range(36))
        met |= set(drawn)
    assert met == {*TRANSIENT, *USAGE, None}


def test_a_prompt_that_is_filtered_is_filtered_in_azures_shape_whatever_the_seed(client_of: Clients) -> None:
    faults = Faults(final_shares={"content filter": 0.1})
    text = _meeting("content filter", faults)
    for seed in (1, 2):
        faults.seed = seed
        with FakeOpenAI(faults=faults) as server, pytest.raises(openai.BadRequestError) as filtered:
            _ask(client_of(server.url, "/openai/v1"), text)
        assert filtered.value.code == "content_filter"
        assert filtered.value.body["innererror"]["code"] == "ResponsibleAIPolicyViolation"  # type: ignore[index]


@pytest.mark.parametrize("kind", [kind for kind in FINAL if kind != "content filter"])
def test_final_outcomes_are_told_in_the_answer(client_of: Clients, kind: str) -> None:
    faults = Faults(final_shares={kind: 0.1})
    with FakeOpenAI(faults=faults) as server:
        choice = _ask(client_of(server.url), _meeting(kind, faults)).choices[0]
    finish = {"output filter": "content_filter", "length": "length", "refusal": "stop"}
    assert choice.finish_reason == finish[kind]
    assert bool(choice.message.refusal) == (kind == "refusal")


@pytest.mark.parametrize(
    ("more", "parameter", "code"),
    [
        ({"max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"temperature": 0}, "temperature", "unsupported_value"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format", None),
    ],
    ids=["max_tokens", "temperature", "response_format"],
)
def test_parameters_that_the_model_does_not_take_are_refused_by_name(
    client_of: Clients, more: dict[str, Any], parameter: str, code: str | None
) -> None:
    with FakeOpenAI(knows_schema=False) as server:
        client = client_of(server.url)
        with pytest.raises(openai.BadRequestError) as refused:
            _ask(client, model="gpt-5-mini", **more)
        _ask(client, model="gpt-5-mini", max_completion_tokens=5, temperature=1)
    assert (refused.value.param, refused.value.code) == (parameter, code)


@pytest.mark.parametrize("limit", [{"rpm": 30}, {"tpm": 600}], ids=["requests", "tokens"])
def test_a_limit_tells_how_long_to_wait(client_of: Clients, limit: dict[str, float]) -> None:
    (name,) = limit
    told = {"rpm": "x-ratelimit-limit-requests", "tpm": "x-ratelimit-limit-tokens"}[name]
    with FakeOpenAI(**limit) as server:
        client = client_of(server.url)
        first = client.chat.completions.with_raw_response.create(**_body("x"), max_tokens=100)
        assert first.headers[told] == str(limit[name])
        with pytest.raises(openai.RateLimitError) as throttled:
            _ask(client, "x", max_tokens=100)
    headers = throttled.value.response.headers
    assert headers[told] == str(limit[name])
    assert 0 < int(headers["retry-after-ms"]) <= 10_000
    assert int(headers["retry-after"]) * 1000 >= int(headers["retry-after-ms"])


def test_arrivals_are_logged_before_answers_and_without_any_text(tmp_path: Path, client_of: Clients) -> None:
    log = tmp_path / "log"
    with FakeOpenAI(log=log, latency_s=0.5) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_ask, client_of(server.url), "a secret text")
        while not log.read_text():
            time.sleep(0.01)
        assert [e["event"] for e in read_log(log)] == ["asked"]
        answer.result()
    asked, answered = read_log(log)
    assert asked["key"] == answered["key"] == request_key(_body("a secret text"))
    assert (answered["id"], answered["status"], answered["attempt"]) == (asked["id"], "200", 1)
    assert "secret" not in log.read_text()


def test_an_answer_that_nobody_waits_for_any_more_is_not_logged_as_answered(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"import openai; openai.OpenAI(base_url='%s/v1', api_key='k').chat.completions.create(**{_body('x')})"
    with FakeOpenAI(log=log, latency_s=0.5) as server:
        process = subprocess.Popen([sys.executable, "-c", script % server.url])
        while not log.read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        while server.stats["in_flight"]:
            time.sleep(0.01)
        time.sleep(0.05)
    assert read_log(log)[-1]["status"] == "gone"
    assert server.answered.total() == 0


def test_stats_count_what_is_in_flight_and_what_became_of_it(client_of: Clients) -> None:
    with FakeOpenAI(latency_s=0.3) as server, ThreadPoolExecutor(4) as pool:
        client = client_of(server.url)
        list(pool.map(lambda n: _ask(client, f"text {n % 3}"), range(4)))
        told = stats(server.url)
    assert {name: told[name] for name in ("requests", "answered", "in_flight", "distinct")} == {
        "requests": 4,
        "answered": 4,
        "in_flight": 0,
        "distinct": 3,
    }
    assert told["max_in_flight"] == 4
    assert told["by_status"] == {"200": 4}


def test_a_process_serves_takes_control_and_outlives_its_clients(tmp_path: Path, client_of: Clients) -> None:
    with server_process("--port", "0", "--log", str(tmp_path / "log"), "--latency-ms", "5", "--seed", "1") as url:
        client = client_of(url)
        _ask(client)
        control(url, down=True)
        with pytest.raises(openai.APIConnectionError):
            _ask(client)
        control(url, down=False, status=401)
        with pytest.raises(openai.AuthenticationError):
            _ask(client)
        control(url, status=None)
        _ask(client)
        assert stats(url)["by_status"] == {"200": 2, "fault": 1, "401": 1}
    assert len(read_log(tmp_path / "log")) == 8
