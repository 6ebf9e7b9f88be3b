"""The server of the page. It listens on the loopback address alone, and answers only who knows the secret in the
address that was printed: other users of this machine can reach the port as well.

A page of another site cannot use it either: its script does not know the secret, the name in the `Host` header must be
one of this machine's own (so that no foreign name can be pointed here), and what changes anything must come from the
page itself (`Origin`).
"""

from __future__ import annotations

import hmac
import json
import secrets
import socketserver
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from radvlm_cli.local_pages import HEADERS, host_name

ADDRESS = "127.0.0.1"
MOST_JSON = 64 * 1024
"""Bytes of a question."""
MOST_UPLOAD = 256 * 1024 * 1024
"""Bytes of an image file."""
_MOST_DIGITS = 15
"""Of a number in a request: int() refuses very long ones in its own way."""
_OWN_NAMES = (ADDRESS, "localhost")
"""Any port goes: it may be forwarded from another machine by ssh -L."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    **HEADERS,
    "Cache-Control": "no-store",
}


class Answer(NamedTuple):
    """What the browser gets."""

    kind: str
    """Media type."""
    content: bytes
    save_as: str | None = None
    """Name of a file that the browser is to save."""
    status: HTTPStatus = HTTPStatus.OK


class Refused(Exception):
    """A request that is not answered: the status, and why in words."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class Body(NamedTuple):
    """What a request sends: its length is known and small enough."""

    stream: BufferedIOBase
    length: int
    kind: str


class Asked(NamedTuple):
    """A request that may be answered."""

    path: str
    """Without the secret."""
    query: Mapping[str, str]
    body: Body | None


Routes = Callable[[Asked], Answer]


def is_number(text: str) -> bool:
    """Whether it is a number, of no more digits than anybody needs."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def json_answer(values: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """JSON values."""
    return Answer("application/json", json.dumps(values, ensure_ascii=False).encode(), status=status)


class PageServer(ThreadingHTTPServer):
    """A free port of the loopback address; each connection has a thread of its own."""

    daemon_threads = True

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.secret = secrets.token_urlsafe(24)
        super().__init__((ADDRESS, 0), _Handler)

    def server_bind(self) -> None:
        """As in TCPServer: HTTPServer would ask the name service for the name of this machine."""
        socketserver.TCPServer.server_bind(self)

    @property
    def url(self) -> str:
        """The address of the page, with its secret."""
        return f"http://{ADDRESS}:{self.server_address[1]}/{self.secret}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "radvlm", ""
    timeout = 60
    """Seconds that a browser may be silent within a request, or between two."""

    def do_GET(self) -> None:
        self._reply(self._answer(posted=False))

    def do_POST(self) -> None:
        self.close_connection = True  # whatever is left of the body is no next request
        self._reply(self._answer(posted=True))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the path holds the secret."""

    def end_headers(self) -> None:
        """Whatever is answered, errors of the base class among it, is fenced in."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self, *, posted: bool) -> Answer:
        try:
            address = self._allowed()
            query = {name: values[-1] for name, values in parse_qs(address.query).items()}
            body = self._body() if posted else None
            return self.server.routes(Asked(address.path, query, body))
        except Refused as refused:
            return json_answer({"error": refused.words}, refused.status)

    def _allowed(self) -> Any:
        """The address without its secret, of a request that comes from the page, or from who has the address."""
        given = self.headers.get_all("Host") or []
        if len(given) != 1 or host_name(given[0]) not in _OWN_NAMES:
            raise Refused(HTTPStatus.FORBIDDEN, "This page answers to 127.0.0.1 and localhost alone.")
        try:
            address = urlsplit(self.path)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "That is no address.") from error
        secret, _slash, rest = address.path.lstrip("/").partition("/")
        if not hmac.compare_digest(unquote(secret).encode(), self.server.secret.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "Open the whole address that radvlm chat printed.")
        return address._replace(path=rest)

    def _body(self) -> Body:
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise Refused(HTTPStatus.FORBIDDEN, "That comes from another page.")
        length = self.headers.get("Content-Length", "")
        if not is_number(length):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "The length is not told.")
        kind = self.headers.get_content_type()
        most = MOST_JSON if kind == "application/json" else MOST_UPLOAD
        if int(length) > most:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {most:,} bytes are taken.")
        return Body(self.rfile, int(length), kind)

    def _reply(self, answer: Answer) -> None:
        self.send_response(answer.status)
        text = answer.kind.startswith("text/")
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8" if text else answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        if answer.save_as is not None:
            self.send_header("Content-Disposition", f'attachment; filename="{answer.save_as}"')
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.content)
