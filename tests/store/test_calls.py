"""Calls in the store: what is kept of them, and which of two is kept."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from radvlm_cli.records import Answer, Usage
from radvlm_cli.store.bulk import execute_many
from radvlm_cli.store.calls import (
    CALL_SQL,
    Asked,
    answered_keys,
    asked_messages,
    call_row,
    find_answer,
    pack,
    register_prompt,
    spent,
    unpack,
)
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

ASKED = [{"role": "user", "content": "Kein Pneumothorax \u2013 \u80ba\u91ce\u6e05\u6670."}]
WHOLE = Answer(
    status="truncated",
    text="The lungs are",
    usage=Usage(100, 40, 7, 3),
    cost=0.25,
    model="gpt-4o-2024-08-06",
    fingerprint="fp_1",
    request_id="chatcmpl-1",
    finish_reason="length",
    error="finish_reason length",
    http_status=200,
    latency_ms=812,
    attempts=2,
    tier="batch",
)


@pytest.fixture
def prompt(store: Store, run: Run) -> int:
    return _register(store, run, b"prompt")


def _register(store: Store, run: Run, digest: bytes) -> int:
    what: dict[str, Any] = {"name": "test", "model": "m", "parameters": {"seed": 1}, "schema": None, "messages": ASKED}
    return register_prompt(store, run.id, digest=digest, **what)


def _keep(store: Store, run: Run, prompt: int, *answers: Answer, key: bytes = b"key") -> None:
    who = Asked("azure", "lab.openai.azure.com", run.id)
    with store.write() as connection:
        execute_many(connection, CALL_SQL, [call_row(key, prompt, pack(ASKED), who, answer) for answer in answers])


def test_an_answer_comes_back_whole(store: Store, run: Run, prompt: int) -> None:
    _keep(store, run, prompt, WHOLE)
    assert find_answer(store, b"key") == WHOLE
    assert find_answer(store, b"another") is None


@pytest.mark.parametrize("text", [None, "", "Zwei Zeilen\n\u2265 3 mm", "x" * 100_000])
def test_texts_are_kept_compressed_and_come_back_letter_by_letter(
    store: Store, run: Run, prompt: int, text: str | None
) -> None:
    _keep(store, run, prompt, Answer("ok", text))
    found = find_answer(store, b"key")
    assert found is not None
    assert found.text == text
    packed, asked = next(store.rows("SELECT answer, asked FROM llm_call"))
    assert asked_messages(asked) == ASKED
    if text is not None:
        assert zlib.decompress(packed).decode() == unpack(packed) == text
        assert len(packed) < max(20, len(text) / 100) or len(text) < 100


def test_of_two_answers_to_one_call_the_first_is_kept(store: Store, run: Run, prompt: int) -> None:
    _keep(store, run, prompt, Answer("ok", "first", attempts=2))
    _keep(store, run, prompt, Answer("ok", "second"), Answer("failed", error="HTTP 500"))
    assert find_answer(store, b"key") == Answer("ok", "first", attempts=2)
    assert store.value("SELECT count(*) FROM llm_call") == 1


@pytest.mark.parametrize("status", ["ok", "truncated", "filtered", "refused", "rejected"])
def test_a_failed_call_counts_as_never_asked_until_something_comes_of_it(
    store: Store, run: Run, prompt: int, status: Any
) -> None:
    _keep(store, run, prompt, Answer("failed", error="HTTP 503", attempts=6))
    assert find_answer(store, b"key") is None
    assert answered_keys(store, [prompt]) == set()
    _keep(store, run, prompt, Answer("failed", error="HTTP 500", attempts=6))
    _keep(store, run, prompt, Answer(status, "x"))
    found = find_answer(store, b"key")
    assert found is not None
    assert (found.status, found.attempts, found.error) == (status, 13, None)
    assert answered_keys(store, [prompt]) == {b"key"}


def test_answered_keys_are_those_of_the_prompts_that_are_asked_for(store: Store, run: Run, prompt: int) -> None:
    other = _register(store, run, b"another prompt")
    for number in range(50):
        _keep(store, run, prompt, Answer("ok", "x"), key=b"a%d" % number)
        _keep(store, run, other, Answer("ok", "x"), key=b"b%d" % number)
    _keep(store, run, prompt, Answer("failed"), key=b"none")
    assert answered_keys(store, [prompt]) == {b"a%d" % number for number in range(50)}
    assert len(answered_keys(store, [prompt, other])) == 100
    assert answered_keys(store, []) == set()


def test_a_prompt_is_registered_once(store: Store, run: Run, prompt: int) -> None:
    assert _register(store, run, b"prompt") == prompt
    parameters, messages = next(store.rows("SELECT parameters, messages FROM prompt"))
    assert json.loads(parameters) == {"seed": 1}
    assert asked_messages(messages) == ASKED


def test_what_a_run_spent_is_the_sum_of_its_calls(store: Store, run: Run, prompt: int) -> None:
    assert spent(store, run.id) == 0.0
    _keep(store, run, prompt, Answer("ok", "x", cost=0.25))
    _keep(store, run, prompt, Answer("ok", "x"), key=b"of unknown cost")
    _keep(store, run, prompt, Answer("ok", "x", cost=0.5), key=b"another")
    assert spent(store, run.id) == 0.75
    assert spent(store, run.id + 1) == 0.0
