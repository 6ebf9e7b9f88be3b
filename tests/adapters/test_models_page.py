"""docs/models.md says what the cards and profiles say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from radvlm_cli.adapters import CARDS
from radvlm_cli.adapters.boxes import CODECS
from radvlm_cli.adapters.endpoint_manner import Manner
from radvlm_cli.adapters.profile import profiles
from radvlm_cli.adapters.protocol import Task

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]


def rows_of(name: str) -> list[list[str]]:
    return [row for row in ROWS if f"`{name}`" in row[0].split(", ")]


@pytest.mark.parametrize("name", CARDS)
def test_the_table_of_tasks_is_that_of_the_cards(name: str) -> None:
    ticks = rows_of(name)[0][1:]
    assert ROWS[0][1:] == list(get_args(Task))
    assert {task for task, tick in zip(get_args(Task), ticks, strict=True) if tick == "x"} == CARDS[name].tasks


@pytest.mark.parametrize("name", CARDS)
def test_weights_and_licences_are_those_of_the_cards(name: str) -> None:
    start = ROWS.index(rows_of(name)[1])
    needs = CARDS[name].weights
    for row, need in zip(ROWS[start : start + len(needs)], needs, strict=True):
        assert f"`{need.hub_id}`" in row[1]
        assert row[2] == need.licence


def test_every_profile_is_there_with_its_tasks_and_where_its_answer_stands() -> None:
    marks = {"whole": "the whole text", "think": "`</think>`", "answer": "`<answer>`", "boxed": r"`\boxed{}`"}
    for name, profile in profiles().items():
        row = rows_of(name)[-1]
        first, *others = re.split(r", | but ", row[2])
        told = set(get_args(Task)) - set(others) if first == "all" else {first, *others}
        assert profile.tasks == told, name
        assert marks[profile.extractor] in row[3]


@pytest.mark.parametrize("name", CODECS)
def test_every_form_of_boxes_is_there(name: str) -> None:
    start = next(number for number, row in enumerate(ROWS) if row[0] == "form")
    assert f"`{name}`" in [row[0] for row in ROWS[start : start + len(CODECS) + 2]]


def test_every_option_of_an_endpoint_is_there() -> None:
    assert all(f"`{name}`" in PAGE for name in Manner._fields)
