"""Every form of a table: nothing is lost, and no text of a model is anything but text."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import NamedTuple

import pytest

from radvlm_cli.reporting.formats import Format, write_view
from radvlm_cli.reporting.tables import Column, Estimate, Table, View, cell_text, number

HOSTILE = (
    '=HYPERLINK("http://x")',
    "a|b\\|c",
    "<script>alert(1)</script> & <b>",
    "**bold** _it_ `code` [link](http://x) $x^2$ # ~~no~~ @someone",
    "50 % of {x} \\input{/etc/passwd} ~ ^ _ & # $",
    "line one\nline two\r\nthree\ttab",
    "\x1b[31mred\x1b[0m \x07 \u202eturned\u202c \x9b2J",
    "[1, 2]",
    "- minus",
    "caf\u00e9 \u2265 3 \u00b1 1, \u80ba",
    "--",
    "",
)


class Row(NamedTuple):
    """A row of a test table."""

    name: str
    text: str
    n: int | None
    score: Estimate | None


def _view(rows: list[Row], notes: tuple[str, ...] = ()) -> View:
    columns = (
        Column("name", lambda row: row.name, key=True),
        Column("text", lambda row: row.text, "words"),
        Column("n", lambda row: row.n, "count"),
        Column("F1", lambda row: row.score, "number", name="f1"),
    )
    return View("eval", "Evaluation", (Table("main", "Main | table", columns, tuple(rows), notes),))


SCORE = Estimate(0.51234, 0.48, 0.541, n=3314, patients=293)


def _hostile_rows() -> list[Row]:
    return [Row(f"row {place}", text, 1234, SCORE) for place, text in enumerate(HOSTILE)]


def test_json_has_every_value_as_it_is() -> None:
    document = json.loads(write_view(_view(_hostile_rows()), "json"))
    rows = document["tables"]["main"]["rows"]
    assert [row["text"] for row in rows] == list(HOSTILE)
    score = {"value": 0.51234, "low": 0.48, "high": 0.541, "n": 3314, "patients": 293, "remark": None}
    assert rows[0] == {"name": "row 0", "text": HOSTILE[0], "n": 1234, "f1": score}


def test_json_has_null_for_what_is_not_a_number() -> None:
    view = _view([Row("a", "", None, Estimate(float("nan"), None, float("inf")))])
    score = json.loads(write_view(view, "json"))["tables"]["main"]["rows"][0]["f1"]
    assert (score["value"], score["high"]) == (None, None)


def test_csv_gives_back_every_text_and_splits_an_estimate_into_columns() -> None:
    rows = list(csv.reader(io.StringIO(write_view(_view(_hostile_rows()), "csv"), newline="")))
    assert rows[0] == ["name", "text", "n", "f1", "f1 low", "f1 high", "f1 n"]
    assert rows[1][2:] == ["1234", "0.51234", "0.48", "0.541", "3314"]
    texts = [row[1] for row in rows[1:]]
    assert [text.removeprefix("'") for text in texts] == list(HOSTILE)


def test_csv_starts_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(write_view(_view(_hostile_rows()), "csv"), newline="")))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t")) or cell[:2] == "- "]


def test_several_tables_of_a_csv_stand_apart_and_one_of_them_alone() -> None:
    view = _view([Row("a", "b", 1, None)])
    two = view._replace(tables=(*view.tables, view.tables[0]._replace(name="other", title="Other")))
    assert write_view(two, "csv") == "# Main | table\nname,text,n,f1\na,b,1,\n\n# Other\nname,text,n,f1\na,b,1,\n"
    assert write_view(two.only("other"), "csv") == "name,text,n,f1\na,b,1,\n"


def test_markdown_keeps_every_row_on_one_line_with_its_cells_and_no_markup() -> None:
    text = write_view(_view(_hostile_rows(), notes=("<i>note</i> | *",)), "md")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(HOSTILE)
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)
    body = re.sub(r"<br>", "", text)
    assert "<" not in body
    assert not re.search(r"(?<!\\)[`*$~\[]", body)
    assert "://" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in text
    assert "0.512 (0.480 to 0.541)" in text


def test_latex_leaves_no_character_that_means_something() -> None:
    text = write_view(_view(_hostile_rows()), "latex")
    rows = [line for line in text.splitlines() if line.startswith("row ")]
    assert len(rows) == len(HOSTILE)
    known = (
        r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|textquotedbl|textasciigrave"
    )
    known += r"|textquotesingle|geq|leq|pm|times|textendash)\b(?:\{\})?"
    for row in rows:
        assert row.endswith(r" \\")
        bare = re.sub(known, "", row.removesuffix(r" \\"))
        bare = re.sub(r"\\[{}$&#%_]", "", bare).replace("$-$", "").replace("$$", "")
        bare = re.sub(r"\{[][*-]\}", "", bare)
        assert bare.count(" & ") == 3, row
        assert not re.search(r"[\\{}$#%_^~<>|\"\[\]]", bare), row


def test_latex_and_markdown_escape_headings_and_notes() -> None:
    view = _view([Row("a", "b", 1, None)], notes=("100 % of_it",))
    assert r"100 \% of\_it" in write_view(view, "latex")
    assert "Main \\| table" in write_view(view, "md")


@pytest.mark.parametrize("colours", [False, True])
def test_a_terminal_gets_no_escape_of_a_text(colours: bool) -> None:
    text = write_view(_view(_hostile_rows()), "table", width=100, colours=colours)
    own = re.sub(r"\x1b\[[0-9;]*m", "", text) if colours else text
    assert not [char for char in own if (ord(char) < 0x20 and char != "\n") or 0x7F <= ord(char) < 0xA0]
    assert "\u202e" not in text
    assert "\x1b[31mred" not in text
    assert r"\u001b[31mred" in re.sub(r"\s+", "", own)


def test_a_table_that_is_too_wide_goes_on_below_with_the_key_in_front() -> None:
    columns = [Column("model", lambda row: row[0], key=True)]
    columns += [Column(f"metric number {n}", lambda row, n=n: row[n], "number") for n in range(1, 9)]
    rows = [(f"model {place}", *[Estimate(n / 10, n / 11, n / 9) for n in range(1, 9)]) for place in range(3)]
    view = View("v", "Wide", (Table("t", "T", tuple(columns), tuple(rows)),))
    lines = write_view(view, "table", width=60).splitlines()
    assert max(map(len, lines)) <= 60
    heads = [line for line in lines if line.startswith("model  ")]
    assert len(heads) > 1
    shown = [name for line in heads for name in re.findall(r"metric number \d", line)]
    assert shown == [f"metric number {n}" for n in range(1, 9)]
    assert "\u2026" not in "".join(lines)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_number_is_cut_at_any_width(width: int) -> None:
    text = write_view(_view(_hostile_rows()), "table", width=width)
    assert text.count("0.480 to 0.541") == len(HOSTILE)
    assert text.count("1,234") == len(HOSTILE)


@pytest.mark.parametrize("form", ["table", "md", "latex"])
def test_only_a_value_that_is_marked_is_bold(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    plain, strong = Row("a", "x", 1, SCORE), Row("a", "x", 1, SCORE._replace(strong=True))
    written = [write_view(_view([row]), form, colours=True) for row in (plain, strong)]
    bold = {"table": r"\x1b\[1m *0\.512", "md": r"\*\*0\.512", "latex": r"\\textbf\{0\.512"}[form]
    assert [bool(re.search(bold, text)) for text in written] == [False, True]


def test_what_has_no_value_is_not_0_and_says_why() -> None:
    row = Row("a", "x", None, Estimate(None, n=10, remark="needs weights"))
    for form in ("table", "md", "latex"):
        text = write_view(_view([row]), form)  # type: ignore[arg-type]
        assert "n/a" in text
        assert "F1: needs weights" in text


def test_a_table_without_rows_says_so() -> None:
    view = _view([])
    view = view._replace(tables=(view.tables[0]._replace(empty="nothing yet"),))
    assert all("nothing yet" in write_view(view, form) for form in ("table", "md", "latex"))  # type: ignore[arg-type]
    assert json.loads(write_view(view, "json"))["tables"]["main"]["rows"] == []


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.1234, "share", "12.3 %"),
        (1234567, "count", "1,234,567"),
        (0.0012, "dollars", "$0.0012"),
        (930, "dollars", "$930.00"),
        (60_000_000_000, "bytes", "60.0 GB"),
        (999, "bytes", "999 B"),
        (3.21, "seconds", "3.2 s"),
        (93784, "seconds", "1 d 2:03:04"),
        (True, "text", "yes"),
        (None, "count", ""),
    ],
)
def test_cells_read_as_people_write(value: float | None, kind: str, text: str) -> None:
    assert cell_text(value, kind) == text  # type: ignore[arg-type]


def test_a_negative_number_that_rounds_to_0_has_no_sign() -> None:
    assert number(-0.0001) == "0.000"
    assert number(-0.25) == "\u22120.250"
