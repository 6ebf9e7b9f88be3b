"""An OpenAI-protocol server that is real in all but the model: HTTP, limits, faults, files and batches.

In a test: `with FakeOpenAI() as server: server.url`. As a process of its own, which outlives its clients:
`python -m tests.fakes.openai_server --log FILE` prints its address when it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import orjson
from aiohttp import web

from radvlm_cli.hashing import canonical_json
from radvlm_cli.llm.tokens import message_tokens
from tests.fakes import answers
from tests.fakes.batches import Batches
from tests.fakes.faults import USAGE, Faults

Answerer = Callable[[dict[str, Any]], str]


@dataclass
class Behaviour:
    """How the server answers."""

    answer: Answerer = answers.echo
    latency_s: float = 0.0
    """Give or take a fifth."""
    faults: Faults = field(default_factory=Faults)
    key: str | None = None
    """The key that it wants; None: any."""
    models: tuple[str, ...] = ("test-model",)
    any_model: bool = True
    count_tokens: bool = True
    requests_per_minute: float | None = None
    knows_schema: bool = True
    log: Path | None = None
    batch_seconds: float = 0.3
    batch_error_share: float = 0.0
    batch_lines: int = 50_000
    down: bool = False
    status: int | None = None
    """Answer everything with this status."""


class FakeOpenAI:
    """The server, in a thread of its own."""

    def __init__(self, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.stats: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        """Requests by key: sha256 of model and messages."""
        self.answered: Counter[str] = Counter()
        """Of those, the ones that were answered with 200, in full."""
        self.bodies: list[dict[str, Any]] = []
        """The last request bodies, for tests that look at them."""
        self.headers: list[dict[str, str]] = []
        self.batches = Batches(self)
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log = None
        self._bucket = 0.0
        self._bucket_at = time.monotonic()

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(20)
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self.start("127.0.0.1", 0))
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def start(self, host: str, port: int) -> web.AppRunner:
        """Listen; `url` tells where."""
        if self.behaviour.log is not None:
            self._log = self.behaviour.log.open("ab", buffering=0)
        app = web.Application(client_max_size=1 << 30, middlewares=[self._gate])
        for base in ("/v1", "/openai/v1", "/openai"):
            app.router.add_get(f"{base}/models", self._models)
            self.batches.add_routes(app, base)
        for path in ("/v1", "/openai/v1", "/openai/deployments/{deployment}"):
            app.router.add_post(f"{path}/chat/completions", self._chat)
        app.router.add_get("/_stats", self._stats)
        app.router.add_post("/_control", self._control)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=4096)
        await site.start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"
        return runner

    def log(self, **event: Any) -> None:
        """One line, at once."""
        if self._log is not None:
            self._log.write(orjson.dumps({**event, "t": time.time()}) + b"\n")

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/_"):
            return await handler(request)
        told = request.headers.get("api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.behaviour.status is not None:
            return _error(self.behaviour.status, "planted", "planted")
        if self.behaviour.key is not None and told != self.behaviour.key:
            return _error(401, "invalid_api_key", "invalid_request_error", message=f"Incorrect API key: {told}")
        return await handler(request)

    async def _models(self, _request: web.Request) -> web.Response:
        return _json({"object": "list", "data": [{"id": name, "object": "model"} for name in self.behaviour.models]})

    async def _stats(self, _request: web.Request) -> web.Response:
        twice = sum(1 for count in self.answered.values() if count > 1)
        return _json({**self.stats, "distinct": len(self.asked), "answered twice": twice})

    async def _control(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            setattr(self.behaviour, name, value)
        return _json({})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        if "deployment" in request.match_info:
            body["model"] = request.match_info["deployment"]
        key = sha256(canonical_json([body["model"], body["messages"]]).encode()).hexdigest()
        self.asked[key] += 1
        number = self.stats["requests"] = self.stats["requests"] + 1
        self.stats["in_flight"] += 1
        self.stats["max_in_flight"] = max(self.stats["max_in_flight"], self.stats["in_flight"])
        if len(self.bodies) < 1000:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
        self.log(event="asked", number=number, key=key, attempt=self.asked[key])
        try:
            if self.behaviour.latency_s:
                await asyncio.sleep(self.behaviour.latency_s * random.uniform(0.8, 1.2))
            response, told = await self._reply(request, body, key)
        finally:
            self.stats["in_flight"] -= 1
        self.stats[f"status {told}"] += 1
        if told == "200":
            self.answered[key] += 1
        self.log(event="answered", number=number, key=key, status=told)
        return response

    async def _reply(self, request: web.Request, body: dict[str, Any], key: str) -> tuple[web.StreamResponse, str]:
        if self.behaviour.down:
            return await _disconnect(request, b""), "fault"
        if not self.behaviour.any_model and body["model"] not in self.behaviour.models:
            return _error(404, "DeploymentNotFound", None), "404"
        if wrong := self._unsupported(body):
            return wrong, "400"
        if (wait := self._throttle()) > 0:
            return _throttled(wait), "429"
        fault = self.behaviour.faults.transient(key, self.asked[key])
        if fault is not None and fault not in USAGE:
            return await self._fail(request, fault), "fault"
        final = self.behaviour.faults.final(key)
        if final == "content filter":
            return _content_filter(), "400"
        return _json(self.completion(body, final=final, fault=fault), self._limits()), "200"

    def completion(self, body: dict[str, Any], *, final: str | None = None, fault: str | None = None) -> dict[str, Any]:
        """The document of an answer; also for batches."""
        text = self.behaviour.answer(body)
        finish, message = "stop", {"role": "assistant", "content": text}
        if final == "length":
            finish, message["content"] = "length", text[: len(text) // 2]
        elif final == "output filter":
            finish, message["content"] = "content_filter", ""
        elif final == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        usage = self._count(body, message["content"] or "")
        bad = {"zero usage": 0, "negative usage": -5}.get(fault or "")
        if bad is not None:
            usage = dict.fromkeys(usage, bad)
        return {
            "id": f"chatcmpl-{self.stats['requests']}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": f"{body['model']}-2026-01-01",
            "system_fingerprint": "fp_fake",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            **({} if fault == "no usage" else {"usage": usage}),
        }

    def _count(self, body: dict[str, Any], text: str) -> dict[str, int]:
        if self.behaviour.count_tokens:
            prompt = message_tokens(body["messages"])
            completion = message_tokens([{"role": "assistant", "content": text}]) - 7
        else:
            prompt = sum(len(message["content"]) for message in body["messages"]) // 4
            completion = len(text) // 4 + 1
        self.stats["input_tokens"] += prompt
        self.stats["output_tokens"] += completion
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _unsupported(self, body: dict[str, Any]) -> web.Response | None:
        if "response_format" in body and not self.behaviour.knows_schema:
            return _error(400, None, "invalid_request_error", message="response_format is not supported here")
        if body["model"].startswith("gpt-5"):
            if "max_tokens" in body:
                return _error(400, "unsupported_parameter", "invalid_request_error", parameter="max_tokens")
            if body.get("temperature", 1) != 1:
                return _error(400, "unsupported_value", "invalid_request_error", parameter="temperature")
        return None

    def _throttle(self) -> float:
        """Seconds to wait, by a bucket that holds one second's worth of requests."""
        per_minute = self.behaviour.requests_per_minute
        if per_minute is None:
            return 0.0
        now, rate = time.monotonic(), per_minute / 60
        self._bucket = min(rate, self._bucket + (now - self._bucket_at) * rate)
        self._bucket_at = now
        if self._bucket >= 1:
            self._bucket -= 1
            return 0.0
        return max(0.05, (1 - self._bucket) / rate)

    def _limits(self) -> dict[str, str]:
        if self.behaviour.requests_per_minute is None:
            return {}
        return {
            "x-ratelimit-limit-requests": f"{self.behaviour.requests_per_minute:.0f}",
            "x-ratelimit-remaining-requests": f"{self._bucket:.0f}",
        }

    async def _fail(self, request: web.Request, fault: str) -> web.StreamResponse:
        if fault == "429":
            return _throttled(0.02)
        if fault.isdigit():
            return _error(int(fault), "server_error", "server_error")
        whole = orjson.dumps({"choices": [{"message": {"role": "assistant", "content": "cut"}}], "pad": "x" * 500})
        if fault == "disconnect":
            return await _disconnect(request, b"")
        if fault == "disconnect in body":
            return await _disconnect(request, whole)
        if fault == "no choices":
            return _json({"id": "x", "choices": []})
        body = whole[: len(whole) // 2] if fault == "truncated JSON" else b'{"choices": [}'
        return web.Response(body=body, content_type="application/json")


async def _disconnect(request: web.Request, body: bytes) -> web.StreamResponse:
    """Close the connection, before the headers or in the middle of the body."""
    response = web.StreamResponse()
    if body:
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


def _json(document: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json", headers=headers)


def _error(
    status: int, code: str | None, kind: str | None, *, message: str = "planted", parameter: str | None = None
) -> web.Response:
    error = {"message": message, "type": kind, "param": parameter, "code": code}
    return web.Response(status=status, body=orjson.dumps({"error": error}), content_type="application/json")


def _throttled(seconds: float) -> web.Response:
    response = _error(429, "rate_limit_exceeded", "requests")
    response.headers["retry-after-ms"] = str(int(1000 * seconds))
    response.headers["retry-after"] = str(max(1, round(seconds)))
    return response


def content_filter_error() -> dict[str, Any]:
    """Azure's refusal of a prompt."""
    results = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False, "severity": "safe"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}
    return {"error": {"code": "content_filter", "status": 400, "param": "prompt", "message": "", "innererror": inner}}


def _content_filter() -> web.Response:
    return web.Response(status=400, body=orjson.dumps(content_filter_error()), content_type="application/json")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", default="tests.fakes.answers:echo")
    parser.add_argument("--count", choices=("tokens", "characters"), default="tokens")
    parser.add_argument("--requests-per-minute", type=float)
    parser.add_argument("--batch-seconds", type=float, default=0.3)
    parser.add_argument("--batch-error-share", type=float, default=0.0)
    parser.add_argument("--batch-lines", type=int, default=50_000)
    told = parser.parse_args()
    module, _, name = told.answers.partition(":")
    server = FakeOpenAI(
        answer=getattr(importlib.import_module(module), name),
        latency_s=told.latency_ms / 1000,
        faults=Faults(rate=told.fault_rate, seed=told.seed),
        count_tokens=told.count == "tokens",
        requests_per_minute=told.requests_per_minute,
        log=told.log,
        batch_seconds=told.batch_seconds,
        batch_error_share=told.batch_error_share,
        batch_lines=told.batch_lines,
    )
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start("127.0.0.1", told.port))
    print(server.url, flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main()
