import pytest

from radvlm_cli.llm.replies import Respell, Retry, Stop, read_reply, retry_after
from radvlm_cli.records import Answer, Usage


def test_a_server_that_fails_over_the_schema_is_asked_without_it() -> None:
    body = b'{"error": {"message": "literal_error: body response_format type", "type": "internal_server_error"}}'
    assert read_reply(500, {}, body) == Respell("response_format")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices": []}', b'{"choices": [{"message": null}]}'])
def test_a_reply_without_an_answer_is_asked_for_again(body: bytes) -> None:
    assert isinstance(read_reply(200, {}, body), Retry)


@pytest.mark.parametrize("status", [401, 403, 404, 302, 405])
def test_what_no_retry_can_mend_stops(status: int) -> None:
    assert isinstance(read_reply(status, {}, b"<html>"), Stop)


def test_wrong_usage_is_left_out() -> None:
    body = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":0,"completion_tokens":-1}}'
    answer = read_reply(200, {}, body)
    assert isinstance(answer, Answer)
    assert answer.usage == Usage()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after-ms": "250", "retry-after": "9"}, 0.25), ({"retry-after": "3"}, 3.0), ({}, None)],
)
def test_retry_after_prefers_milliseconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
