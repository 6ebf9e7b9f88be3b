"""`radvlm report --html` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radvlm_cli.main import run as radvlm
from radvlm_cli.store.engine import open_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with open_store(tmp_path / "radvlm.db"):
        pass
    return tmp_path / "radvlm.db"


def test_both_files_are_written_whole_and_named(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, checklist = tmp_path / "out" / "report.html", tmp_path / "checklist.md"
    words = ["report", "--store", str(store), "--html", str(page), "--checklist", str(checklist), "--json"]
    assert radvlm(words) == 0
    said = json.loads(capsys.readouterr().out)["files"]
    assert [each["path"] for each in said] == [str(page), str(checklist)]
    assert said[0]["bytes"] == page.stat().st_size
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in page.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "words",
    [["--public"], ["--model", "maira2"], ["--html", "x.html", "eval"], ["--checklist", "x.md", "data"]],
    ids=" ".join,
)
def test_what_would_be_ignored_is_refused(
    store: Path, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    assert radvlm(["report", "--store", str(store), *words]) == 3
    assert "--html" in capsys.readouterr().err
    assert not list(store.parent.glob("x.*"))


def test_a_folder_that_cannot_be_written_is_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = store.parent / "file"
    file.write_text("")
    assert radvlm(["report", "--store", str(store), "--html", str(file / "report.html")]) == 3
    assert "Cannot write" in capsys.readouterr().err
