"""Write the page and the checklist to files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from radvlm_cli import __version__
from radvlm_cli.files import atomic_write
from radvlm_cli.reporting.checklist import write_checklist
from radvlm_cli.reporting.page.page import write_page
from radvlm_cli.sources import SOURCES
from radvlm_cli.stages.phantoms import only_phantoms
from radvlm_cli.stages.reports.checklist import facts
from radvlm_cli.stages.reports.page.contents import PageRequest, page_of, shown_evaluations
from radvlm_cli.stages.reports.page.privacy import privacy_of
from radvlm_cli.stages.reports.selection import Wanted
from radvlm_cli.store.snapshot import Snapshot


class Written(NamedTuple):
    """A file that was written."""

    path: Path
    bytes: int
    restricted: bool
    """Whether it holds credentialed data."""


class Choice(NamedTuple):
    """What the user chose."""

    wanted: Wanted
    public: bool = False
    pictures: int = 64
    seed: int = 0
    data_dir: Path | None = None
    derived_dir: Path | None = None


def write_html(store: Snapshot, target: Path, choice: Choice) -> Written:
    """Write the page."""
    request = PageRequest(
        wanted=choice.wanted,
        public=choice.public,
        pictures=choice.pictures,
        seed=choice.seed,
        data_dir=choice.data_dir,
        derived_dir=choice.derived_dir,
        credentialed=_credentialed(store),
        phantoms=only_phantoms(store, choice.data_dir, choice.derived_dir),
    )
    page = page_of(store, request)
    text = write_page(page).encode()
    with atomic_write(target, "wb") as stream:
        stream.write(text)
    return Written(target, len(text), page.restricted)


def write_markdown_checklist(store: Snapshot, target: Path, choice: Choice) -> Written:
    """Write the checklist."""
    privacy = privacy_of(store, choice.public)
    evaluations = shown_evaluations(store, choice.wanted, privacy).all()
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by radvlm {__version__}. Research use only."
    text = write_checklist(facts(store, evaluations, privacy), made).encode()
    with atomic_write(target, "wb") as stream:
        stream.write(text)
    return Written(target, len(text), False)


def _credentialed(store: Snapshot) -> list[str]:
    """Sources of test sets that only those may see who signed their agreement; no other source is loaded."""
    known = [name for (name,) in store.rows("SELECT DISTINCT source FROM test_set ORDER BY source") if name in SOURCES]
    return [name for name in known if SOURCES[name]().info.credentialed]
