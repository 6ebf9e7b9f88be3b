"""CheXpert: three tables that differ in path prefix, columns and values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome
from radvlm_cli.sources import Options
from radvlm_cli.sources.chexpert import INFO, CheXpert, patient_of, strip_release
from radvlm_cli.sources.layout import locate
from tests.sources.reading import parted, touch, write_csv

LABELS = ("No Finding", "Enlarged Cardiomediastinum", *(f for f in FINDINGS if f[:2] not in ("No", "En")))
COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
FRONTAL = "train/patient00001/study1/view1_frontal.jpg"
LATERAL = "train/patient00001/study1/view2_lateral.jpg"


def _row(path: str | None = FRONTAL, *, prefix: str = "CheXpert-v1.0/", **cells: Any) -> dict[str, Any]:
    usual = {"Sex": "Female", "Age": "68", "Frontal/Lateral": "Frontal", "AP/PA": "AP", "No Finding": "1.0"}
    return usual | {"Path": path and prefix + path} | {name.replace("_", " "): cell for name, cell in cells.items()}


def _write(data: Path, *rows: dict[str, Any], name: str = "CheXpert/train.csv", columns: Any = COLUMNS) -> Path:
    write_csv(data / name, columns, rows)
    return data / name


def _images(data: Path, *, tables_only: bool = True) -> tuple[list[Image], list[Outcome]]:
    return parted(CheXpert().images(locate(INFO, data), Options(tables_only=tables_only)))


@pytest.mark.parametrize("prefix", ["CheXpert-v1.0/", "CheXpert-v1.0-small/", ""])
def test_the_release_prefix_of_a_path_does_not_matter(tmp_path: Path, prefix: str) -> None:
    _write(tmp_path, _row(prefix=prefix))
    ((image,), outcomes) = _images(tmp_path)
    assert outcomes == []
    assert (image.image_id, image.study_id, image.patient_id) == (
        "train/patient00001/study1/view1_frontal",
        "train/patient00001/study1",
        "patient00001",
    )
    assert (image.path, image.split, image.view, image.sex, image.age) == (
        f"CheXpert/{FRONTAL}",
        "train",
        "AP",
        "F",
        68,
    )


def test_labels_keep_uncertain_apart_and_leave_out_what_is_not_mentioned(tmp_path: Path) -> None:
    row = _row(No_Finding="", Edema="1.0", Fracture="0.0", Pneumonia="-1.0", Cardiomegaly="")
    _write(tmp_path, row, _row(LATERAL, Support_Devices="1.0"))
    (first, second), _ = _images(tmp_path)
    assert json.loads(first.labels or "") == {"Edema": 1, "Fracture": 0, "Pneumonia": -1}
    assert json.loads(second.labels or "") == {"No Finding": 1, "Support Devices": 1}


def test_an_image_on_which_nothing_is_mentioned_has_labels_none_of_which_is_known(tmp_path: Path) -> None:
    _write(tmp_path, _row(No_Finding=""))
    assert _images(tmp_path)[0][0].labels == "{}"


def test_unknown_sex_and_age_zero_are_unknown(tmp_path: Path) -> None:
    _write(tmp_path, _row(Sex="Unknown", Age="0"), _row(LATERAL, Sex="", Age=""))
    images, outcomes = _images(tmp_path)
    assert [(image.sex, image.age) for image in images] == [(None, None)] * 2
    assert outcomes == []


@pytest.mark.parametrize("age", ["sixty", "-5", "121", "1e999", "²", "1e30", "0x10"])
def test_an_age_that_is_none_is_unknown_and_told(tmp_path: Path, age: str) -> None:
    _write(tmp_path, _row(Age=age))
    (image,), outcomes = _images(tmp_path)
    assert image.age is None
    assert outcomes == [
        Outcome(f"{FRONTAL} age", "skipped", "the age is not a number of years; it is unknown"),
    ]


@pytest.mark.parametrize(
    ("cells", "path", "view"),
    [
        ({"Frontal/Lateral": "Lateral", "AP/PA": ""}, LATERAL, "LATERAL"),
        ({"Frontal/Lateral": "Frontal", "AP/PA": "PA"}, FRONTAL, "PA"),
        ({"Frontal/Lateral": "Frontal", "AP/PA": "LL"}, FRONTAL, "LL"),
        ({"Frontal/Lateral": "", "AP/PA": ""}, FRONTAL, "FRONTAL"),
        ({"Frontal/Lateral": "", "AP/PA": ""}, LATERAL, "LATERAL"),
    ],
)
def test_the_view_comes_from_the_table_else_from_the_name(
    tmp_path: Path, cells: dict[str, str], path: str, view: str
) -> None:
    _write(tmp_path, _row(path) | cells)
    assert _images(tmp_path)[0][0].view == view


def test_the_test_labels_have_no_prefix_and_no_demographics(tmp_path: Path) -> None:
    _write(tmp_path, _row())
    name = "test/patient64741/study1/view1_frontal.jpg"
    row = {"Path": name} | dict.fromkeys(LABELS, "0.0") | {"Airspace Opacity": "1.0"}
    columns = ["Path", *(label for label in LABELS if label != "Lung Opacity"), "Airspace Opacity"]
    write_csv(tmp_path / "CheXpert/test_labels.csv", columns, [{name: row[name] for name in columns}])
    image = _images(tmp_path)[0][-1]
    assert (image.split, image.view, image.sex, image.age) == ("test", "FRONTAL", None, None)
    assert json.loads(image.labels or "")["Lung Opacity"] == 1


def test_labels_of_studies_are_passed_over_and_told(tmp_path: Path) -> None:
    _write(tmp_path, _row())
    (tmp_path / "CheXpert/groundtruth.csv").write_text("Study,Edema\nCheXpert-v1.0/test/patient64741/study1,1")
    images, outcomes = _images(tmp_path)
    assert len(images) == 1
    assert outcomes == [
        Outcome("groundtruth.csv", "skipped", "study-level labels without image paths; use test_labels.csv")
    ]


@pytest.mark.parametrize(("table", "folder"), [("valid", "valid"), ("valid", "val"), ("val", "valid")])
def test_validation_images_are_found_under_either_name_of_their_folder(tmp_path: Path, table: str, folder: str) -> None:
    _write(tmp_path, _row())
    name = "{}/patient64541/study1/view1_frontal.jpg"
    _write(tmp_path, _row(name.format(table)), name="CheXpert/val_labels.csv")
    touch(tmp_path / "CheXpert" / name.format(folder))
    image = _images(tmp_path, tables_only=False)[0][-1]
    assert (image.split, image.status) == ("validation", "present")
    assert image.path == "CheXpert/" + name.format(folder)


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("CheXpert/train.csv", "CheXpert"),
        ("CheXpert/train.csv.gz", "CheXpert/CheXpert-v1.0"),
        ("CheXpert-v1.0-small/train.csv", "CheXpert-v1.0-small"),
        ("chexpert/CheXpert-v1.0/train.csv", "chexpert/CheXpert-v1.0"),
        ("chexpertchestxrays-u20210408/CheXpert-v1.0/train.csv", "chexpertchestxrays-u20210408/CheXpert-v1.0"),
    ],
)
def test_tables_and_images_are_found_in_every_usual_layout(tmp_path: Path, table: str, folder: str) -> None:
    _write(tmp_path, _row(), _row(LATERAL), name=table)
    touch(tmp_path / folder / FRONTAL)
    (here, gone), _ = _images(tmp_path, tables_only=False)
    assert (here.status, here.path) == ("present", f"{folder}/{FRONTAL}")
    assert (gone.status, gone.reason) == ("missing", "file not found")


@pytest.mark.parametrize(
    ("row", "item", "status", "reason"),
    [
        (_row(None), "train.csv row 2", "failed", "the Path cell is blank"),
        (_row(), FRONTAL, "skipped", "listed twice; the first row counts"),
        (_row(prefix="CheXpert-v1.0-small/"), FRONTAL, "skipped", "listed twice; the first row counts"),
        (_row("view1_frontal.jpg", prefix=""), "view1_frontal.jpg", "failed", "the path is not"),
        (_row("../../patient1/x.jpg", prefix=""), "../../patient1/x.jpg", "failed", "the path is not"),
        (_row("train/patientX/study1/a.jpg", prefix=""), "train/patientX/study1/a.jpg", "failed", "the path is not"),
        (_row(LATERAL, Edema="2"), LATERAL, "failed", "a label is none of 1, 0, -1 and blank"),
        (_row(LATERAL, Edema="yes"), LATERAL, "failed", "a label is none of 1, 0, -1 and blank"),
    ],
)
def test_a_bad_row_is_told_and_the_rest_goes_on(
    tmp_path: Path, row: dict[str, Any], item: str, status: str, reason: str
) -> None:
    last = "train/patient00002/study1/view1_frontal.jpg"
    _write(tmp_path, _row(), row, _row(last))
    images, (outcome,) = _images(tmp_path)
    assert [image.patient_id for image in images] == ["patient00001", "patient00002"]
    assert (outcome.item, outcome.status) == (item, status)
    assert outcome.reason.startswith(reason)


@pytest.mark.parametrize("column", ["Path", "Sex", "Age", "AP/PA", "Frontal/Lateral", "Edema", "Lung Opacity"])
def test_a_column_missing_from_the_train_table_is_a_clear_error(tmp_path: Path, column: str) -> None:
    columns = [name for name in COLUMNS if name != column]
    _write(tmp_path, {name: cell for name, cell in _row().items() if name != column}, columns=columns)
    with pytest.raises(DataError, match=f"column '{column}' is missing"):
        _images(tmp_path)


def test_a_missing_train_table_says_where_it_is_obtained(tmp_path: Path) -> None:
    _write(tmp_path, _row(), name="CheXpert/valid.csv")
    with pytest.raises(DataError, match="train labels not found") as raised:
        _images(tmp_path)
    assert "stanfordaimi" in (raised.value.hint or "")


def test_paths_are_taken_apart() -> None:
    assert strip_release("CheXpert-v1.0/" + FRONTAL) == strip_release("CheXpert-v1.0-small/" + FRONTAL) == FRONTAL
    assert patient_of(FRONTAL) == "patient00001"
    assert patient_of("x/" + FRONTAL) is None
