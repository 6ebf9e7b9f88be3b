"""Ask the application as a browser would, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from radvlm_cli.reporting.served.shell import Banner
from radvlm_cli.stages.serving.application import Served, application
from radvlm_cli.stages.serving.guard import LOOPBACK, Application
from radvlm_cli.stages.serving.pages import Folders

BANNER = Banner("Credentialed <b>& restricted</b>. Research use only.", True)


class Asking:
    """A client of one application; it follows no redirect."""

    def __init__(self, app: Application, runner: asyncio.Runner) -> None:
        self._app = app
        self._runner = runner

    def __call__(self, path: str, method: str = "GET", host: str = "127.0.0.1:8001", **options: Any) -> httpx.Response:
        """The answer to one request."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, f"http://{host}{path}", **options)

        return self._runner.run(ask())


@contextmanager
def asking(
    store: Path, *, data: Path | None = None, token: str | None = None, hosts: tuple[str, ...] = LOOPBACK
) -> Iterator[Asking]:
    """A client of the store's application."""
    served = Served(store, Folders(data, data), BANNER)
    with asyncio.Runner() as runner, application(served, token, hosts) as app:
        yield Asking(app, runner)
