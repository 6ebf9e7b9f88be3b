"""One chat completion over HTTP: a request in, a reply out. No retries here.

aiohttp rather than the `openai` client: a call costs a tenth of the CPU, and every attempt, header and wait is ours to
see (docs/design/0006-llm-engine.md has the figures).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from radvlm_cli.llm import Answer, Request
from radvlm_cli.llm.endpoint import Endpoint
from radvlm_cli.llm.limiter import Rates
from radvlm_cli.llm.replies import Reply, Respell, Retry, read_rates, read_reply

_CONNECT_S = 15.0


class Dialect:
    """How an endpoint wants parameters spelled, as learned from its refusals."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._dropped: set[str] = set()
        self._completion_tokens = False

    def body(self, request: Request) -> dict[str, Any]:
        """The JSON body of a request. `store` is false always: nothing may be kept at the provider."""
        prompt = request.prompt
        body: dict[str, Any] = {"model": prompt.model, "messages": [*prompt.messages, *request.messages]}
        body |= {name: value for name, value in prompt.parameters.items() if name not in self._dropped}
        if self._completion_tokens and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if prompt.schema is not None and "response_format" not in self._dropped:
            schema = {"name": "answer", "strict": True, "schema": prompt.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "store" not in self._dropped:
            body["store"] = False
        return body

    def respell(self, parameter: str, sent: dict[str, Any]) -> bool:
        """Learn that `parameter` of a body that was sent is not taken; whether there is another way to say it."""
        if parameter == "max_tokens" and "max_tokens" in sent:
            self._completion_tokens = True
            return True
        droppable = ("temperature", "response_format", "seed") + (("store",) if self._local else ())
        if parameter in droppable and parameter in sent:
            self._dropped.add(parameter)
            return True
        return False


class Chat:
    """A connection pool to one endpoint."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.endpoint = endpoint
        self.dialect = Dialect(local=endpoint.local)
        self._session = session

    async def post(self, request: Request) -> tuple[Reply, float, Rates | None]:
        """Send a request once; the reply, the seconds that it took, and the limits that its headers tell."""
        body = self.dialect.body(request)
        begun = time.monotonic()
        try:
            async with self._session.post(
                self.endpoint.chat_url, data=orjson.dumps(body), allow_redirects=False
            ) as response:
                content = await response.read()
                reply = read_reply(response.status, response.headers, content)
                rates = read_rates(response.headers)
        except TimeoutError:
            return Retry("unavailable", "timed out"), time.monotonic() - begun, None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Retry("unavailable", type(error).__name__), time.monotonic() - begun, None
        if isinstance(reply, Respell):
            reply = self._respelled(reply, body)
        return reply, time.monotonic() - begun, rates

    def _respelled(self, reply: Respell, sent: dict[str, Any]) -> Reply:
        if self.dialect.respell(reply.parameter, sent):
            return reply
        return Answer("rejected", error=f"HTTP 400 {reply.parameter} is not supported", http_status=400)


@asynccontextmanager
async def open_chat(endpoint: Endpoint, *, connections: int, timeout_s: float) -> AsyncIterator[Chat]:
    """Open a pool of at most `connections`; a local endpoint is never reached through a proxy."""
    connector = aiohttp.TCPConnector(limit=connections, ttl_dns_cache=300, keepalive_timeout=30)
    async with aiohttp.ClientSession(
        connector=connector,
        headers={**endpoint.headers, "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S),
        trust_env=not endpoint.local,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Chat(endpoint, session)
