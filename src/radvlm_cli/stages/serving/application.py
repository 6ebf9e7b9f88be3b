"""Datasette on the store, pages of our own before it, and the guard around both."""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from datasette.app import Datasette
from datasette.plugins import pm
from datasette.utils.asgi import Response
from jinja2 import ChoiceLoader, DictLoader
from markupsafe import Markup
from sqlmodel import SQLModel

from radvlm_cli.errors import RadvlmError
from radvlm_cli.reporting.page.pictures import jpeg_of
from radvlm_cli.reporting.served.home import write_home
from radvlm_cli.reporting.served.prediction import write_prediction
from radvlm_cli.reporting.served.shell import (
    DATASETTE_STYLE,
    POLICY,
    STYLE,
    Banner,
    banner_markup,
    style_of_datasette,
    style_of_pages,
)
from radvlm_cli.stages.serving import cells
from radvlm_cli.stages.serving.guard import Application, Guard, Rules, Scope, Send
from radvlm_cli.stages.serving.pages import Folders, home_page, picture_file, prediction_page
from radvlm_cli.stages.serving.queries import SavedQuery, saved_queries
from radvlm_cli.stages.serving.read_only import NAME, ReadOnlyStore
from radvlm_cli.store.tables import VIEWS

sqlite3.enable_callback_tracebacks(False)
"""Datasette turns them on for the whole process, and a Ctrl-C in a query would print one."""
_SIDE = 1536
"""Pixels on the longer side of a picture."""
_SETTINGS = {
    "default_page_size": 50,
    "sql_time_limit_ms": 5000,  # one person asks, and a store may have millions of rows
    "suggest_facets": False,  # it tries every column of a large table, on every page
    "facet_time_limit_ms": 1000,
    "truncate_cells_html": 300,
    "allow_download": False,
    "default_cache_ttl": 0,
}
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_BASE = (
    '{% extends "default:base.html" %}'
    "{% block messages %}{{ super() }}{{ radvlm_banner }}{% endblock %}"
    '{% block footer %}{{ super() }} &middot; <a href="/">radvlm</a> &middot; Research use only{% endblock %}'
)


class Served(NamedTuple):
    """What is served."""

    store: Path
    folders: Folders
    banner: Banner


@contextmanager
def application(served: Served, token: str | None, hosts: tuple[str, ...]) -> Iterator[Application]:
    """The ASGI application, which lets go of the store at the end; `token` and `hosts` as in guard.Rules."""
    pages = _Pages(served)
    try:
        yield Guard(pages, Rules(token, hosts, datasette_policy()))
    finally:
        pages.close()


class _Pages:
    """Our own pages; everything else is Datasette's."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._queries = saved_queries()
        self._described = describe_tables()
        self._datasette = _datasette(served, self._queries, self._described)
        self._store: ReadOnlyStore = self._datasette.get_database(NAME)
        self._inner: Application = self._datasette.app()
        self._routes = (
            (re.compile(r"/"), self._home),
            (re.compile(r"/prediction/(\d{1,18})/(\d{1,18})"), self._prediction),
            (re.compile(r"/picture/(image)/(\d{1,18})\.jpg"), self._picture),
            (re.compile(r"/picture/(sample)/(\d{1,18})/(\d{1,18})\.jpg"), self._picture),
            (re.compile(re.escape(STYLE)), self._style),
            (re.compile(re.escape(DATASETTE_STYLE)), self._style),
        )

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            for pattern, answer in self._routes:
                match = pattern.fullmatch(scope["path"])
                if match is not None:
                    try:
                        response = await answer(scope["path"], *match.groups())
                    except RadvlmError as error:
                        response = Response.text(error.message, status=500)
                    await response.asgi_send(send)
                    return
        await self._inner(scope, receive, send)

    def close(self) -> None:
        """End the queries that are under way, and close the store."""
        self._store.interrupt()
        self._datasette.executor.shutdown(cancel_futures=True)
        self._store.close()

    async def _home(self, _path: str) -> Any:
        page = await self._store.reading(lambda store: home_page(store, self._queries, self._described))
        return _html(write_home(page, self._served.banner))

    async def _prediction(self, _path: str, evaluation: str, position: str) -> Any:
        folders = self._served.folders
        page = await self._store.reading(lambda store: prediction_page(store, int(evaluation), int(position), folders))
        if page is None:
            return Response.text(f"There is no prediction {evaluation}/{position}.", status=404)
        return _html(write_prediction(page, self._served.banner))

    async def _picture(self, _path: str, kind: str, *keys: str) -> Any:
        numbers = [int(key) for key in keys]
        file = await self._store.reading(lambda store: picture_file(store, kind, numbers, self._served.folders))
        try:
            # What is no image is not sent: the file is decoded here, and written anew.
            content = None if file is None else jpeg_of(file, _SIDE)
        except OSError:
            content = None
        if content is None:
            return Response.text("There is no such picture.", status=404)
        return Response(content, content_type="image/jpeg", headers={"content-security-policy": POLICY})

    async def _style(self, path: str) -> Any:
        style = style_of_pages() if path == STYLE else style_of_datasette()
        return Response(style, content_type="text/css; charset=utf-8")


def _html(text: str) -> Any:
    return Response.html(text, headers={"content-security-policy": POLICY})


def _datasette(served: Served, queries: list[SavedQuery], described: dict[str, str]) -> Any:
    if not pm.is_registered(cells):
        pm.register(cells)
    # Where Rich is installed, Datasette prints every address that is not there, with all local variables.
    pm.get_plugin("datasette.handle_exception").rich = None
    datasette = Datasette(settings=_SETTINGS, metadata=_metadata(queries, described))
    datasette.remove_database("_memory")
    datasette.add_database(ReadOnlyStore(datasette, served.store), name=NAME)
    base = DictLoader({"base.html": _BASE})
    datasette.jinja_env.loader = ChoiceLoader([base, datasette.jinja_env.loader])
    datasette.jinja_env.globals["radvlm_banner"] = Markup(banner_markup(served.banner))
    return datasette


def _metadata(queries: list[SavedQuery], described: dict[str, str]) -> dict[str, Any]:
    """What Datasette is told of the store: questions, and what tables and columns hold."""
    asked = {
        each.name: {"title": each.title, "description": each.what, "sql": each.sql, "hide_sql": True}
        for each in queries
    }
    tables: dict[str, Any] = {name: {"description": what} for name, what in described.items()}
    tables["alembic_version"] = {"hidden": True}
    for model in SQLModel.__subclasses__():
        fields = model.model_fields.items()
        columns = {name: field.description for name, field in fields if field.description}
        tables[str(model.__tablename__)]["columns"] = columns
    return {
        "title": "radvlm",
        "extra_css_urls": [DATASETTE_STYLE],
        "databases": {NAME: {"queries": asked, "tables": tables}},
    }


def describe_tables() -> dict[str, str]:
    """Tables in flow order, then views, with what each holds."""
    models = {model.__tablename__: model for model in SQLModel.__subclasses__()}
    tables = {name: (models[name].__doc__ or "").strip() for name in SQLModel.metadata.tables}
    return tables | {name: what for name, (what, _select) in VIEWS.items()}


def datasette_policy() -> str:
    """The policy of Datasette's pages: the scripts that it ships run, by name and hash, and no other."""
    templates = files("datasette").joinpath("templates")
    scripts = [
        script.replace("{{ datasette_allow_facet }}", "true")
        for template in sorted(templates.iterdir(), key=lambda each: each.name)
        for script in _INLINE.findall(template.read_text(encoding="utf-8"))
    ]
    hashes = {base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts if "{{" not in each}
    listed = " ".join(f"'sha256-{each}'" for each in sorted(hashes))
    return (
        f"default-src 'none'; script-src 'self' {listed}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
