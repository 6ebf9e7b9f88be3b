"""Views on a terminal: columns in line, words wrapped, nothing lost."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from rich.cells import cell_len
from rich.text import Text

from radvlm_cli.reporting.formats import write_view
from radvlm_cli.reporting.tables import Column, Estimate, Table, View
from radvlm_cli.reporting.wrapping import wide, wrapped

TEXTS = (
    "The heart size is within normal limits, and there is a small left pleural effusion.",
    "averyveryverylongwordthatfitsnowhere and a short one",
    "胸部X線で右下肺野に浸潤影を認める。心拡大なし。",
    "e\u0301ffusion a\u0300 gauche",
    "  two spaces in front,  and two between",
    "one\ttab",
    "",
)


@pytest.mark.parametrize("width", [8, 20, 33, 80])
@pytest.mark.parametrize("text", TEXTS)
def test_lines_are_broken_where_rich_breaks_them_and_never_too_wide(text: str, width: int) -> None:
    lines = list(wrapped(text, width))
    assert all(wide(line) == cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if width >= 20:
        from rich.console import Console

        expected = Text(text).wrap(Console(width=width), width, tab_size=8)
        assert [line.rstrip() for line in lines] == [line.plain.rstrip() for line in expected]


def _view() -> View:
    columns = (
        Column("model", lambda row: row[0], key=True),
        Column("F1", lambda row: row[1], "number"),
        Column("remark", lambda row: row[2], "words"),
        Column("nothing", lambda row: None),
    )
    rows = (("maira2", Estimate(0.512, 0.48, 0.541, strong=True), TEXTS[0]), ("胸部", Estimate(None), TEXTS[2]))
    return View("eval", "A title", (Table("t", "A table", columns, rows),))


def test_columns_stand_in_line_and_words_are_wrapped_into_the_room_there_is() -> None:
    text = write_view(_view(), "table", width=52)
    assert text == (
        "A title\n\nA table\n"
        "model               F1  remark\n"
        f"{'─' * 52}\n"
        "maira2           0.512  The heart size is within\n"
        "        0.480 to 0.541  normal limits, and there is\n"
        "                        a small left pleural\n"
        "                        effusion.\n"
        "胸部               n/a  胸部X線で右下肺野に浸潤影を\n"
        "                        認める。心拡大なし。\n"
    )


def test_colours_alter_nothing_but_colours_and_what_is_better_is_bold() -> None:
    plain, coloured = (write_view(_view(), "table", width=60, colours=colours) for colours in (False, True))
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()
    assert "\x1b[1m0.512\x1b[0m" in coloured
    assert "\x1b[2m0.480 to 0.541\x1b[0m" in coloured


def test_no_library_of_terminals_is_loaded() -> None:
    code = "import sys, radvlm_cli.reporting.terminal; sys.exit(str([m for m in sys.modules if m == 'rich']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"
