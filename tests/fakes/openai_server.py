"""An OpenAI-protocol server that is real in all but the model: HTTP, limits, faults, files and batches.

In a test: `with FakeOpenAI() as server: server.url`. As a process of its own, which outlives its clients:
`python -m tests.fakes.openai_server --log FILE` prints its address when it is ready (fixtures.server_process).
OpenAI's paths lie below `/v1`, Azure's below `/openai/v1` and, with an api-version, below `/openai`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson
from aiohttp import web

from tests.fakes import answers
from tests.fakes.batches import ENDS, Batches
from tests.fakes.behaviour import Behaviour, Seen
from tests.fakes.faults import (
    FINAL,
    USAGE,
    Faults,
    Limits,
    content_filter_error,
    disconnect,
    fail,
    is_azure,
    refuse,
    request_key,
    respond,
    unsupported,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODIES_KEPT = 1000


class FakeOpenAI:
    """The server, in a thread of its own."""

    def __init__(self, **behaviour: Any) -> None:
        self.behaviour = Behaviour(**behaviour)
        self.stats: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        """Requests by key (faults.request_key)."""
        self.answered: Counter[str] = Counter()
        """Of those, the ones that were answered with 200, in full."""
        self.bodies: list[dict[str, Any]] = []
        """The first request bodies, for tests that look at them."""
        self.seen: set[Seen] = set()
        """How the server was asked, apart from ids in paths."""
        self.batches = Batches(self)
        self.url = ""
        self._limits = Limits(self.behaviour.rpm, self.behaviour.tpm)
        self._log: BinaryIO | None = None
        self._jitter = random.Random(0)

    def __enter__(self) -> Self:
        ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(20)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        runner = self._loop.run_until_complete(self.start("127.0.0.1", 0))
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop(runner))
        self._loop.close()

    @staticmethod
    async def _stop(runner: web.AppRunner) -> None:
        await runner.cleanup()
        for left in (others := asyncio.all_tasks() - {asyncio.current_task()}):
            left.cancel()  # requests that nobody waits for any more
        await asyncio.gather(*others, return_exceptions=True)

    async def start(self, host: str, port: int) -> web.AppRunner:
        """Listen; `url` tells where."""
        if self.behaviour.log is not None:
            self._log = self.behaviour.log.open("ab", buffering=0)
        app = web.Application(client_max_size=1 << 30, middlewares=[self._gate])
        for path in ("/v1", "/openai/v1", "/openai/deployments/{deployment}"):
            app.router.add_post(f"{path}/chat/completions", self._chat)
        for base in ("/v1", "/openai/v1", "/openai"):
            app.router.add_get(f"{base}/models", self._models)
            self.batches.add_routes(app, base)
        app.router.add_get("/version", self._version)
        app.router.add_get("/_stats", self._stats)
        app.router.add_post("/_control", self._control)
        app.on_cleanup.append(self._clean_up)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=4096)
        await site.start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"
        return runner

    async def _clean_up(self, _app: web.Application) -> None:
        await self.batches.stop()
        if self._log is not None:
            self._log.close()

    def log(self, **event: Any) -> None:
        """One line, at once; never a body."""
        if self._log is not None:
            self._log.write(orjson.dumps({**event, "t": time.time()}) + b"\n")

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What holds for every path; chat completions look themselves, so that their refusals are counted."""
        self._note(request)
        if request.path.startswith(("/_", "/version")) or request.path.endswith("/chat/completions"):
            return await handler(request)
        if self.behaviour.down:
            return await disconnect(request)
        if (page := self.behaviour.page) is not None:
            return web.Response(text=page, content_type="text/html" if page.startswith("<") else "application/json")
        return self._refused(request) or await handler(request)

    def _note(self, request: web.Request) -> None:
        path = re.sub(r"/(files|batches)/[^/]+", r"/\1/ID", request.path)
        headers = frozenset(name for name in ("api-key", "Authorization") if name in request.headers)
        self.seen.add(Seen(request.method, path, request.query.get("api-version"), headers))

    def keep_body(self, body: dict[str, Any]) -> None:
        """Keep one of the first bodies for tests that look at them; also those of batches."""
        if len(self.bodies) < _BODIES_KEPT:
            self.bodies.append(body)

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.behaviour.status is not None:
            return refuse(self.behaviour.status, "planted", "planted")
        versioned = "/v1/" in request.path
        if not versioned and "api-version" not in request.query:
            return respond({"error": {"code": "404", "message": "Resource not found"}}, 404)
        told = request.headers.get("api-key") if is_azure(request) else None
        if told is None and versioned:
            told = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.behaviour.key is not None and told != self.behaviour.key:
            return refuse(401, "invalid_api_key", f"Incorrect API key provided: {told}.")
        return None

    async def _models(self, _request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model"} for name in self.behaviour.models or ("test-model",)]
        return respond({"object": "list", "data": data})

    async def _version(self, _request: web.Request) -> web.Response:
        version = self.behaviour.version
        return respond({"version": version}) if version else refuse(404, None, "Not Found")

    async def _stats(self, _request: web.Request) -> web.Response:
        names = ("requests", "input_tokens", "output_tokens", "in_flight", "max_in_flight")
        by_status = {name.removeprefix("status "): n for name, n in self.stats.items() if name.startswith("status ")}
        counts = {"answered": self.answered.total(), "by_status": by_status, "distinct": len(self.asked)}
        return respond({name: self.stats[name] for name in names} | counts)

    async def _control(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        if unknown := wanted.keys() - {"down", "status", "fault_rate", "batch_end"}:
            return refuse(400, None, f"unknown: {', '.join(sorted(unknown))}")
        if "fault_rate" in wanted:
            self.behaviour.faults.rate = wanted.pop("fault_rate")
        for name, value in wanted.items():
            setattr(self.behaviour, name, value)
        return respond({})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = orjson.loads(await request.read())
            body["model"] = request.match_info.get("deployment") or body["model"]
            key = request_key(body)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return refuse(400, None, "The body is no JSON with a model and messages.")
        number = self._note_arrival(body, key)
        try:
            if self.behaviour.latency_s:
                await asyncio.sleep(self.behaviour.latency_s * self._jitter.uniform(0.8, 1.2))
            response, told = await self._reply(request, body, key)
            if isinstance(response, web.Response):
                response.headers.update(self._limits.headers())
                await response.prepare(request)  # here, not by the framework: only what was sent is an answer
                await response.write_eof()
        except ConnectionError:
            told = "gone"
        finally:
            self.stats["in_flight"] -= 1
        self.stats[f"status {told}"] += 1
        if told == "200":
            self.answered[key] += 1
        self.log(event="answered", id=number, key=key, status=told, attempt=self.asked[key])
        return response

    def _note_arrival(self, body: dict[str, Any], key: str) -> int:
        self.asked[key] += 1
        self.stats["requests"] += 1
        self.stats["in_flight"] += 1
        self.stats["max_in_flight"] = max(self.stats["max_in_flight"], self.stats["in_flight"])
        self.keep_body(body)
        number = self.stats["requests"]
        self.log(event="asked", id=number, key=key, attempt=self.asked[key])
        return number

    async def _reply(self, request: web.Request, body: dict[str, Any], key: str) -> tuple[web.StreamResponse, str]:
        """The response, and how it is told of: its status, or `fault`."""
        told = self.behaviour
        if told.down:
            return await disconnect(request), "fault"
        refused = (
            self._refused(request)
            or unsupported(body, told.models, azure=is_azure(request), knows_schema=told.knows_schema)
            or self._limits.admit(body)
        )
        if refused is not None:
            return refused, str(refused.status)
        fault = told.faults.transient(key, self.asked[key])
        if fault in ("disconnect", "disconnect in body"):
            return await disconnect(request, in_body=fault == "disconnect in body"), "fault"
        if fault is not None and fault not in USAGE:
            return fail(fault), "fault"
        final = told.faults.final(key)
        if final == "content filter":
            return respond(content_filter_error(), 400), "400"
        document = self.completion(body, final)
        return respond(answers.misstate(document, fault) if fault else document), "200"

    def completion(self, body: dict[str, Any], final: str | None) -> dict[str, Any]:
        """The document of an answer, which is counted as paid; also for batches."""
        text, number, exact = self.behaviour.answer(body), self.stats["requests"], self.behaviour.count_tokens
        document = answers.completion(body, text, number, final=final, count_tokens=exact)
        self.stats["input_tokens"] += document["usage"]["prompt_tokens"]
        self.stats["output_tokens"] += document["usage"]["completion_tokens"]
        return document


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--final", action="append", default=[], metavar="OUTCOME=SHARE", help=", ".join(FINAL))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", default="tests.fakes.answers:echo", metavar="MODULE:FUNCTION")
    parser.add_argument("--count", choices=("tokens", "chars", "characters"), default="tokens")
    parser.add_argument("--key")
    parser.add_argument("--models", nargs="*", default=())
    parser.add_argument("--rpm", type=float)
    parser.add_argument("--tpm", type=float)
    parser.add_argument("--no-json-schema", dest="knows_schema", action="store_false")
    parser.add_argument("--batch-seconds", type=float, default=0.3)
    parser.add_argument("--batch-error-share", type=float, default=0.0)
    parser.add_argument("--batch-end", choices=ENDS, default="completed")
    parser.add_argument("--batch-lines", type=int, default=50_000)
    parser.add_argument("--batch-bytes", type=int, default=200_000_000)
    return parser.parse_args()


def main() -> None:
    """Serve until killed."""
    told = vars(_parse())
    module, _, name = told.pop("answers").partition(":")
    shares = {outcome: float(share) for outcome, _, share in (text.partition("=") for text in told.pop("final"))}
    faults = Faults(rate=told.pop("fault_rate"), seed=told.pop("seed"), final_shares=shares)
    port, latency_s, count = told.pop("port"), told.pop("latency_ms") / 1000, told.pop("count")
    told["answer"] = getattr(importlib.import_module(module), name)
    server = FakeOpenAI(latency_s=latency_s, faults=faults, count_tokens=count == "tokens", **told)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start("127.0.0.1", port))
    print(server.url, flush=True)
    loop.run_forever()


if __name__ == "__main__":
    main()
