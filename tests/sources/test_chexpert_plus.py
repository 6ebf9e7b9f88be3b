"""CheXpert Plus: images, labels and reports from its one table and its JSON Lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options
from radvlm_cli.sources.chexpert_plus import INFO, CheXpertPlus
from radvlm_cli.sources.layout import Layout, locate
from tests.sources.reading import parted, touch, write_csv

TABLES_ONLY = Options(tables_only=True)
TABLE = "df_chexpert_plus_240401.csv"
COLUMNS = (
    "path_to_image", "path_to_dcm", "frontal_lateral", "ap_pa", "deid_patient_id", "patient_report_date_order",
    "report", "section_narrative", "section_clinical_history", "section_history", "section_comparison",
    "section_technique", "section_procedure_comments", "section_findings", "section_impression",
    "section_end_of_impression", "section_summary", "section_accession_number", "age", "sex", "race", "ethnicity",
    "interpreter_needed", "insurance_type", "recent_bmi", "deceased", "split",
)  # fmt: skip
FRONTAL, LATERAL = "train/patient42142/study5/view1_frontal.jpg", "train/patient42142/study5/view2_lateral.jpg"
VALID = "valid/patient64541/study1/view1_frontal.jpg"
STUDY = {
    "frontal_lateral": "Frontal", "ap_pa": "AP", "deid_patient_id": "patient42142", "age": "61.0", "sex": "Female",
    "split": "train", "section_findings": "\n", "section_end_of_impression": "\n",
    "section_impression": "\n1.  HEART IS LARGE.\n\n2.  LUNGS ARE CLEAR.", "section_comparison": "None given",
    "section_history": "Cough.",
}  # fmt: skip
ROWS: list[dict[str, str]] = [
    STUDY | {"path_to_image": FRONTAL},
    STUDY | {"path_to_image": LATERAL, "frontal_lateral": "Lateral", "ap_pa": ""},
    {
        "path_to_image": VALID, "frontal_lateral": "Frontal", "ap_pa": "", "age": "", "sex": "Unknown",
        "split": "valid", "section_findings": "Clear.", "section_clinical_history": "Pain.", "section_history": "Old.",
    },
]  # fmt: skip


def write(home: Path, rows: list[dict[str, str]] = ROWS) -> Layout:
    write_csv(home / TABLE, COLUMNS, rows)
    return locate(INFO, home.parent)


def write_labels(home: Path, lines: list[Any]) -> None:
    path = home / "chexbert_labels" / "report_fixed.json"
    path.parent.mkdir(parents=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + "\n", encoding="utf-8")


def images(layout: Layout, options: Options = TABLES_ONLY) -> tuple[list[Image], list[Outcome]]:
    return parted(CheXpertPlus().images(layout, options))


def reports(layout: Layout) -> tuple[list[Report], list[Outcome]]:
    return parted(CheXpertPlus().reports(layout, Options()))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "CheXpertPlus"
    folder.mkdir()
    return folder


def test_an_image_has_all_that_its_row_says(home: Path) -> None:
    found, outcomes = images(write(home))
    assert outcomes == []
    assert found[0] == Image(
        source="chexpert-plus",
        image_id="train/patient42142/study5/view1_frontal",
        patient_id="patient42142",
        study_id="train/patient42142/study5",
        split="train",
        view="AP",
        root="data",
        path=f"CheXpertPlus/{FRONTAL}",
        width=None,
        height=None,
        sex="F",
        age=61,
        labels=None,
        status="unchecked",
        reason=None,
    )
    assert [(i.view, i.split, i.sex, i.age) for i in found] == [
        ("AP", "train", "F", 61),
        ("LATERAL", "train", "F", 61),
        ("FRONTAL", "validation", None, None),
    ]


@pytest.mark.parametrize("folder", ["CheXpert", "CheXpertPlus", "CheXpert-Plus", "chexpertplus"])
def test_the_table_is_found_under_all_usual_folder_names(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    assert len(images(write(tmp_path / folder))[0]) == 3


def test_a_missing_table_is_named_with_where_to_get_it(home: Path) -> None:
    with pytest.raises(DataError, match="report table not found") as caught:
        images(locate(INFO, home.parent))
    assert INFO.obtain in str(caught.value.hint)


class TestImageFiles:
    def test_the_jpeg_of_chexpert_is_taken_before_the_png(self, home: Path) -> None:
        touch(home.parent / "CheXpert" / "CheXpert-v1.0" / FRONTAL)
        touch(home / "PNG" / FRONTAL.replace(".jpg", ".png"))
        image = images(write(home), Options())[0][0]
        assert (image.path, image.status) == (f"CheXpert/CheXpert-v1.0/{FRONTAL}", "present")

    @pytest.mark.parametrize("tree", ["PNG", "PNG/PNG"])
    def test_without_jpegs_the_png_tree_is_taken(self, home: Path, tree: str) -> None:
        png = FRONTAL.replace(".jpg", ".png")
        touch(home / tree / png)
        found, _ = images(write(home), Options())
        assert (found[0].path, found[0].status) == (f"CheXpertPlus/{tree}/{png}", "present")
        assert (found[1].status, found[1].reason) == ("missing", "file not found")

    def test_a_png_stands_in_for_a_jpeg_that_is_missing(self, home: Path) -> None:
        touch(home.parent / "CheXpert" / LATERAL)
        touch(home / "PNG" / FRONTAL.replace(".jpg", ".png"))
        found, _ = images(write(home), Options())
        assert [image.path.split("/")[0:2] for image in found[:2]] == [["CheXpertPlus", "PNG"], ["CheXpert", "train"]]
        assert [image.status for image in found[:2]] == ["present", "present"]

    def test_the_validation_folder_may_be_called_val(self, home: Path) -> None:
        touch(home.parent / "CheXpert" / VALID.replace("valid/", "val/"))
        image = images(write(home), Options())[0][2]
        assert (image.path, image.status) == (f"CheXpert/{VALID.replace('valid/', 'val/')}", "present")

    def test_table_and_images_may_share_the_folder_of_chexpert(self, tmp_path: Path) -> None:
        touch(tmp_path / "CheXpert" / FRONTAL)
        image = images(write(tmp_path / "CheXpert"), Options())[0][0]
        assert (image.path, image.status) == (f"CheXpert/{FRONTAL}", "present")


def unlabelled(count: int) -> Outcome:
    return Outcome("images", "skipped", f"{count} images have no row in the label file: labels unknown")


class TestLabels:
    def test_json_lines_become_labels_and_null_stays_unknown(self, home: Path) -> None:
        write_labels(
            home, [{"path_to_image": FRONTAL, "Edema": 1.0, "Pneumonia": -1, "Fracture": 0.0, "Lung Opacity": None}]
        )
        found, outcomes = images(write(home))
        assert [image.labels for image in found] == ['{"Edema":1,"Fracture":0,"Pneumonia":-1}', None, None]
        assert outcomes == [unlabelled(2)]

    def test_a_line_of_nulls_is_a_labelled_image_without_findings(self, home: Path) -> None:
        write_labels(home, [{"path_to_image": FRONTAL, "Edema": None}])
        assert images(write(home))[0][0].labels == "{}"

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"path_to_image": "train/pat', "the line is not a row of labels"),
            ("[1]", "the line is not a row of labels"),
            ({"Edema": 1.0}, "the line is not a row of labels"),
            ({"path_to_image": 3}, "the line is not a row of labels"),
            ({"path_to_image": LATERAL, "Edema": 0.5}, "a label is none of 1, 0, -1 and null"),
            ({"path_to_image": LATERAL, "Edema": "yes"}, "a label is none of 1, 0, -1 and null"),
            ({"path_to_image": LATERAL, "Edema": True}, "a label is none of 1, 0, -1 and null"),
            ({"path_to_image": FRONTAL, "Edema": 0.0}, "listed twice; the first line counts"),
        ],
        ids=str,
    )
    def test_a_bad_line_is_a_failure_and_the_rest_goes_on(self, home: Path, line: Any, reason: str) -> None:
        write_labels(home, [{"path_to_image": FRONTAL, "Edema": 1.0}, line, "", {"path_to_image": VALID, "Edema": 0}])
        found, outcomes = images(write(home))
        assert outcomes == [Outcome("report_fixed.json line 2", "failed", reason), unlabelled(1)]
        assert [image.labels for image in found] == ['{"Edema":1}', None, '{"Edema":0}']

    def test_bytes_that_are_no_text_fail_only_their_line(self, home: Path) -> None:
        write_labels(home, [{"path_to_image": FRONTAL, "Edema": 1.0}])
        path = home / "chexbert_labels" / "report_fixed.json"
        path.write_bytes(b'{"path_to_image": "\xff"}\n' + path.read_bytes())
        found, outcomes = images(write(home))
        assert [outcome.item for outcome in outcomes] == ["report_fixed.json line 1", "images"]
        assert found[0].labels == '{"Edema":1}'

    def test_lines_for_images_that_the_table_lacks_are_counted(self, home: Path) -> None:
        write_labels(home, [{"path_to_image": f"train/patient1/study{n}/view1_frontal.jpg"} for n in range(3)])
        assert images(write(home))[1] == [
            unlabelled(3),
            Outcome("labels", "skipped", "3 label rows name no image of the report table"),
        ]

    def test_a_folder_in_place_of_the_file_is_a_clear_error(self, home: Path) -> None:
        (home / "chexbert_labels" / "report_fixed.json").mkdir(parents=True)
        with pytest.raises(DataError, match=r"report_fixed\.json cannot be read"):
            images(write(home))


class TestReports:
    def test_a_study_has_one_report_however_many_images(self, home: Path) -> None:
        found, outcomes = reports(write(home))
        assert outcomes == []
        assert found[0] == Report(
            source="chexpert-plus",
            study_id="train/patient42142/study5",
            patient_id="patient42142",
            split="train",
            language="en",
            findings=None,
            impression="1.  HEART IS LARGE.\n\n2.  LUNGS ARE CLEAR.",
            last_paragraph=None,
            comparison="None given",
            history="Cough.",
            text=None,
            origin="published",
        )
        assert [report.study_id for report in found] == ["train/patient42142/study5", "valid/patient64541/study1"]

    def test_clinical_history_goes_before_history(self, home: Path) -> None:
        assert reports(write(home))[0][1].history == "Pain."

    def test_a_report_that_says_nothing_is_kept_and_told(self, home: Path) -> None:
        blank = {"path_to_image": VALID, "split": "valid", "section_findings": " \n", "section_impression": ""}
        found, outcomes = reports(write(home, [blank]))
        assert (found[0].findings, found[0].impression) == (None, None)
        assert outcomes == [
            Outcome("valid/patient64541/study1", "skipped", "the report has neither findings nor impression")
        ]


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"path_to_image": ""}, Outcome("row 2", "failed", "the path_to_image cell is blank")),
        ({"path_to_image": "a/b.jpg"}, Outcome("a/b.jpg", "failed", "the path is not split/patient/study/view")),
        ({"split": "test"}, Outcome(LATERAL, "failed", "the split is neither train nor valid")),
        ({"split": ""}, Outcome(LATERAL, "failed", "the split is neither train nor valid")),
        ({"path_to_image": FRONTAL}, Outcome(FRONTAL, "skipped", "listed twice; the first row counts")),
    ],
    ids=str,
)
def test_a_bad_row_ends_as_an_outcome_and_the_rest_goes_on(
    home: Path, change: dict[str, str], outcome: Outcome
) -> None:
    found, outcomes = images(write(home, [ROWS[0], ROWS[1] | change, ROWS[2]]))
    assert outcomes == [outcome]
    assert len(found) == 2
    assert len(reports(locate(INFO, home.parent))[0]) == 2


def test_a_missing_column_is_named(home: Path) -> None:
    write_csv(home / TABLE, [c for c in COLUMNS if c != "section_impression"], [])
    with pytest.raises(DataError, match="'section_impression' is missing"):
        reports(locate(INFO, home.parent))


@pytest.mark.parametrize("age", ["old", "-1", "1e999", "200"])
def test_an_age_that_is_none_is_unknown_and_told(home: Path, age: str) -> None:
    found, outcomes = images(write(home, [ROWS[0] | {"age": age}]))
    assert found[0].age is None
    assert outcomes == [Outcome(f"{FRONTAL} age", "skipped", "the age is not a number of years; it is unknown")]
