"""Asks the page of a chat over HTTP, as its script does."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters.protocol import Loading
from radvlm_cli.adapters.scripted import Script, Scripted, card_of
from radvlm_cli.commands.chat_page.serving import Page, served_page
from radvlm_cli.stages.chat import Conditions, Session
from radvlm_cli.stages.chat_image import open_image
from radvlm_cli.stages.evaluation.models import Model
from radvlm_cli.store.runs import Run


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def values(self) -> Any:
        return json.loads(self.content)


class Browser:
    """Asks a page as its script does."""

    def __init__(self, url: str, page: Page) -> None:
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]{32}/)", url)
        assert found, url
        self.port, self.base, self.page = int(found[1]), found[2], page

    def ask(self, method: str, path: str, content: bytes | None = None, kind: str | None = None, **headers: str) -> Got:
        """Headers with _ for -; `path` from the base unless it begins with /."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind:
            given["Content-Type"] = kind
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path if path.startswith("/") else self.base + path, content, given)
            answer = connection.getresponse()
            return Got(answer.status, dict(answer.getheaders()), answer.read())

    def get(self, path: str, **headers: str) -> Got:
        return self.ask("GET", path, **headers)

    def hand_in(self, path: str, content: bytes, kind: str = "application/octet-stream") -> Any:
        got = self.ask("POST", path, content, kind)
        assert got.status == 202, got
        return got.values

    def outcome(self, handed_in: Mapping[str, Any]) -> Any:
        got = self.get(f"job/{handed_in['job']}").values
        assert got["done"]
        return got

    def say(self, line: str) -> Any:
        return self.outcome(self.hand_in("say", json.dumps({"line": line}).encode(), "application/json"))

    def upload(self, name: str, content: bytes) -> Any:
        return self.outcome(self.hand_in(f"image?name={name}", content))


def session_of(folder: Path, image: Path | None, run: Run | None = None, **script: Any) -> Session:
    adapter = Scripted(Script(**script), {"backend": "scripted/1"})
    conditions = Conditions(Model("scripted", card_of(None), ()), Loading((), "cpu"), None, None)
    made = folder / "made"
    made.mkdir()
    return Session(conditions, adapter, made, None if image is None else open_image(image, made), run)


@contextmanager
def browsing(session: Session, *, works: bool = True) -> Iterator[Browser]:
    """`works`: somebody is at the desk."""
    with served_page(session) as (url, page):
        worker = threading.Thread(target=page.desk.work)
        if works:
            worker.start()
        try:
            yield Browser(url, page)
        finally:
            page.desk.end()
            if works:
                worker.join()


def connect_with(browser: Browser, request: bytes) -> bytes:
    """What is answered to bytes that no HTTP library would send."""
    with socket.create_connection(("127.0.0.1", browser.port), 20) as connection:
        connection.sendall(request)
        return connection.recv(4096)
