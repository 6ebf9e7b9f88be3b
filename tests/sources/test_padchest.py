"""PadChest: the one big table, whose ids are long numbers and whose labels are lists of what is present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.sources.padchest import INFO, TABLE, PadChest, age_in_years
from tests.sources.reading import parted, touch, write_csv

TABLES_ONLY = Options(tables_only=True)
COLUMNS = (
    "", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
    "ViewPosition_DICOM", "Projection", "Rows_DICOM", "Columns_DICOM", "Report", "Labels",
)  # fmt: skip
PATIENT = "839860488694292331637988235681460987"
STUDY = "20536686640136348236148679891455886468"
NAME = f"{STUDY}_k6ga29.png"
ROW = {
    "": "0", "ImageID": NAME, "ImageDir": "13", "StudyDate_DICOM": "20140915", "StudyID": STUDY, "PatientID": PATIENT,
    "PatientBirth": "1930.0", "PatientSex_DICOM": "F", "ViewPosition_DICOM": "POSTEROANTERIOR", "Projection": "PA",
    "Rows_DICOM": "3480", "Columns_DICOM": "4248.0", "Report": " sin hallazg patolog edad pacient .",
    "Labels": "['normal']",
}  # fmt: skip


def write(data_dir: Path, *changes: dict[str, Any]) -> Layout:
    """A table with one row for each change of the usual one."""
    write_csv(data_dir / "PadChest" / f"{TABLE}.gz", COLUMNS, [ROW | change for change in changes or [{}]])
    return locate(INFO, data_dir)


def images(layout: Layout, options: Options = TABLES_ONLY) -> tuple[list[Image], list[Outcome]]:
    return parted(PadChest().images(layout, options))


def reports(layout: Layout) -> tuple[list[Report], list[Outcome]]:
    return parted(PadChest().reports(layout, TABLES_ONLY))


def labels(data_dir: Path, cell: str) -> dict[str, int] | None:
    found, outcomes = images(write(data_dir, {"Labels": cell}))
    assert outcomes == []
    return None if found[0].labels is None else json.loads(found[0].labels)


def test_an_image_has_all_that_its_row_says_and_ids_keep_every_digit(tmp_path: Path) -> None:
    found, outcomes = images(write(tmp_path))
    assert outcomes == []
    assert found == [
        Image(
            source="padchest",
            image_id=NAME,
            patient_id=PATIENT,
            study_id=STUDY,
            split=None,
            view="PA",
            root="data",
            path=f"PadChest/13/{NAME}",
            width=4248,
            height=3480,
            sex="F",
            age=84,
            labels='{"No Finding":1}',
            status="unchecked",
            reason=None,
        )
    ]


@pytest.mark.parametrize("folder", ["images/13/", "13/"])
def test_images_lie_in_numbered_folders_with_or_without_one_around_them(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / "PadChest" / folder / NAME)
    found, _ = images(write(tmp_path, {}, {"ImageID": "other.png"}), Options())
    assert [(image.path, image.status) for image in found] == [
        (f"PadChest/{folder}{NAME}", "present"),
        (f"PadChest/{folder}other.png", "missing"),
    ]


def test_an_image_without_folder_is_looked_for_beside_them(tmp_path: Path) -> None:
    touch(tmp_path / "PadChest" / "images" / NAME)
    image = images(write(tmp_path, {"ImageDir": ""}), Options())[0][0]
    assert (image.path, image.status) == (f"PadChest/images/{NAME}", "present")


@pytest.mark.parametrize("view", ["PA", "L", "AP_horizontal", "AP", "COSTAL", "EXCLUDE", "UNK"])
def test_the_view_is_the_projection_as_it_is_written(tmp_path: Path, view: str) -> None:
    assert images(write(tmp_path, {"Projection": view}))[0][0].view == view


@pytest.mark.parametrize(("cell", "sex"), [("M", "M"), ("F", "F"), ("O", None), ("", None), ("nan", None)])
def test_a_sex_that_is_neither_is_unknown(tmp_path: Path, cell: str, sex: str | None) -> None:
    assert images(write(tmp_path, {"PatientSex_DICOM": cell}))[0][0].sex == sex


@pytest.mark.parametrize(
    ("date", "birth", "age"),
    [
        ("20140915", "1930.0", 84),
        ("20140915", "1930", 84),
        ("20140915", "2014.0", 0),
        ("20140915", None, None),
        (None, "1930.0", None),
        ("20140915", "2015.0", None),
        ("20140915", "1800.0", None),
        ("20140915", "unknown", None),
        ("September", "1930.0", None),
    ],
)
def test_age_is_from_year_to_year(date: str | None, birth: str | None, age: int | None) -> None:
    assert age_in_years(date, birth) == age


class TestLabels:
    @pytest.mark.parametrize(
        ("cell", "findings"),
        [
            ("['normal']", {"No Finding"}),
            ("['pleural effusion', ' cardiomegaly']", {"Pleural Effusion", "Cardiomegaly"}),
            ("['consolidation']", {"Consolidation", "Lung Opacity"}),
            ("['laminar atelectasis', 'COPD signs']", {"Atelectasis"}),
            ("['rib fracture ', 'callus rib fracture']", {"Fracture"}),
            ("['pacemaker']", {"Support Devices"}),
            ("['normal', 'NSG tube', '']", {"No Finding", "Support Devices"}),
            ("['normal', 'unchanged']", {"No Finding"}),
            ("['normal', 'infiltrates']", {"Lung Opacity"}),
        ],
    )
    def test_clear_counterparts_become_findings_that_are_present(
        self, tmp_path: Path, cell: str, findings: set[str]
    ) -> None:
        assert labels(tmp_path, cell) == dict.fromkeys(sorted(findings), 1)

    @pytest.mark.parametrize(
        "cell",
        ["['tuberculosis']", "['normal', 'COPD signs']", "['unchanged']", "['exclude']", "['']", "[]", "", "nan"],
    )
    def test_without_a_counterpart_the_labels_are_unknown_not_negative(self, tmp_path: Path, cell: str) -> None:
        assert labels(tmp_path, cell) is None

    @pytest.mark.parametrize(
        "cell", ["['normal'", "normal", "{'normal': 1}", "[1, 2]", "'normal'", "[" * 3_000, "9" * 9]
    )
    def test_a_cell_that_is_no_list_of_names_is_told_and_the_image_kept(self, tmp_path: Path, cell: str) -> None:
        found, outcomes = images(write(tmp_path, {"Labels": cell}))
        assert found[0].labels is None
        assert outcomes == [Outcome(NAME, "skipped", "the Labels cell is not a list; the labels are unknown")]

    def test_labels_are_never_run_as_code(self, tmp_path: Path) -> None:
        cell = "__import__('pathlib').Path('made').touch()"
        assert len(images(write(tmp_path, {"Labels": cell}))[1]) == 1
        assert not Path("made").exists()

    def test_every_finding_has_a_counterpart(self, tmp_path: Path) -> None:
        from radvlm_cli.sources.padchest import _COUNTERPARTS

        assert tuple(sorted(_COUNTERPARTS)) == tuple(sorted(FINDINGS))


class TestReports:
    def test_a_report_is_spanish_text_without_sections(self, tmp_path: Path) -> None:
        found, outcomes = reports(write(tmp_path))
        assert outcomes == []
        assert found == [
            Report(
                source="padchest",
                study_id=STUDY,
                patient_id=PATIENT,
                split=None,
                language="es",
                findings=None,
                impression=None,
                last_paragraph=None,
                comparison=None,
                history=None,
                text="sin hallazg patolog edad pacient .",
                origin="published",
            )
        ]

    def test_a_study_with_two_images_has_one_report(self, tmp_path: Path) -> None:
        layout = write(tmp_path, {}, {"ImageID": "second.png"}, {"ImageID": "third.png", "StudyID": "7"})
        assert [report.study_id for report in reports(layout)[0]] == [STUDY, "7"]

    @pytest.mark.parametrize("text", ["", "  ", "nan"])
    def test_a_blank_report_is_skipped_and_told(self, tmp_path: Path, text: str) -> None:
        assert reports(write(tmp_path, {"Report": text})) == (
            [],
            [Outcome(STUDY, "skipped", "the report is blank")],
        )

    def test_a_report_without_study_is_told(self, tmp_path: Path) -> None:
        assert reports(write(tmp_path, {"StudyID": ""}, {}))[1] == [Outcome("row 1", "failed", "the StudyID is blank")]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"ImageID": ""}, Outcome("row 2", "failed", "the ImageID is blank")),
        ({"ImageID": NAME}, Outcome(NAME, "skipped", "listed twice; the first row counts")),
        ({"ImageID": "../a.png"}, Outcome("../a.png", "failed", "the ImageID or ImageDir is not a plain name")),
        ({"ImageDir": "../13"}, Outcome("b.png", "failed", "the ImageID or ImageDir is not a plain name")),
    ],
    ids=str,
)
def test_a_bad_row_ends_as_an_outcome_and_the_rest_goes_on(
    tmp_path: Path, change: dict[str, str], outcome: Outcome
) -> None:
    found, outcomes = images(write(tmp_path, {}, {"ImageID": "b.png"} | change, {"ImageID": "c.png"}))
    assert outcomes == [outcome]
    assert [image.image_id for image in found] == [NAME, "c.png"]


@pytest.mark.parametrize("cell", ["", "many", "inf"])
def test_a_size_that_is_no_number_is_unknown(tmp_path: Path, cell: str) -> None:
    assert images(write(tmp_path, {"Rows_DICOM": cell}))[0][0].height is None


def test_a_missing_table_and_a_missing_column_are_named(tmp_path: Path) -> None:
    (tmp_path / "PadChest").mkdir()
    with pytest.raises(DataError, match="label table not found"):
        images(locate(INFO, tmp_path))
    write_csv(tmp_path / "PadChest" / TABLE, [name for name in COLUMNS if name != "Projection"], [{"ImageID": "a"}])
    with pytest.raises(DataError, match="'Projection' is missing"):
        images(locate(INFO, tmp_path))


def test_a_number_that_is_none_is_unknown_and_told(tmp_path: Path) -> None:
    row = {"Rows_DICOM": "high", "Columns_DICOM": "1e99", "PatientBirth": "?", "StudyDate_DICOM": "yesterday"}
    (image,), outcomes = images(write(tmp_path, row))
    assert (image.width, image.height, image.age) == (None, None, None)
    assert [outcome.item for outcome in outcomes] == [
        f"{NAME} {what}" for what in ("width", "height", "birth year", "study year")
    ]
