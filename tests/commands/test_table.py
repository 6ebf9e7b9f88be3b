"""Tables stay readable at any width, and lose nothing that they need not lose."""

from __future__ import annotations

from typing import Any

from radvlm_cli.commands.table import lay_out

ROWS: list[dict[str, Any]] = [
    {"name": "first", "task": "a-long-name-of-a-task", "pairs": 1_234_567, "remark": "so many words that they wrap"},
    {"name": "second", "task": "b", "pairs": None, "remark": ""},
]
NAMES = ("name", "task", "pairs", "remark")


def test_numbers_stand_to_the_right_with_separators_and_none_is_blank() -> None:
    lines = lay_out(
        [{"name": "a", "n": 1_000}, {"name": "b", "n": 5}, {"name": "c", "n": None}], ("name", "n"), width=80
    )
    assert lines == ["name      n", "----  -----", "a     1,000", "b         5", "c"]


def test_a_table_that_fits_is_left_alone() -> None:
    lines = lay_out(ROWS, NAMES, width=120, notes="remark", spare=("task",))
    assert lines[0].split() == list(NAMES)
    assert len(lines) == 2 + len(ROWS)


def test_notes_go_below_first_and_name_their_row() -> None:
    lines = lay_out(ROWS, NAMES, width=60, notes="remark", spare=("task",))
    assert lines[0].split() == ["name", "task", "pairs"]
    assert lines[-2:] == ["", "first: so many words that they wrap"]


def test_spare_columns_are_left_out_where_that_is_not_enough() -> None:
    lines = lay_out(ROWS, NAMES, width=30, notes="remark", spare=("task",))
    assert lines[0].split() == ["name", "pairs"]
    assert all(len(line) <= 30 for line in lines)


def test_the_widest_column_is_wrapped_where_nothing_may_go() -> None:
    lines = lay_out(ROWS, NAMES, width=64)
    assert all(len(line) <= 64 for line in lines)
    assert "1,234,567" in lines[2]
    start = lines[0].index("remark")
    assert " ".join(line[start:].strip() for line in lines[2:]).split() == str(ROWS[0]["remark"]).split()
