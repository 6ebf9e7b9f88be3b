"""Tables that cannot be read at all: one clear error, and nothing half read once the file is mended."""

from __future__ import annotations

import os
import re

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import (
    Damage,
    become,
    dangling,
    folder,
    half,
    instead,
    raw,
    swap,
    table,
    text,
    unreadable,
)
from tests.bad_input.trial import differences, said

TRAIN = "CheXpert/train.csv"
PLUS = "CheXpert/df_chexpert_plus_*.csv"
METADATA = "MIMIC-CXR-JPG/*-metadata.csv.gz"
SPLIT = "MIMIC-CXR-JPG/*-split.csv.gz"
LABELS = "MIMIC-CXR-JPG/*-chexpert.csv.gz"
BOXES = "VinDr-CXR/annotations/annotations_train.csv"
REGION_SPLIT = "CHEST_IMA/silver_dataset/splits/train.csv"
MASTER = "PadChest/master_table.csv"
PHRASES = "MS-CXR/*.csv"


def _second_column_again(rows: list[list[str]]) -> None:
    for row in rows:
        row.append(row[1])


DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "a column is missing": (
        "chexpert",
        text(TRAIN, table(lambda rows: [row.pop(1) for row in rows])),
        "column 'Sex' is missing; the first line has 18 columns",
    ),
    "a column has another name": (
        "chexpert",
        text(TRAIN, swap("Path,", "Paths,")),
        "column 'Path' is missing; .* 'Paths' among them",
    ),
    "a label column has another name": (
        "mimic",
        text(LABELS, swap("Edema", "Oedema")),
        "column 'Edema' is missing; .* 'Oedema' among them",
    ),
    "a column is there twice": (
        "chexpert",
        text(TRAIN, table(_second_column_again)),
        "column 'Sex' is there twice",
    ),
    "semicolons for commas": (
        "chexpert",
        text(TRAIN, lambda content: content.replace(b",", b";")),
        "separated by semicolons where a comma should be",
    ),
    "tabs for commas": (
        "mimic",
        text(METADATA, lambda content: content.replace(b",", b"\t")),
        "separated by tabs where a comma should be",
    ),
    "half a gz": ("mimic", raw(METADATA, half), "damaged after row 0: Truncated compressed stream"),
    "a gz without its last bytes": ("mimic", raw(SPLIT, lambda content: content[:-5]), "Truncated compressed stream"),
    "a gz that is none": ("mimic", raw(LABELS, become(b"study_id,subject_id\n")), "Not a gzipped file"),
    "a gz with a flipped byte": (
        "mimic",
        raw(METADATA, lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:]),
        "cannot be read as a table: .* while decompressing",
    ),
    "an empty file": ("chexpert", raw(TRAIN, become(b"")), "train.csv is empty"),
    "an empty file of a source that needs another": ("imagenome", raw(REGION_SPLIT, become(b"")), "train.csv is empty"),
    "blank lines only": ("chexpert", raw(TRAIN, become(b"\n\n\n")), "train.csv is empty"),
    "a first line and no rows": (
        "chexpert",
        raw(TRAIN, lambda content: content.split(b"\n")[0] + b"\n"),
        "has a first line but no rows",
    ),
    "rows and no first line": (
        "chexpert",
        raw(TRAIN, lambda content: content.split(b"\n", 1)[1]),
        "column 'Path' is missing; the first line has 19 columns",
    ),
    "UTF-16": ("chexpert", raw(TRAIN, lambda content: content.decode().encode("utf-16")), "it is not UTF-8 text"),
    "a Latin-1 byte in a cell": (
        "chexpert",
        raw(TRAIN, lambda content: content.replace(b"Female", b"F\xe9male", 1)),
        "it is not UTF-8 text",
    ),
    "a Latin-1 byte in a report": (
        "chexpert-plus",
        raw(PLUS, lambda content: content.replace(b"NARRATIVE", b"NARRAT\xcfVE", 1)),
        "it is not UTF-8 text",
    ),
    "a lost block": (
        "chexpert",
        raw(TRAIN, lambda content: content[:500] + bytes(100) + content[600:]),
        "holds zero bytes",
    ),
    "a row with a cell too few": (
        "chexpert",
        text(TRAIN, table(lambda rows: rows[3].pop())),
        "Row #4: Expected 19 columns, got 18",
    ),
    "a row with a cell too many": (
        "mscxr",
        text(PHRASES, table(lambda rows: rows[3].append("1"))),
        r"Row #4: Expected 11 columns, got 12",
    ),
    "a table cut in the middle of a row": (
        "chexpert",
        raw(TRAIN, lambda content: content[:-30]),
        r"Row #\d+: Expected 19 columns",
    ),
    "a quote that never closes": ("chexpert", text(TRAIN, swap(",Female", ',"Female')), "Expected 19 columns, got"),
    "a quote that swallows the last rows": (
        "chexpert",
        raw(TRAIN, lambda content: content.rstrip(b"\n") + b'"x\nmore,rows\n'),
        "opens in row .* and never closes; rows are lost",
    ),
    "a picture": ("chexpert", raw(TRAIN, become(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))), "it is not UTF-8 text"),
    "a web page": ("vindr", raw(BOXES, become(b"<html>\nlog in\n</html>\n")), "the first line has 1 columns"),
    "a folder in place of a table": ("chexpert", instead(TRAIN, folder), "is a folder where a file should be"),
    "a folder in place of a gz": ("mimic", instead(METADATA, folder), "is a folder where a file should be"),
    "a link to nowhere": ("chexpert", instead(TRAIN, dangling), "train labels not found; looked for"),
    "a table that is gone": ("padchest-gr", instead(MASTER, lambda path: None), "master table not found"),
    "a dataset that is gone": ("openi", instead("NLMCXR", lambda path: None), "not found; looked for"),
}


@pytest.mark.parametrize(("source", "damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_table_that_cannot_be_read_is_one_clear_error(
    begin: Begin, source: str, damage: Damage, message: str
) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    error = said(trial.prepare(source))
    assert re.search(message, error), error
    trial.mend()
    assert trial.prepare(source).code in (0, 4)
    assert not differences(undamaged, trial.content())


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_table_that_may_not_be_read_says_so(begin: Begin) -> None:
    trial, _ = begin("chexpert")
    instead(TRAIN, unreadable)(trial.data)
    assert "permission denied" in said(trial.prepare("chexpert"))


def test_a_table_that_is_damaged_later_takes_no_rows_away(begin: Begin) -> None:
    trial, undamaged = begin("mimic")
    trial.prepare("mimic")
    raw(METADATA, half)(trial.data)
    said(trial.prepare("mimic"))
    after = trial.content()
    assert all(after[name] == undamaged[name] for name in after if name != "outcome")
