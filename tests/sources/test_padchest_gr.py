"""PadChest-GR: one row per label in the master table, sentences with boxes in the JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Box, Grounding, Image, Outcome
from radvlm_cli.sources import Known, Options
from radvlm_cli.sources.layout import locate
from radvlm_cli.sources.padchest import TABLE
from radvlm_cli.sources.padchest_gr import INFO, PadChestGr
from tests.sources.reading import parted, touch, write_csv

STUDY = "216840111366964012989926673512011134180"
FIRST, SECOND, THIRD = (f"{STUDY}{n}_k6ga2{n}.png" for n in (1, 2, 3))
MASTER = ("StudyID", "ImageID", "label", "split", "PatientID", "PatientBirth", "PatientSex_DICOM", "StudyDate_DICOM")
PADCHEST = ("", "ImageID", "Projection", "Rows_DICOM", "Columns_DICOM")


def _master(name: str | None, **cells: Any) -> dict[str, Any]:
    row = {"StudyID": STUDY, "ImageID": name, "label": "nodule", "split": "train", "PatientID": "8" * 39}
    return row | {"PatientBirth": "1930.0", "PatientSex_DICOM": "F", "StudyDate_DICOM": "20140915"} | cells


def _finding(**keys: Any) -> dict[str, Any]:
    return {
        "sentence_en": "Nodule.",
        "sentence_es": "Nódulo.",
        "abnormal": True,
        "boxes": [[0.1, 0.2, 0.3, 0.4]],
    } | keys


def _write(data: Path, *rows: dict[str, Any], records: Any = (), padchest: list[dict[str, Any]] | None = None) -> None:
    folder = data / "PadChest-GR"
    write_csv(folder / "master_table.csv", MASTER, rows)
    (folder / "grounded_reports_20240819.json").write_text(json.dumps(records))
    if padchest is not None:
        write_csv(data / "PadChest" / TABLE, PADCHEST, padchest)


def _images(data: Path) -> tuple[list[Image], list[Outcome]]:
    return parted(PadChestGr().images(locate(INFO, data), Options()))


def _groundings(data: Path) -> tuple[list[Grounding], list[Outcome]]:
    known = {image.image_id: Known(image.width, image.height) for image in _images(data)[0]}
    return parted(PadChestGr().groundings(locate(INFO, data), Options(), known))


def _grounded(data: Path, *findings: Any) -> tuple[list[Grounding], list[Outcome]]:
    _write(data, _master(FIRST), records=[{"StudyID": STUDY, "ImageID": FIRST, "findings": list(findings)}])
    return _groundings(data)


def test_an_image_has_one_row_per_label_and_is_read_once(tmp_path: Path) -> None:
    rows = [_master(FIRST), _master(FIRST, label="Normal"), _master(SECOND, split="test", PatientSex_DICOM="O")]
    _write(tmp_path, *rows)
    images, outcomes = _images(tmp_path)
    assert [image.image_id for image in images] == [FIRST, SECOND]
    assert [image.split for image in images] == ["train", "test"]
    assert [(image.sex, image.age) for image in images] == [("F", 84), (None, 84)]
    assert images[0].study_id == STUDY  # 39 digits, more than any whole number of a table reader holds
    assert [outcome.reason for outcome in outcomes] == [
        "PadChest's label table is not there: the projection is unknown"
    ]


@pytest.mark.parametrize("projection", ["PA", "AP", "AP_horizontal", "L"])
def test_projection_and_size_come_from_padchest(tmp_path: Path, projection: str) -> None:
    row = {"": 0, "ImageID": FIRST, "Projection": projection, "Rows_DICOM": "1652", "Columns_DICOM": "1824.0"}
    _write(tmp_path, _master(FIRST), _master(SECOND), padchest=[row])
    (first, second), outcomes = _images(tmp_path)
    assert (first.view, first.width, first.height) == (projection, 1824, 1652)
    assert (second.view, second.width, second.height) == (None, None, None)
    assert [outcome.item for outcome in outcomes] == [f"{SECOND} projection"]


@pytest.mark.parametrize("junk", ["wide", "1e999", "²", "-5", "1e30"])
def test_a_number_that_is_none_is_unknown_and_told(tmp_path: Path, junk: str) -> None:
    row = {"": 0, "ImageID": FIRST, "Projection": "PA", "Rows_DICOM": junk, "Columns_DICOM": "100"}
    _write(tmp_path, _master(FIRST, PatientBirth=junk), padchest=[row])
    (image,), outcomes = _images(tmp_path)
    assert (image.width, image.height, image.age) == (100, None, None)
    assert outcomes == [
        Outcome(f"{FIRST} height", "skipped", "the height is not a number; it is unknown"),
        Outcome(f"{FIRST} birth year", "skipped", "the birth year is not a number; it is unknown"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (_master(None), "the ImageID is blank"),
        (_master(SECOND, split="dev"), "the split is none of train, validation and test"),
        (_master(SECOND, split=None), "the split is none of train, validation and test"),
        (_master(FIRST, split="test"), "listed in two splits; the first row counts"),
        (_master("../../etc/passwd.png"), "the ImageID is not a plain name"),
    ],
)
def test_a_bad_row_of_the_master_table_is_told(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    _write(tmp_path, _master(FIRST), row)
    images, outcomes = _images(tmp_path)
    assert [(image.image_id, image.split) for image in images] == [(FIRST, "train")]
    assert reason in [outcome.reason for outcome in outcomes if outcome.status == "failed"]


@pytest.mark.parametrize(
    "folder",
    ["PadChest-GR/Padchest_GR_files/PadChest_GR", "PadChest-GR/PadChest_GR", "PadChest-GR/images_grounding"],
)
def test_originals_are_converted_from_the_official_and_the_published_folder(tmp_path: Path, folder: str) -> None:
    _write(tmp_path, _master(FIRST), _master(SECOND))
    touch(tmp_path / folder / FIRST)
    layout = locate(INFO, tmp_path, tmp_path / "made")
    (conversion,) = PadChestGr().conversions(layout, Options())
    assert conversion.source == tmp_path / folder / FIRST
    assert conversion.target == tmp_path / "made/PadChest-GR/images_grounding_jpg" / FIRST.replace(".png", ".jpg")
    images, _ = parted(PadChestGr().images(layout, Options()))
    assert [image.reason for image in images] == ["not converted yet", "image file not found"]
    touch(conversion.target)
    images, _ = parted(PadChestGr().images(layout, Options()))
    assert (images[0].status, images[0].root) == ("present", "derived")
    assert layout.derived_dir / images[0].path == conversion.target


def test_a_finding_is_a_phrase_with_its_boxes(tmp_path: Path) -> None:
    finding = _finding(labels=["nodule"], locations=["left"], progression=None, extra_boxes=[[0.1, 0.1, 0.2, 0.2]])
    (grounding,), outcomes = _grounded(tmp_path, finding)
    assert outcomes == []
    assert (grounding.kind, grounding.phrase, grounding.label) == ("phrase", "Nodule.", "nodule")
    assert json.loads(grounding.boxes) == [[0.1, 0.2, 0.3, 0.4]]
    assert json.loads(grounding.detail or "") == {
        "abnormal": True,
        "extra_boxes": [[0.1, 0.1, 0.2, 0.2]],
        "labels": ["nodule"],
        "locations": ["left"],
        "sentence_es": "Nódulo.",
    }


@pytest.mark.parametrize("boxes", [{}, {"boxes": []}, {"boxes": None}])
def test_a_finding_without_boxes_is_kept_for_dialogues(tmp_path: Path, boxes: dict[str, Any]) -> None:
    (grounding,), outcomes = _grounded(tmp_path, {"sentence_en": "Clear.", "abnormal": False} | boxes)
    assert (grounding.boxes, outcomes) == ("[]", [])


@pytest.mark.parametrize("sentence", ["", " ", None, 5])
def test_a_finding_without_a_sentence_is_passed_over_without_a_gap(tmp_path: Path, sentence: Any) -> None:
    groundings, outcomes = _grounded(tmp_path, _finding(), _finding(sentence_en=sentence), _finding())
    assert [grounding.ordinal for grounding in groundings] == [0, 1]
    assert outcomes == [Outcome(f"{FIRST} finding 1", "skipped", "the English sentence is blank")]


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ([0.1, 0.2, 0.3], "box not four numbers"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], "box not four numbers"),
        ([0.1, 0.2, 0.3, "0.4"], "box not four numbers"),
        ([0.1, 0.2, 0.3, None], "box not four numbers"),
        ([0.1, 0.2, 0.3, True], "box not four numbers"),
        (7, "box not four numbers"),
        (None, "box not four numbers"),
        ([0.1, 0.2, 0.1, 0.4], "box zero area"),
        ([0.3, 0.2, 0.1, 0.4], "box zero area"),
        ([1.1, 0.2, 1.3, 0.4], "box outside the image"),
        ([0.1, 0.2, 0.3, float("nan")], "box not a number"),
        ([0.1, 0.2, 0.3, float("inf")], "box in pixels, or far outside the image"),
        ([100, 200, 300, 400], "box in pixels, or far outside the image"),
        ([0, 0, 300, 400], "box in pixels, or far outside the image"),
    ],
)
def test_a_bad_box_is_dropped_and_told_and_the_others_stay(tmp_path: Path, corners: Any, reason: str) -> None:
    (grounding,), outcomes = _grounded(tmp_path, _finding(boxes=[corners, [0.5, 0.5, 1.2, 1]]))
    assert [Box(*box) for box in json.loads(grounding.boxes)] == [Box(0.5, 0.5, 1, 1)]
    assert outcomes == [Outcome(f"{FIRST} finding 0 box 0", "skipped", reason)]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"boxes": 5}, "the boxes are not a list"),
        ({"boxes": {"x": 1}}, "the boxes are not a list"),
        ({"labels": "nodule"}, "the labels are not a list of names"),
        ({"labels": [5]}, "the labels are not a list of names"),
        ({"extra_boxes": [[float("nan")]]}, "it holds NaN, or text that is not Unicode"),
        ({"sentence_en": "Nodule \ud800"}, "it holds NaN, or text that is not Unicode"),
    ],
)
def test_a_damaged_finding_fails_alone(tmp_path: Path, keys: dict[str, Any], reason: str) -> None:
    groundings, outcomes = _grounded(tmp_path, _finding(**keys), _finding())
    assert len(groundings) == 1
    assert outcomes == [Outcome(f"{FIRST} finding 0", "failed", reason)]


@pytest.mark.parametrize(
    ("record", "item", "reason"),
    [
        ({"findings": []}, "record 1", "the record has no ImageID"),
        ({"ImageID": None, "findings": []}, "record 1", "the record has no ImageID"),
        ({"ImageID": ["x"], "findings": []}, "record 1", "the record has no ImageID"),
        ("text", "record 1", "the record has no ImageID"),
        ({"ImageID": SECOND, "findings": []}, SECOND, "the image is not in the master table"),
        ({"ImageID": FIRST}, FIRST, "the record's findings are not a list of objects"),
        ({"ImageID": FIRST, "findings": [5]}, FIRST, "the record's findings are not a list of objects"),
    ],
)
def test_a_damaged_record_fails_and_the_rest_goes_on(tmp_path: Path, record: Any, item: str, reason: str) -> None:
    good = {"ImageID": THIRD, "findings": [_finding()]}
    _write(tmp_path, _master(FIRST), _master(THIRD), records=[record, good])
    groundings, outcomes = _groundings(tmp_path)
    assert [grounding.image_id for grounding in groundings] == [THIRD]
    assert Outcome(item, "failed", reason) in outcomes


def test_the_first_of_two_records_counts_and_an_image_without_one_is_told(tmp_path: Path) -> None:
    records = [{"ImageID": FIRST, "findings": [_finding(sentence_en=text)]} for text in ("One.", "Two.")]
    _write(tmp_path, _master(FIRST), _master(SECOND), records=records)
    groundings, outcomes = _groundings(tmp_path)
    assert [grounding.phrase for grounding in groundings] == ["One."]
    assert outcomes == [
        Outcome(FIRST, "failed", "listed twice; the first record counts"),
        Outcome(SECOND, "skipped", "the image has no grounded report"),
    ]


@pytest.mark.parametrize("content", ["", "[{", '{"findings": []}', "\xff", "[" * 100_000])
def test_a_damaged_findings_file_is_a_clear_error(tmp_path: Path, content: str) -> None:
    _write(tmp_path, _master(FIRST))
    (tmp_path / "PadChest-GR/grounded_reports_20240819.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"cannot be read as JSON|is not a list of reports"):
        _groundings(tmp_path)


def test_a_folder_in_place_of_the_findings_file_is_a_clear_error(tmp_path: Path) -> None:
    _write(tmp_path, _master(FIRST))
    (tmp_path / "PadChest-GR/grounded_reports_20240819.json").unlink()
    (tmp_path / "PadChest-GR/grounded_reports_20240819.json").mkdir()
    with pytest.raises(DataError, match="cannot be read as JSON"):
        _groundings(tmp_path)


def test_a_missing_master_table_says_where_it_is_obtained(tmp_path: Path) -> None:
    touch(tmp_path / "PadChest-GR/grounded_reports_20240819.json")
    with pytest.raises(DataError, match="master table not found") as raised:
        _images(tmp_path)
    assert "bimcv.cipf.es" in (raised.value.hint or "")
