"""What an endpoint's reply means: an answer, a reason to try again, or a reason to stop.

Error texts are made of status and codes alone: a server's message may quote the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

import orjson

from radvlm_cli.llm import Answer, Status, Usage
from radvlm_cli.llm.limiter import Rates

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_RESPELLABLE = ("max_tokens", "max_completion_tokens", "temperature", "response_format", "seed", "store", "json_schema")


class Retry(NamedTuple):
    """No answer this time."""

    kind: Literal["throttled", "unavailable"]
    error: str
    after_s: float | None = None
    http_status: int | None = None


class Stop(NamedTuple):
    """No call to this endpoint can succeed until somebody mends something."""

    error: str
    http_status: int


class Respell(NamedTuple):
    """The endpoint does not know a parameter of the request, or not its value."""

    parameter: str


Reply = Answer | Retry | Stop | Respell


def read_reply(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Read one HTTP reply to a chat completion."""
    if status == 200:
        return _read_completion(body)
    error = _error_of(body)
    told = f"HTTP {status}{''.join(f' {part}' for part in (error.code, error.kind) if part)}"
    if status == 429:
        if error.code == "insufficient_quota":
            return Stop(told, status)
        return Retry("throttled", told, retry_after(headers), status)
    if status in (408, 409) or status >= 500:
        if "response_format" in error.message:  # llama.cpp's server has no other way to say that it has no schemas
            return Respell("response_format")
        return Retry("unavailable", told, retry_after(headers), status)
    if status in (400, 413, 422):
        return _read_refusal(status, error, told)
    return Stop(told, status)


def read_completion(document: Any) -> Answer | None:
    """Read the document of a chat completion, also one from a batch file; None if it is not one."""
    try:
        choice = document["choices"][0]
        message = choice["message"]
        content, refusal, finish = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if content is not None and not isinstance(content, str):
        return None
    status: Status = "ok"
    if finish == "length":
        status = "truncated"
    elif finish == "content_filter":
        status = "filtered"
    elif refusal:
        status = "refused"
    return Answer(
        status=status,
        text=content if content is not None else (refusal if isinstance(refusal, str) else ""),
        usage=_usage(document.get("usage")),
        model=identifier(document.get("model")),
        fingerprint=identifier(document.get("system_fingerprint")),
        request_id=identifier(document.get("id")),
        finish_reason=identifier(finish),
        http_status=200,
        error=None if status == "ok" else f"finish_reason {identifier(finish)}",
    )


def read_error(status: int, document: Any) -> Answer | Respell:
    """Read an error document that is an outcome of its request, also one from a batch file."""
    error = _error_from(document)
    return _read_refusal(
        status, error, f"HTTP {status}{''.join(f' {part}' for part in (error.code, error.kind) if part)}"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait: retry-after-ms, else retry-after as a number or a date."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass  # the coarser header may be there
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass  # or it is a date
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def read_rates(headers: Mapping[str, str]) -> Rates | None:
    """The x-ratelimit headers, if there are any."""
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return None
    names = ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens")
    return Rates(*(_number(headers.get(f"x-ratelimit-{name}")) for name in names))


class _Error(NamedTuple):
    code: str | None
    kind: str | None
    parameter: str | None
    message: str
    filtered_for: tuple[str, ...]


def _read_completion(body: bytes) -> Reply:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Retry("unavailable", "a reply that is not JSON", http_status=200)
    answer = read_completion(document)
    return answer if answer is not None else Retry("unavailable", "a reply without a choice", http_status=200)


def _read_refusal(status: int, error: _Error, told: str) -> Answer | Respell:
    if error.code == "content_filter" or error.filtered_for:
        which = f" ({', '.join(error.filtered_for)})" if error.filtered_for else ""
        return Answer("filtered", error=f"content_filter{which}", http_status=status)
    unsupported = error.code in ("unsupported_parameter", "unsupported_value", "unknown_parameter", "unsupported")
    for name in _RESPELLABLE:
        if (error.parameter and name in error.parameter) or ((unsupported or not error.code) and name in error.message):
            return Respell("response_format" if name == "json_schema" else name)
    return Answer("rejected", error=told, http_status=status)


def _error_of(body: bytes) -> _Error:
    try:
        return _error_from(orjson.loads(body))
    except orjson.JSONDecodeError:
        return _Error(None, None, None, "", ())


def _error_from(document: Any) -> _Error:
    """OpenAI's and Azure's shape; other servers send a bare message or a list of what is wrong with the fields."""
    error = document.get("error", document) if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return _Error(None, None, None, str(error or ""), ())
    inner = error.get("innererror")
    results = inner.get("content_filter_result", {}) if isinstance(inner, dict) else {}
    filtered = tuple(sorted(str(k) for k, v in results.items() if isinstance(v, dict) and _tripped(v)))
    message = error.get("message") or error.get("detail") or ""
    return _Error(
        identifier(error.get("code")),
        identifier(error.get("type")),
        identifier(error.get("param")),
        str(message),
        filtered,
    )


def _tripped(result: dict[str, Any]) -> bool:
    return bool(result.get("filtered") or result.get("detected"))


def _usage(usage: Any) -> Usage:
    """Token counts; those that cannot be true are left out."""
    if not isinstance(usage, dict):
        return Usage()
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    of_input, of_output = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = _count(of_input.get("cached_tokens")) if isinstance(of_input, dict) else None
    reasoning = _count(of_output.get("reasoning_tokens")) if isinstance(of_output, dict) else None
    if not prompt:  # every request has a prompt
        return Usage(None, None, completion, reasoning)
    return Usage(prompt, min(cached, prompt) if cached is not None else None, completion, reasoning)


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def identifier(value: Any) -> str | None:
    """An identifier as it is; anything that could be prose is left out."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None
