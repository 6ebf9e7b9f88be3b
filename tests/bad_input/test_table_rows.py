"""Tables with a bad row: it is told, and everything that does not depend on it stays as it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import Damage, cell, raw, swap, table, text
from tests.bad_input.trial import differences

TRAIN = "CheXpert/train.csv"
PLUS = "CheXpert/df_chexpert_plus_*.csv"
METADATA = "MIMIC-CXR-JPG/*-metadata.csv.gz"
SPLIT = "MIMIC-CXR-JPG/*-split.csv.gz"
LABELS = "MIMIC-CXR-JPG/*-chexpert.csv.gz"
PADCHEST = "PadChest/PADCHEST_chest*.csv"
MASTER = "PadChest/master_table.csv"
VOTES = "VinDr-CXR/annotations/image_labels_train.csv"
PHRASES = "MS-CXR/*.csv"
SPLITS = "CHEST_IMA/silver_dataset/splits"

Seen = dict[str, int]
_NO_IMAGE = "failed: its image is not in the dataset's tables"
_IMAGE_GONE = {"image gone": 1, "conversation gone": 2, "artifact gone": 2, _NO_IMAGE: 2}
"""What hangs on the second image of MIMIC-CXR's metadata."""
_NO_SIZE = {
    "image.width": 1,
    "image.height": 1,
    "failed: Columns or Rows is not a number of pixels; the size is unknown": 1,
}


def _backwards(rows: list[list[str]]) -> None:
    for row in rows:
        row.reverse()


def _both_tables(data: Path) -> None:
    for name in (METADATA, SPLIT):
        text(name, cell(2, "dicom_id", "../../x"))(data)


HARMLESS: dict[str, tuple[str, Damage]] = {
    "a byte order mark": ("chexpert", raw(TRAIN, lambda content: b"\xef\xbb\xbf" + content)),
    "Windows line ends": ("mimic", text(METADATA, lambda content: content.replace(b"\n", b"\r\n"))),
    "Macintosh line ends": ("chexpert", raw(TRAIN, lambda content: content.replace(b"\n", b"\r"))),
    "blank lines": ("chexpert", raw(TRAIN, lambda content: content.replace(b"\n", b"\n\n"))),
    "no line end at the end": ("chexpert", raw(TRAIN, lambda content: content.rstrip(b"\n"))),
    "quotes around every cell": (
        "chexpert",
        raw(TRAIN, lambda content: b'"' + content.rstrip(b"\n").replace(b",", b'","').replace(b"\n", b'"\n"') + b'"\n'),
    ),
    "a line break in a quoted cell": ("mimic", text(METADATA, swap("CHEST (PA AND LAT)", '"CHEST\n(PA AND LAT)"'))),
    "columns in another order": ("chexpert", text(TRAIN, table(_backwards))),
    "an image size of zero where another table has it": ("mscxr", text(PHRASES, cell(1, "image_width", "0"))),
}

DAMAGES: dict[str, tuple[str, Damage, int, Seen]] = {
    "a blank path": (
        "chexpert",
        text(TRAIN, cell(3, "Path", "")),
        4,
        {"image gone": 1, "failed: the Path cell is blank": 1},
    ),
    "a path out of the dataset": (
        "chexpert",
        text(TRAIN, cell(3, "Path", "../../etc/passwd")),
        4,
        {"image gone": 1, "failed: the path is not split/patient/study/view": 1},
    ),
    "a NaN id": (
        "mimic",
        text(METADATA, cell(2, "dicom_id", "NaN")),
        4,
        _IMAGE_GONE
        | {
            "failed: the dicom_id is blank": 1,
            "skipped: in the split table but not in the metadata table": 1,
        },
    ),
    "an id that is a path": (
        "mimic",
        _both_tables,
        4,
        _IMAGE_GONE | {"failed: the dicom_id is not made of letters, digits and hyphens": 1},
    ),
    "a NaN study": (
        "mimic",
        text(METADATA, cell(2, "study_id", "NaN")),
        4,
        _IMAGE_GONE | {"failed: subject_id or study_id is not a number": 1},
    ),
    "a study that pandas made a fraction": (
        "mimic",
        text(METADATA, cell(2, "study_id", "53000007.0")),
        4,
        _IMAGE_GONE | {"failed: subject_id or study_id is not a number": 1},
    ),
    "a row twice": (
        "mimic",
        text(METADATA, table(lambda rows: rows.append(rows[3]))),
        0,
        {"skipped: listed twice in the metadata table; the first row counts": 1},
    ),
    "a path twice": (
        "chexpert",
        text(TRAIN, table(lambda rows: rows.append(rows[3]))),
        0,
        {"skipped: listed twice; the first row counts": 1},
    ),
    "an image in two splits": (
        "mimic",
        text(SPLIT, table(lambda rows: rows.append([*rows[3][:-1], "test"]))),
        0,
        {"skipped: listed twice in the split table; the first row counts": 1},
    ),
    "a region image in two splits": (
        "imagenome",
        lambda data: text(f"{SPLITS}/test.csv", swap("\n", _first_row(data, f"{SPLITS}/train.csv")))(data),
        0,
        {"skipped: listed in two splits; images to avoid first, then the first counts": 1},
    ),
    "a split that is none": (
        "mimic",
        text(SPLIT, cell(2, "split", "trian")),
        4,
        _IMAGE_GONE | {"failed: the split is none of train, validate and test": 1},
    ),
    "a row that is gone": (
        "mimic",
        text(SPLIT, table(lambda rows: rows.pop(2))),
        4,
        _IMAGE_GONE | {"skipped: in the metadata table but not in the split table": 1},
    ),
    "a label of 0.5": (
        "chexpert",
        text(TRAIN, cell(3, "Edema", "0.5")),
        4,
        {"image gone": 1, "failed: a label is none of 1, 0, -1 and blank": 1},
    ),
    "a label that is a word": (
        "mimic",
        text(LABELS, cell(3, "Edema", "yes")),
        4,
        {"image.labels": 1, "failed: a label is none of 1, 0, -1 and blank": 1},
    ),
    "a vote of 2": ("vindr", text(VOTES, cell(2, "Edema", "2")), 4, {"failed: a label is neither 0 nor 1": 1}),
    "labels that are no list": (
        "padchest",
        text(PADCHEST, cell(2, "Labels", "['normal'")),
        0,
        {"image.labels": 1, "skipped: the Labels cell is not a list; the labels are unknown": 1},
    ),
    "labels that are a program": (
        "padchest",
        text(PADCHEST, cell(2, "Labels", "__import__('os').abort()")),
        0,
        {"image.labels": 1, "skipped: the Labels cell is not a list; the labels are unknown": 1},
    ),
    "an age in words": (
        "chexpert",
        text(TRAIN, cell(3, "Age", "sixty")),
        0,
        {"image.age": 1, "skipped: the age is not a number of years; it is unknown": 1},
    ),
    "an age of 400": (
        "chexpert",
        text(TRAIN, cell(3, "Age", "400")),
        0,
        {"image.age": 1, "skipped: the age is not a number of years; it is unknown": 1},
    ),
    "Rows in words": ("mimic", text(METADATA, cell(2, "Rows", "many")), 4, _NO_SIZE),
    "Rows without end": ("mimic", text(METADATA, cell(2, "Rows", "inf")), 4, _NO_SIZE),
    "no Columns": ("mimic", text(METADATA, cell(2, "Columns", "0")), 4, _NO_SIZE),
    "negative Columns": ("mimic", text(METADATA, cell(2, "Columns", "-448")), 4, _NO_SIZE),
    "more Columns than a database can count": ("mimic", text(METADATA, cell(2, "Columns", "1e30")), 4, _NO_SIZE),
    "half a pixel": (
        "padchest",
        text(PADCHEST, cell(2, "Rows_DICOM", "12.5")),
        0,
        {"image.height": 1, "skipped: the height is not a number; it is unknown": 1},
    ),
    "a folder out of the dataset": (
        "padchest",
        text(PADCHEST, cell(2, "ImageDir", "../..")),
        4,
        {"image gone": 1, "failed: the ImageID or ImageDir is not a plain name": 1},
    ),
    "a report table's path that is none": (
        "chexpert-plus",
        text(PLUS, cell(1, "path_to_image", "x")),
        4,
        {
            "image gone": 1,
            "report gone": 1,
            "failed: the path is not split/patient/study/view": 1,
            "skipped: 1 label rows name no image of the report table": 1,
        },
    ),
    "a grounded image's split that is none": (
        "padchest-gr",
        text(MASTER, cell(1, "split", "trian")),
        4,
        {
            "image gone": 1,
            "grounding gone": 2,
            "conversation gone": 1,
            "artifact gone": 2,
            "failed: the split is none of train, validation and test": 1,
            "failed: the image is not in the master table": 1,
            _NO_IMAGE: 1,
        },
    ),
    "a blank id in a split": (
        "imagenome",
        text(f"{SPLITS}/train.csv", cell(1, "dicom_id", "")),
        4,
        {"grounding.split": 1, "failed: the dicom_id is blank": 1},
    ),
}  # fmt: skip


def _without_kept(seen: Seen) -> Seen:
    """What a store that knows better keeps: the size of an image, and a converted file."""
    return {what: n for what, n in seen.items() if what not in ("image.width", "image.height", "artifact gone")}


def _first_row(data: Path, pattern: str) -> str:
    return "\n" + (data / pattern).read_text().splitlines()[1] + "\n"


@pytest.mark.parametrize(("source", "damage"), HARMLESS.values(), ids=HARMLESS)
def test_what_is_unusual_and_right_changes_nothing(begin: Begin, source: str, damage: Damage) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    assert trial.prepare(source).code == 0
    assert not differences(undamaged, trial.content())


@pytest.mark.parametrize(("source", "damage", "code", "seen"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_row_is_told_and_the_others_go_on(
    begin: Begin, source: str, damage: Damage, code: int, seen: Seen
) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    # Two files of VinDr-CXR's phantoms are damaged in any case.
    assert trial.prepare(source).code == code
    assert differences(undamaged, trial.content()) == Counter(seen)
    trial.mend()
    trial.prepare(source)
    assert not differences(undamaged, trial.content()), "the damage left something behind"
    damage(trial.data)
    trial.prepare(source)
    again = differences(undamaged, trial.content())
    assert _without_kept(again) == _without_kept(seen), "a store with rows takes it otherwise"
