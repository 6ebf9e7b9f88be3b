"""What the pages say is still true: links lead somewhere, paths exist, queries run, messages and their hints are ours.

Commands in the pages: tests/walk.
"""

from __future__ import annotations

import ast
import importlib
import re
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.main import STAGES
from radvlm_cli.store.engine import open_store
from tests.walk.lines import span_fault

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "design").glob("*.md")])
NAMED = [ROOT / "docs" / name for name in ("guide.md", "architecture.md", "differs.md", "faq.md")]
"""Pages that name files of ours from the top of the tree, so that each can be looked up."""
_TOP = (
    "src/",
    "docs/",
    "tests/",
    "finetuning/",
    "migrations/",
    "benchmarks/",
    "scripts/",
    "pyproject.toml",
    "Makefile",
)
_FENCE = re.compile(r"^(```+).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = found.get(anchor, 0)
        found[anchor] = count + 1
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_prose(page)):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _expanded(path: str) -> list[str]:
    """`a/{b,c}.py` is two paths."""
    braces = re.search(r"\{([^}]*)\}", path)
    if braces is None:
        return [path]
    return [one for part in braces[1].split(",") for one in _expanded(path.replace(braces[0], part, 1))]


def _paths(page: Path) -> Iterator[str]:
    for code in _CODE.findall(page.read_text()):
        if code.startswith(_TOP) and re.fullmatch(r"[\w./{},*-]+", code):
            yield from _expanded(code)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    assert [path for path in _paths(page) if not any(ROOT.glob(path.rstrip("/")))] == []


def test_the_pages_that_should_name_files_do() -> None:
    counts = {page.stem: sum(1 for _ in _paths(page)) for page in NAMED}
    assert counts["architecture"] > 40
    assert counts["differs"] > 20


def _queries(page: Path) -> Iterator[str]:
    text = page.read_text()
    for block in re.findall(r"^```sql\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (query for query in block.split(";") if query.strip())
    for match in re.finditer(r"""(?:report sql|radvlm\.db"?) (?:"(SELECT [^"]*)"|'(SELECT [^']*)')""", text):
        yield match[1] or match[2]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A store with all tables and views, and no row."""
    path = tmp_path_factory.mktemp("store") / "radvlm.db"
    with open_store(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_query_that_a_page_shows_can_be_run(page: Path, empty_store: sqlite3.Connection) -> None:
    faults = {}
    for query in _queries(page):
        try:
            empty_store.execute(f"EXPLAIN {query}")
        except sqlite3.Error as error:
            faults[query] = str(error)
    assert faults == {}


def _spelt(node: ast.expr) -> str | None:
    """A text as a page quotes it: `…` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


@cache
def _texts() -> frozenset[str]:
    """Every text in the code of the command and of the training program but docstrings."""
    found = set()
    for path in (*(ROOT / "src").rglob("*.py"), *(ROOT / "finetuning").rglob("*.py")):
        docstrings: set[int] = set()
        for node in ast.walk(ast.parse(path.read_text())):  # parents come before their children
            if isinstance(node, ast.Expr):
                docstrings.add(id(node.value))
            elif isinstance(node, ast.expr) and id(node) not in docstrings and (text := _spelt(node)):
                found.add(text)
    return frozenset(found)


def _quoted_messages() -> list[str]:
    page = (ROOT / "docs" / "faq.md").read_text()
    return [match[2] for match in re.finditer(r"^### (`{1,2})(.+?)\1$", page, re.MULTILINE)]


@pytest.mark.parametrize("message", _quoted_messages())
def test_every_message_of_the_faq_is_still_said(message: str) -> None:
    assert len(message.replace("…", "").strip()) > 12, "too little of it to be told from others"
    assert any(message in text for text in _texts())


def test_a_message_that_nobody_says_would_be_noticed() -> None:
    assert len(_quoted_messages()) >= 25
    assert not any("There is no shop at …" in text for text in _texts())


def _hinted() -> Iterator[str]:
    """Commands that messages tell to type, up to the next comma, stroke or sentence."""
    for text in _texts():
        for match in re.finditer(rf"\bradvlm (?:{'|'.join(STAGES)})\b(?: (?![A-Z][a-z])[^\s,;:()`|]+)*", text):
            yield match[0].replace("'", "").replace('"', "").replace(". ", " ").rstrip(".")


def test_every_command_that_a_message_tells_to_type_has_these_options() -> None:
    hinted = set(_hinted())
    assert len(hinted) > 60
    assert [fault for line in hinted if (fault := span_fault(line))] == []


def test_the_layers_are_those_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [[part.strip().removeprefix("radvlm_cli.") for part in layer.split("|")] for layer in contract["layers"]]
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"<!-- layers -->\n```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    assert [re.findall(r"[a-z_]+", line) for line in block[1].splitlines()] == layers


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that computes the guide's tables, which lies beside the pages."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("costs")


def test_the_guide_counts_the_published_dataset(costs: Any) -> None:
    found = costs.load("7b")
    assert found.pairs == 1_115_021
    # Known from elsewhere for pictures of VinDr-CXR of 512 pixels; ours are larger.
    assert found.tokens / found.pairs == pytest.approx(7169, rel=0.03)


def test_the_guide_shows_a_figure_as_a_span(costs: Any) -> None:
    assert costs._span(36.6, 58.6) == "37 to 59"
    assert costs._span(1_419, 2_611) == "1,420 to 2,610"
    assert costs._span(1.02, 1.04) == "1"
    assert costs._minutes(30, 34) == "30 to 34 s"
    assert costs._minutes(206, 2060) == "3 to 34 min"


def test_more_calls_are_never_the_least(costs: Any) -> None:
    for stage in (costs.curate_calls, costs.converse_calls):
        least, most = stage(0), stage(1)
        assert all(low < high for low, high in zip(least, most, strict=True))
