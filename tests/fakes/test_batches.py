"""The fake's files and batches as the real `openai` client sees them."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes.faults import Faults
from tests.fakes.fixtures import read_log
from tests.fakes.openai_server import FakeOpenAI

AZURE_VERSION = "2024-10-21"


@contextmanager
def _serving(base: str = "/v1", **behaviour: Any) -> Iterator[tuple[FakeOpenAI, openai.OpenAI]]:
    with FakeOpenAI(**{"batch_seconds": 0.05, **behaviour}) as server:
        client = (
            openai.AzureOpenAI(azure_endpoint=server.url, api_key="k", api_version=AZURE_VERSION, max_retries=0)
            if base == "/openai"
            else openai.OpenAI(base_url=server.url + base, api_key="k", max_retries=0)
        )
        with client:
            yield server, client


def _input(number: int = 40, **first: Any) -> bytes:
    """A file of requests; `first` changes the first line."""
    lines = [
        {
            "custom_id": f"id-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": f"report {n}"}]},
        }
        for n in range(number)
    ]
    lines[0] |= first
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _start(client: openai.OpenAI, content: bytes, **metadata: str) -> Any:
    file = client.files.create(file=("input.jsonl", io.BytesIO(content)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
    )


def _finish(client: openai.OpenAI, content: bytes) -> Any:
    batch = _start(client, content)
    while batch.status in ("validating", "in_progress", "finalizing"):
        time.sleep(0.01)
        batch = client.batches.retrieve(batch.id)
    return batch


def _lines(client: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    if file_id is None:
        return {}
    lines = [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
    assert len({line["custom_id"] for line in lines}) == len(lines)
    return {line["custom_id"]: line for line in lines}


@pytest.mark.parametrize("base", ["/v1", "/openai/v1", "/openai"], ids=["openai", "azure-v1", "azure-dated"])
def test_a_batch_answers_every_line_in_an_order_of_its_own(base: str) -> None:
    with _serving(base) as (_server, client):
        batch = _finish(client, _input())
        assert batch.status == "completed"
        assert (batch.request_counts.total, batch.request_counts.completed) == (40, 40)
        answers = _lines(client, batch.output_file_id)
        azure = base.startswith("/openai")
        assert (batch.error_file_id is not None) == azure, "Azure always writes an error file"
        assert _lines(client, batch.error_file_id) == {}
    assert list(answers) != [f"id-{n}" for n in range(40)]
    assert sorted(answers) == sorted(f"id-{n}" for n in range(40))
    response = answers["id-7"]["response"]
    assert response["status_code"] == 200
    assert "report 7" in response["body"]["choices"][0]["message"]["content"]


def test_files_can_be_told_of_listed_and_deleted() -> None:
    with _serving() as (server, client):
        file = client.files.create(file=("a.jsonl", io.BytesIO(b"{}\n")), purpose="batch")
        assert client.files.retrieve(file.id).filename == "a.jsonl"
        assert [one.id for one in client.files.list(purpose="batch")] == [file.id]
        assert list(client.files.list(purpose="fine-tune")) == []
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.content(file.id)
        assert server.batches.files == {}


def test_batches_are_listed_newest_first_over_several_pages_with_their_metadata(tmp_path: Path) -> None:
    with _serving(log=tmp_path / "log") as (server, client):
        for number in range(5):
            _start(client, _input(2), radvlm=f"intent {number}")
        listed = [batch.metadata["radvlm"] for batch in client.batches.list(limit=2) if batch.metadata]
        assert listed == [f"intent {number}" for number in (4, 3, 2, 1, 0)]
        assert max(server.batches.submitted.values()) == 1
    logged = [event for event in read_log(tmp_path / "log") if event["event"] == "batch"]
    assert [(e["metadata"], e["lines"]) for e in logged] == [({"radvlm": f"intent {n}"}, 2) for n in range(5)]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (_input(3, custom_id="id-1"), "duplicate_custom_id"),
        (_input(3, body={"model": "other", "messages": []}), "model_mismatch"),
        (_input(11), "too_many_tasks"),
        (b"\xef\xbb\xbf" + _input(3), "invalid_json_line"),
        (b"", "empty_file"),
    ],
    ids=["duplicate", "models", "lines", "byte-order-mark", "empty"],
)
def test_a_bad_input_file_is_a_failed_batch_and_no_http_error(content: bytes, code: str) -> None:
    with _serving(batch_lines=10) as (_server, client):
        batch = _finish(client, content)
    assert batch.status == "failed"
    assert [error.code for error in batch.errors.data] == [code]
    assert batch.output_file_id is None


def test_a_file_over_the_limit_is_refused_on_upload() -> None:
    with _serving(batch_bytes=100) as (_server, client), pytest.raises(openai.BadRequestError):
        _start(client, _input())


def test_lines_that_failed_and_prompts_that_were_filtered_are_in_the_error_file() -> None:
    with _serving(batch_error_share=0.3, faults=Faults(final_shares={"content filter": 0.3})) as (_server, client):
        first = _finish(client, _input())
        again = _finish(client, _input())
        good, bad = _lines(client, first.output_file_id), _lines(client, first.error_file_id)
        still_bad = _lines(client, again.error_file_id)
    codes = {name: line["response"]["body"]["error"]["code"] for name, line in bad.items()}
    assert set(codes.values()) == {"server_error", "content_filter"}
    assert {line["response"]["status_code"] for line in bad.values()} == {500, 400}
    assert sorted([*good, *bad]) == sorted(f"id-{n}" for n in range(40))
    assert {line["response"]["status_code"] for line in still_bad.values()} == {400}, "only a filter lasts"


@pytest.mark.parametrize("end", ["failed", "expired"])
def test_a_batch_that_ends_badly_keeps_the_half_that_it_answered(end: str) -> None:
    with _serving(batch_end=end) as (server, client):
        batch = _finish(client, _input())
        good, bad = _lines(client, batch.output_file_id), _lines(client, batch.error_file_id)
        server.behaviour.batch_end = "completed"
        assert _finish(client, _input()).status == "completed"
    assert batch.status == end
    assert len(good) == 20
    assert len(bad) == (20 if end == "expired" else 0)
    assert {line["error"]["code"] for line in bad.values()} == ({"batch_expired"} if bad else set())


def test_a_cancelled_batch_stays_cancelled_and_a_finished_one_cannot_be() -> None:
    with _serving(batch_seconds=0.3) as (_server, client):
        batch = _start(client, _input())
        assert client.batches.cancel(batch.id).status == "cancelled"
        time.sleep(0.4)
        assert client.batches.retrieve(batch.id).status == "cancelled"
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
