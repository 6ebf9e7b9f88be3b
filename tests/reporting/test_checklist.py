"""The checklist."""

from __future__ import annotations

import re
from pathlib import Path

from radvlm_cli.reporting.checklist import TO_COMPLETE, guidelines
from radvlm_cli.stages.reports.checklist import FACTS
from radvlm_cli.stages.reports.page.write import Choice, write_markdown_checklist
from radvlm_cli.stages.reports.selection import Wanted
from radvlm_cli.store.engine import open_store
from radvlm_cli.store.snapshot import open_snapshot
from tests.reporting.planted import SCRIPT, SECRETS
from tests.stores import empty_store


def written(store: Path, target: Path, *, public: bool = False) -> str:
    with open_snapshot(store) as snapshot:
        write_markdown_checklist(snapshot, target, Choice(Wanted(), public=public))
    return target.read_text(encoding="utf-8")


def test_items_ask_for_facts_that_there_are_and_every_fact_is_asked_for() -> None:
    asked = {item.fact for guideline in guidelines() for item in guideline.items if item.fact}
    assert asked == set(FACTS)
    assert [guideline.name.partition(" ")[0] for guideline in guidelines()] == ["CLAIM", "TRIPOD-LLM", "STARD-AI"]


def test_what_the_store_knows_is_filled_in_and_the_rest_is_left_to_the_authors(planted: Path, tmp_path: Path) -> None:
    text = written(planted, tmp_path / "checklist.md")
    assert "| 7 | Where the data come from | mimic (2 images), vindr (1 images) |" in text
    assert "| 42 | Funding, and the funders' part | *author to complete* |" in text
    missing = next(line for line in text.splitlines() if line.startswith("| 13 |"))
    assert "on mscxr-phrase-test: 1 error, 1 refused, 1 unparsable" in missing
    assert SCRIPT not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}


def test_an_empty_store_fills_in_no_more_than_the_program_itself(tmp_path: Path) -> None:
    with open_store(empty_store(tmp_path / "radvlm.db")):
        pass
    text = written(tmp_path / "radvlm.db", tmp_path / "checklist.md")
    filled = [line for line in text.splitlines() if line.startswith("| ") and TO_COMPLETE not in line]
    assert all("radvlm" in line or line.startswith("| item") for line in filled)


def test_a_public_checklist_has_no_folders_and_no_ids(planted: Path, tmp_path: Path) -> None:
    text = written(planted, tmp_path / "checklist.md", public=True)
    assert not [secret for secret in SECRETS if secret in text]
