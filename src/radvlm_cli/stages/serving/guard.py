"""Who is let in, and what browsers may do with what they get: in front of everything that is served."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from datasette.utils.asgi import Response

from radvlm_cli.local_pages import HEADERS, host_name

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Any, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_METHODS = ("GET", "HEAD")
_CLOSED = "Open the address that radvlm serve printed: it has the key to these pages."
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_OURS = frozenset(name for name, _value in _HEADERS)
_FIXED = ("/-/static/", "/-/radvlm/")
"""Addresses of files of the programs, which browsers may keep; nothing else may stay on a disk."""


class Rules(NamedTuple):
    """Who is let in."""

    token: str | None
    """Without it nobody; None: everybody who can reach the address."""
    hosts: tuple[str, ...]
    """Names that a browser may call the server by; empty: any. Other names are a sign of DNS rebinding."""
    policy: str
    """The content security policy of pages that have none of their own."""


def new_token() -> str:
    """A key that nobody guesses."""
    return secrets.token_urlsafe(24)


class Guard:
    """An ASGI application around another one."""

    def __init__(self, inner: Application, rules: Rules) -> None:
        self._inner = inner
        self._rules = rules
        # Cookies know no ports: two servers on one machine must not take each other's.
        self._cookie = f"radvlm_{hashlib.sha256((rules.token or '').encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refusal(scope)
            guarded = self._with_headers(scope, send)
            if refused is not None:
                await refused.asgi_send(guarded)
            else:
                await self._inner(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Any:
        """What is said in place of an answer; None: it is let in."""
        headers = {key.decode("latin1").lower(): value.decode("latin1") for key, value in scope["headers"]}
        if self._rules.hosts and host_name(headers.get("host", "")) not in self._rules.hosts:
            return Response.text("This is not a name of this server.", status=421)
        if scope["method"] not in _METHODS:
            return Response.text("Reading only.", status=405, headers={"allow": ", ".join(_METHODS)})
        if self._rules.token is None:
            return None
        asked = parse_qsl(scope["query_string"].decode("latin1"), keep_blank_values=True)
        given = next((value for key, value in asked if key == "token"), None)
        if given is not None and self._opens(given):
            return self._enter(scope["path"], [(key, value) for key, value in asked if key != "token"])
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._opens(bearer) or any(self._opens(each) for each in self._cookies(headers.get("cookie", ""))):
            return None
        return Response.text(_CLOSED, status=403)

    def _opens(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._rules.token or "").encode())

    def _cookies(self, header: str) -> list[str]:
        pairs = (each.strip().partition("=") for each in header.split(";"))
        return [value for name, _sign, value in pairs if name == self._cookie]

    def _enter(self, path: str, rest: list[tuple[str, str]]) -> Any:
        """The same page without the key in its address, where others might see it; a cookie has it from now on."""
        # Only the path: an address that begins with // would lead to another server, and browsers drop tabs from it.
        target = "/" + quote(path.lstrip("/\\"), safe="/,") + (f"?{urlencode(rest)}" if rest else "")
        response = Response.redirect(target)
        response.headers["set-cookie"] = f"{self._cookie}={self._rules.token}; HttpOnly; SameSite=Lax; Path=/"
        return response

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        fixed = scope["path"].startswith(_FIXED)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [each for each in message.get("headers", ()) if each[0].lower() not in _OURS]
                headers += _HEADERS
                if not any(key.lower() == b"content-security-policy" for key, _value in headers):
                    headers.append((b"content-security-policy", self._rules.policy.encode()))
                if not fixed:
                    headers = [each for each in headers if each[0].lower() != b"cache-control"]
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        return sending
