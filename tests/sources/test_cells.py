from __future__ import annotations

import pytest

from radvlm_cli.sources.cells import is_junk, junk, whole, years

JUNK = ["x", "-1", "1e999", "1e30", "inf", "²", "1,5", "0x10", "1000001", "9" * 5000]


@pytest.mark.parametrize(
    ("cell", "number"), [("12", 12), ("1930.0", 1930), (" 7 ", 7), ("0", 0), (None, None), ("", None)]
)
def test_a_number_is_read_and_a_blank_is_unknown(cell: str | None, number: int | None) -> None:
    assert whole(cell) == number
    assert not is_junk(cell)


@pytest.mark.parametrize("cell", JUNK)
def test_what_is_no_number_or_none_that_the_store_could_hold_is_junk(cell: str) -> None:
    assert whole(cell) is None
    assert years(cell) is None
    assert is_junk(cell)


def test_an_age_ends_at_120() -> None:
    assert (years("120"), years("121"), years("89.0")) == (120, None, 89)


def test_each_junk_cell_of_an_item_is_told_by_name_without_its_content() -> None:
    found = list(junk("image", {"width": "wide", "height": "100", "age": None}))
    assert found == [("image width", "skipped", "the width is not a number; it is unknown")]
