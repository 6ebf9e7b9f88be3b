"""curate and converse with Azure's addresses, header and refusals, through the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import run
from tests.fakes import answers
from tests.fakes.behaviour import Seen
from tests.fakes.faults import Faults, request_key
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.world import make_place, rows_of, texts_of

KEY = "azure-key-0123456789"
DEPLOYMENT = "our-gpt 4o"
DATED = "2024-10-21"
Place = Callable[[FakeOpenAI, str | None], None]


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch) -> Place:
    """Set Azure's variables, as a user does."""

    def point(server: FakeOpenAI, version: str | None) -> None:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{server.url}/")
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
        if version is not None:
            monkeypatch.setenv("AZURE_API_VERSION", version)

    return point


def _azure(**behaviour: Any) -> FakeOpenAI:
    return FakeOpenAI(**{"answer": answers.by_rules, "key": KEY, "models": [DEPLOYMENT], **behaviour})


@pytest.mark.parametrize(
    ("version", "path"),
    [
        (DATED, f"/openai/deployments/{DEPLOYMENT}/chat/completions"),
        (None, "/openai/v1/chat/completions"),
    ],
    ids=["dated", "v1"],
)
def test_calls_go_to_the_deployment_with_its_header_and_ask_to_store_nothing(
    tmp_path: Path, point_at: Place, version: str | None, path: str
) -> None:
    place = make_place(tmp_path, 20)
    with _azure() as server:
        point_at(server, version)
        assert run(["curate", *place, "--azure-model", DEPLOYMENT, "--no-files"]) == 0
        assert server.seen == {Seen("POST", path, version, frozenset({"api-key"}))}
        assert {body["store"] for body in server.bodies} == {False}
    assert len(texts_of(place)) == 20
    (called,) = rows_of(place, "SELECT DISTINCT provider, host, tier FROM llm_call")
    assert called == ("azure", server.url.removeprefix("http://"), "standard")


@pytest.mark.parametrize("version", [DATED, None], ids=["dated", "v1"])
def test_batches_go_to_azures_files_and_batches_and_leave_nothing_there(
    tmp_path: Path, point_at: Place, version: str | None
) -> None:
    place = make_place(tmp_path, 20)
    with _azure(batch_seconds=0.05) as server:
        point_at(server, version)
        options = ["--azure-model", DEPLOYMENT, "--no-files", "--batch", "--poll", "0.05"]
        assert run(["curate", *place, *options]) == 0
        base = "/openai" if version else "/openai/v1"
        kinds = [
            ("POST", "files"),
            ("GET", "files"),
            ("POST", "batches"),
            ("GET", "batches/ID"),
            ("GET", "files/ID/content"),
        ]
        wanted = {(method, f"{base}/{path}", version) for method, path in (*kinds, ("DELETE", "files/ID"))}
        assert {(seen.method, seen.path, seen.api_version) for seen in server.seen} == wanted
        assert all("api-key" in seen.headers for seen in server.seen)
        assert server.batches.files == {}
        assert {(body["store"], body["model"]) for body in server.bodies} == {(False, DEPLOYMENT)}
        endpoints = {batch["endpoint"] for batch in server.batches.batches.values()}
        assert endpoints == {"/chat/completions" if version else "/v1/chat/completions"}
    assert len(texts_of(place)) == 20
    assert rows_of(place, "SELECT DISTINCT tier FROM llm_call") == [("batch",)]


@pytest.mark.parametrize("batch", [[], ["--batch", "--poll", "0.05"]], ids=["online", "batch"])
def test_the_content_filter_has_an_outcome_of_its_own_on_prompts_and_on_answers(
    tmp_path: Path, point_at: Place, batch: list[str]
) -> None:
    place = make_place(tmp_path, 60)
    faults = Faults(final_shares={"content filter": 0.15, "output filter": 0.15})
    with _azure(faults=faults, batch_seconds=0.05) as server:
        point_at(server, DATED)
        assert run(["curate", *place, "--azure-model", DEPLOYMENT, "--no-files", *batch]) == 4
        assert server.batches.files == {}
    told = Counter(rows_of(place, "SELECT status, http_status, error FROM llm_call WHERE status <> 'ok'"))
    assert set(told) == {
        ("filtered", 400, "content_filter (violence)"),
        ("filtered", 200, "finish_reason content_filter"),
    }
    reasons = dict(rows_of(place, "SELECT reason, count(*) FROM quarantined GROUP BY 1"))
    refused = "the provider's content filter refused it"
    assert set(reasons) == {f"{refused}: violence", f"{refused}: finish_reason content_filter"}
    assert sum(reasons.values()) + len(texts_of(place)) == 60
    asked = Counter(map(request_key, server.bodies))
    assert asked.total() >= 60
    assert max(asked.values()) == 1, "a refusal was asked again"


def test_a_deployment_that_is_not_there_is_named_as_the_cause(tmp_path: Path, point_at: Place, capsys: Any) -> None:
    place = make_place(tmp_path, 3)
    with _azure() as server:
        point_at(server, None)
        assert run(["curate", *place, "--azure-model", "another"]) == 3
    told = capsys.readouterr().err
    assert "DeploymentNotFound" in told
    assert "--azure-model" in told


def test_a_wrong_key_ends_a_batch_before_anything_is_kept_there(
    tmp_path: Path, point_at: Place, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    place = make_place(tmp_path, 3)
    with _azure() as server:
        point_at(server, DATED)
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "wrong-key-987")
        assert run(["curate", *place, "--azure-model", DEPLOYMENT, "--batch"]) == 3
        assert server.batches.files == {}
    told = capsys.readouterr().err
    assert "HTTP 401" in told
    assert "wrong-key-987" not in told
    assert list(Path(place[-1]).glob("*.jsonl")) == []
