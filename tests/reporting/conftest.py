"""The planted store and its pages, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from radvlm_cli.stages.reports.page.write import Choice, write_html
from radvlm_cli.stages.reports.selection import Wanted
from radvlm_cli.store.snapshot import open_snapshot
from tests.reporting.planted import planted_store


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store; nothing writes to it."""
    return planted_store(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def page(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    return _page(planted, tmp_path_factory.mktemp("page") / "report.html", public=False)


@pytest.fixture(scope="session")
def public_page(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page without what may not leave."""
    return _page(planted, tmp_path_factory.mktemp("page") / "public.html", public=True)


def _page(store: Path, target: Path, *, public: bool) -> Path:
    with open_snapshot(store) as snapshot:
        write_html(snapshot, target, Choice(Wanted(), public=public))
    return target
