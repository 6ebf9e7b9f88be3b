"""What goes wrong, and how it looks on the wire: faults, errors, rate limits.

Which request meets which fault is a function of seed, body and attempt, so that a run can be repeated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from aiohttp import web

from radvlm_cli.hashing import content_hash
from tests.fakes.answers import text_of

TRANSIENT = (
    "429",
    "500",
    "503",
    "408",
    "disconnect",
    "disconnect in body",
    "truncated JSON",
    "malformed JSON",
    "no choices",
)
"""Faults that a retry gets over."""
USAGE = ("no usage", "zero usage", "negative usage")
"""The answer is good, its token counts are not."""
FINAL = ("content filter", "output filter", "length", "refusal")
"""Outcomes that the same body always has."""
_MOST_IN_A_ROW = 3
_RETRY_AFTER_S = 0.02
_CODES = {"429": "rate_limit_exceeded", "500": "server_error", "503": "server_overloaded", "408": "timeout"}


@dataclass
class Faults:
    """Shares of requests that go wrong."""

    rate: float = 0.0
    """Of attempts, spread evenly over `kinds`."""
    kinds: tuple[str, ...] = TRANSIENT + USAGE
    final_rate: float = 0.0
    """Of bodies, spread evenly over FINAL; `final_shares` come on top."""
    final_shares: Mapping[str, float] = field(default_factory=dict)
    """Of bodies, by outcome."""
    seed: int = 0

    def transient(self, key: str, attempt: int) -> str | None:
        """The fault of an attempt (from 1) at a body, if it meets one; every fourth attempt meets none."""
        if attempt % (_MOST_IN_A_ROW + 1) == 0:
            return None
        return _pick(f"{self.seed} {key} {attempt}", {kind: self.rate / len(self.kinds) for kind in self.kinds})

    def final(self, key: str) -> str | None:
        """The outcome that a body always has, whatever the seed, if it is no ordinary answer."""
        even = self.final_rate / len(FINAL)
        return _pick(f"{key} final", {kind: even + self.final_shares.get(kind, 0.0) for kind in FINAL})


def request_key(body: dict[str, Any]) -> str:
    """SHA-256 of what is asked and of whom."""
    return content_hash([body["model"], body["messages"]])


def _pick(text: str, shares: Mapping[str, float]) -> str | None:
    number = int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64
    for kind, share in shares.items():
        if number < share:
            return kind
        number -= share
    return None


class Bucket:
    """What may be spent a minute; holds a second's worth, as providers enforce it."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self._rate = (per_minute or 0.0) / 60
        self._most = max(1.0, self._rate)
        self._level = self._most
        self._at = time.monotonic()

    @property
    def level(self) -> float:
        """What may be spent now; below 0 after a request that is larger than the bucket."""
        now = time.monotonic()
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def wait(self, amount: float) -> float:
        """Seconds until `amount` can be spent; what is more than the bucket holds waits for a full one."""
        if self.per_minute is None:
            return 0.0
        return max(0.0, (min(amount, self._most) - self.level) / self._rate)

    def spend(self, amount: float) -> None:
        """Take out."""
        self._level -= amount

    def headers(self, name: str) -> dict[str, str]:
        """`x-ratelimit-*` for `requests` or `tokens`."""
        if self.per_minute is None:
            return {}
        return {
            f"x-ratelimit-limit-{name}": f"{self.per_minute:.0f}",
            f"x-ratelimit-remaining-{name}": f"{max(0.0, self.level):.0f}",
        }


class Limits:
    """Requests and tokens a minute; None: as many as you like."""

    def __init__(self, rpm: float | None, tpm: float | None) -> None:
        self._requests, self._tokens = Bucket(rpm), Bucket(tpm)

    def admit(self, body: dict[str, Any]) -> web.Response | None:
        """Charge what a request may cost, as Azure does on its arrival; or refuse it for now."""
        cost = sum(len(text_of(message["content"])) for message in body["messages"]) // 4
        cost += body.get("max_completion_tokens") or body.get("max_tokens") or 0
        wait = max(self._requests.wait(1), self._tokens.wait(cost))
        if wait > 0:
            return throttle(wait)
        self._requests.spend(1)
        self._tokens.spend(cost)
        return None

    def headers(self) -> dict[str, str]:
        """What every answer tells of the limits."""
        return self._requests.headers("requests") | self._tokens.headers("tokens")


def is_azure(request: web.Request) -> bool:
    """Whether the path is one of Azure's."""
    return request.path.startswith("/openai/")


def respond(document: Any, status: int = 200) -> web.Response:
    """JSON."""
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def refuse(
    status: int, code: str | None, message: str, *, kind: str = "invalid_request_error", parameter: str | None = None
) -> web.Response:
    """An error in OpenAI's shape."""
    return respond({"error": {"message": message, "type": kind, "param": parameter, "code": code}}, status)


def unsupported(body: dict[str, Any], models: Sequence[str], *, azure: bool, knows_schema: bool) -> web.Response | None:
    """What the model, or the lack of it, does not allow."""
    model = body["model"]
    if models and model not in models:
        code = "DeploymentNotFound" if azure else "model_not_found"
        return refuse(404, code, f"The deployment or model {model} does not exist.")
    if not knows_schema and body.get("response_format", {}).get("type") == "json_schema":
        message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        return refuse(400, None, message, parameter="response_format")
    if model.startswith("gpt-5") and "max_tokens" in body:
        message = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return refuse(400, "unsupported_parameter", f"Unsupported parameter: {message}", parameter="max_tokens")
    if model.startswith("gpt-5") and body.get("temperature", 1) != 1:
        message = f"'temperature' does not support {body['temperature']} with this model. Only 1 is supported."
        return refuse(400, "unsupported_value", f"Unsupported value: {message}", parameter="temperature")
    return None


def throttle(seconds: float) -> web.Response:
    """429, with the wait told in both ways."""
    response = refuse(429, "rate_limit_exceeded", "Rate limit reached.", kind="requests")
    response.headers["retry-after-ms"] = str(math.ceil(1000 * seconds))
    response.headers["retry-after"] = str(math.ceil(seconds))
    return response


def content_filter_error() -> dict[str, Any]:
    """Azure's refusal of a prompt."""
    results = {
        "hate": {"filtered": False, "severity": "safe"},
        "jailbreak": {"filtered": False, "detected": False},
        "self_harm": {"filtered": False, "severity": "safe"},
        "sexual": {"filtered": False, "severity": "safe"},
        "violence": {"filtered": True, "severity": "medium"},
    }
    error = {
        "message": "The response was filtered due to the prompt triggering content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results},
    }
    return {"error": error}


def fail(fault: str) -> web.Response:
    """The response that a transient fault other than a disconnect gives."""
    if fault == "429":
        return throttle(_RETRY_AFTER_S)
    if fault in _CODES:
        return refuse(int(fault), _CODES[fault], "planted", kind="server_error")
    if fault == "no choices":
        return respond({"id": "chatcmpl-0", "object": "chat.completion", "choices": []})
    body = _UNFINISHED[: len(_UNFINISHED) // 2] if fault == "truncated JSON" else b'{"choices": [}'
    return web.Response(body=body, content_type="application/json")


async def disconnect(request: web.Request, *, in_body: bool = False) -> web.StreamResponse:
    """Close the connection: before the headers, or after half of the body that they promise."""
    response = web.StreamResponse()
    if in_body:
        response.content_length = len(_UNFINISHED)
        await response.prepare(request)
        await response.write(_UNFINISHED[: len(_UNFINISHED) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


_UNFINISHED = orjson.dumps({"choices": [{"message": {"role": "assistant", "content": "cut"}}], "pad": "x" * 500})
