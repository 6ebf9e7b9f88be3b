import csv
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.sources.mimic import INFO, Mimic, write_reports_csv

TABLES = Options(tables_only=True)
METADATA = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyTime"
CUSTOM = "58235663"
"""A study of the custom rules in which nothing is said."""


def dicom(number: int) -> str:
    return f"{number:08x}-{number:08x}-{number:08x}-{number:08x}-{number:08x}"


IMAGES = [
    # number, subject, study, view, rows, columns, split
    (1, "10000032", "50414267", "PA", "3056", "2544", "train"),
    (2, "10000032", "50414267", "LATERAL", "3056", "2544", "train"),
    (3, "10000032", "53189527", "", "2500", "2048", "train"),
    (4, "10000764", "57375967", "AP", "3056", "2544", "validate"),
    (5, "10000898", CUSTOM, "PA", "3056", "2544", "test"),
]
LABELS = {
    "50414267": {"Cardiomegaly": "1.0", "Edema": "-1.0", "Pneumothorax": "0.0"},
    "53189527": {"No Finding": "1.0"},
    "57375967": {},
}
REPORTS = {
    "p10/p10000032/s50414267": "FINAL REPORT\n INDICATION:  Cough.\n \n FINDINGS:  Big heart,\n as before.\n",
    "p10/p10000032/s53189527": "FINAL REPORT\r\n IMPRESSION:  Normal.\r\n",
    "p10/p10000764/s57375967": "FINAL REPORT\n COMPARISON:  None\n \n Clear lungs.\n",
    f"p10/p10000898/s{CUSTOM}": "FINAL REPORT\n FINDINGS:  see the other report\n",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The official layout with gzipped tables and the archive of reports."""
    folder = tmp_path / "MIMIC-CXR-JPG"
    folder.mkdir()
    write_tables(folder, IMAGES)
    with zipfile.ZipFile(folder / "mimic-cxr-reports.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name in reversed(REPORTS):
            out.writestr(f"files/{name}.txt", REPORTS[name])
    return folder


def write_tables(folder: Path, images: list[tuple], *, labels: dict = LABELS, suffix: str = ".csv.gz") -> None:
    metadata = [f"{dicom(n)},{p},{s},CHEST,{v},{r},{c},80556.875" for n, p, s, v, r, c, _ in images]
    split = [f"{dicom(n)},{s},{p},{name}" for n, p, s, _, _, _, name in images]
    values = [
        ",".join(["10000032", study, *(found.get(name, "") for name in FINDINGS)]) for study, found in labels.items()
    ]
    write_table(folder / f"mimic-cxr-2.0.0-metadata{suffix}", [METADATA, *metadata])
    write_table(folder / f"mimic-cxr-2.0.0-split{suffix}", ["dicom_id,study_id,subject_id,split", *split])
    write_table(
        folder / f"mimic-cxr-2.0.0-chexpert{suffix}", [",".join(["subject_id", "study_id", *FINDINGS]), *values]
    )


def write_table(path: Path, lines: list[str]) -> None:
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def layout(home: Path) -> Layout:
    data_dir = home.parent
    return locate(INFO, data_dir)


def images(home: Path, options: Options = TABLES) -> list[Image | Outcome]:
    return list(Mimic().images(layout(home), options))


def reports(home: Path, options: Options = TABLES) -> dict[str, Report]:
    return {r.study_id: r for r in Mimic().reports(layout(home), options) if isinstance(r, Report)}


def outcomes(records: list) -> list[tuple[str, str, str]]:
    return [tuple(record) for record in records if isinstance(record, Outcome)]


def test_images_come_in_the_order_of_the_metadata_with_all_that_the_tables_say(home):
    found = images(home)
    assert [image.image_id for image in found] == [dicom(n) for n in range(1, 6)]
    assert found[0] == Image(
        source="mimic",
        image_id=dicom(1),
        patient_id="10000032",
        study_id="50414267",
        split="train",
        view="PA",
        root="data",
        path=f"MIMIC-CXR-JPG/files/p10/p10000032/s50414267/{dicom(1)}.jpg",
        width=2544,
        height=3056,
        sex=None,
        age=None,
        labels='{"Cardiomegaly":1,"Edema":-1,"Pneumothorax":0}',
        status="unchecked",
        reason=None,
    )


def test_a_blank_view_is_unknown_and_validate_is_validation(home):
    found = images(home)
    assert found[2].view is None
    assert [image.split for image in found] == ["train", "train", "train", "validation", "test"]


def test_a_study_without_label_row_has_no_labels_but_one_without_findings_has_an_empty_object(home):
    found = images(home)
    assert (found[3].labels, found[4].labels) == ("{}", None)


def test_plain_tables_in_another_folder_are_read_too(home, tmp_path):
    for path in home.glob("*split*"):
        path.unlink()
    other = tmp_path / "mimic-cxr" / "2.1.0"
    other.mkdir(parents=True)
    write_tables(other, IMAGES, suffix=".csv")
    assert len(images(home)) == 5


def test_files_are_looked_for_in_the_folder_that_holds_images(home, tmp_path):
    (home / "files" / "p10").mkdir(parents=True)
    path = tmp_path / "MIMIC-CXR" / "files/p10/p10000032/s50414267" / f"{dicom(1)}.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    found = images(home, Options())
    assert (found[0].path, found[0].status) == (path.relative_to(tmp_path).as_posix(), "present")
    assert (found[1].status, found[1].reason) == ("missing", "file not found")


def test_sex_comes_from_the_study_list_of_chest_imagenome(home, tmp_path):
    table = tmp_path / "CHEST_IMA" / "utils" / "cxr-study-list_v2.csv"
    table.parent.mkdir(parents=True)
    write_table(table, ["subject_id,study_id,path,gender,age_decile", "1,50414267,p,F,50-60", "1,53189527,p,,50-60"])
    (home / "genders.json").write_text(json.dumps({dicom(4): "M"}))
    assert [image.sex for image in images(home)] == ["F", "F", None, None, None]


def test_datasets_as_wget_mirrors_them_are_read_and_find_one_another(home, tmp_path):
    mirror = tmp_path / "mirror" / "physionet.org" / "files"
    mirror.mkdir(parents=True)
    (mirror / "mimic-cxr-jpg").mkdir()
    home.rename(mirror / "mimic-cxr-jpg" / "2.1.0")
    table = mirror / "chest-imagenome" / "1.0.0" / "utils" / "cxr-study-list_v2.csv"
    table.parent.mkdir(parents=True)
    write_table(table, ["subject_id,study_id,path,gender,age_decile", "1,50414267,p,M,50-60"])
    found = list(Mimic().images(locate(INFO, tmp_path / "mirror"), TABLES))
    assert len(found) == 5
    assert isinstance(found[0], Image)
    assert found[0].sex == "M"
    assert found[0].path == f"physionet.org/files/mimic-cxr-jpg/2.1.0/files/p10/p10000032/s50414267/{dicom(1)}.jpg"


def test_sex_comes_from_genders_json_where_there_is_no_study_list(home):
    (home / "genders.json").write_text(json.dumps({dicom(1): "F", dicom(3): "M", dicom(4): "O", dicom(5): None}))
    assert [image.sex for image in images(home)] == ["F", None, "M", None, None]


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_genders_json_is_an_error_that_names_it(home, content):
    (home / "genders.json").write_text(content)
    with pytest.raises(DataError, match=r"genders\.json"):
        images(home)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "holdout"}, "the split is none of train, validate and test"),
        ({"subject": "NaN"}, "subject_id or study_id is not a number"),
        ({"study": "5.0414267e7"}, "subject_id or study_id is not a number"),
        ({"dicom": "../../secret"}, "the dicom_id is not made of letters, digits and hyphens"),
    ],
)
def test_a_row_that_is_no_good_fails_alone(home, monkeypatch, change, reason):
    bad = (
        9,
        change.get("subject", "10000032"),
        change.get("study", "50414267"),
        "PA",
        "1",
        "1",
        change.get("split", "train"),
    )
    write_tables(home, [*IMAGES, bad])
    if "dicom" in change:
        for name in ("metadata", "split"):
            path = home / f"mimic-cxr-2.0.0-{name}.csv.gz"
            path.write_bytes(
                gzip.compress(gzip.decompress(path.read_bytes()).replace(dicom(9).encode(), b"../../secret"))
            )
    found = images(home)
    assert sum(isinstance(record, Image) for record in found) == 5
    assert {outcome[1:] for outcome in outcomes(found)} == {("failed", reason)}
    assert {outcome[0] for outcome in outcomes(found)} == {change.get("dicom", dicom(9))}


@pytest.mark.parametrize(("rows", "columns"), [("", "2544"), ("3056", "0"), ("x", "y"), ("nan", "inf"), ("10.5", "10")])
def test_an_image_without_a_proper_size_is_kept_without_and_told_of(home, rows, columns):
    write_tables(home, [*IMAGES, (9, "10000032", "50414267", "PA", rows, columns, "train")])
    *_, image, outcome = images(home)
    assert (image.image_id, image.width, image.height) == (dicom(9), None, None)
    assert outcome == Outcome(dicom(9), "failed", "Columns or Rows is not a number of pixels; the size is unknown")


def test_images_in_only_one_of_metadata_and_split_are_skipped(home):
    write_table(
        home / "mimic-cxr-2.0.0-split.csv.gz",
        ["dicom_id,study_id,subject_id,split", *(f"{dicom(n)},1,1,train" for n in (1, 2, 3, 4, 8)), ",1,1,train"],
    )
    found = images(home)
    assert sum(isinstance(record, Image) for record in found) == 4
    assert outcomes(found) == [
        ("mimic-cxr-2.0.0-split.csv.gz row 6", "failed", "the dicom_id is blank"),
        (dicom(5), "skipped", "in the metadata table but not in the split table"),
        (dicom(8), "skipped", "in the split table but not in the metadata table"),
    ]


def test_ids_listed_twice_count_once(home):
    write_tables(home, [*IMAGES, IMAGES[0]])
    found = images(home)
    assert sum(isinstance(record, Image) for record in found) == 5
    assert outcomes(found) == [
        (dicom(1), "skipped", "listed twice in the split table; the first row counts"),
        (dicom(1), "skipped", "listed twice in the metadata table; the first row counts"),
    ]


def test_a_label_of_another_value_leaves_the_study_without_labels(home):
    write_tables(home, IMAGES, labels=LABELS | {"53189527": {"Edema": "2.0"}})
    found = images(home)
    assert outcomes(found) == [("study 53189527", "failed", "a label is none of 1, 0, -1 and blank")]
    assert next(r for r in found if isinstance(r, Image) and r.study_id == "53189527").labels is None


def test_a_missing_table_is_an_error_that_names_it_and_says_where_to_get_it(home):
    (home / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(DataError, match="CheXpert labels not found") as caught:
        images(home)
    assert "physionet.org" in (caught.value.hint or "")


def test_reports_come_by_patient_and_study_in_sections(home):
    found = reports(home)
    assert list(found) == ["50414267", "53189527", "57375967", CUSTOM]
    assert found["50414267"] == Report(
        source="mimic",
        study_id="50414267",
        patient_id="10000032",
        split="train",
        language="en",
        findings="Big heart,\n as before.",
        impression=None,
        last_paragraph=None,
        comparison=None,
        history="Cough.",
        text=None,
        origin="sections",
    )
    assert (found["53189527"].impression, found["57375967"].last_paragraph) == ("Normal.", "Clear lungs.")


def test_custom_rule_studies_are_recovered_unless_the_official_selection_is_asked_for(home):
    found = reports(home)[CUSTOM]
    assert (found.origin, found.findings, found.split) == ("custom-rule", None, "test")
    official = list(Mimic().reports(layout(home), Options(official_sections=True)))
    assert [record for record in official if isinstance(record, Outcome)] == [
        Outcome(f"study {CUSTOM}", "skipped", "left out as in the official section table")
    ]
    assert len(official) == 4


@pytest.mark.parametrize("place", ["files", "mimic-cxr-reports/files", "mimic-cxr-reports"])
def test_unpacked_reports_give_the_same_as_the_archive(home, place):
    expected = reports(home)
    (home / "mimic-cxr-reports.zip").unlink()
    unpack(home / place)
    (home / place / "p10/p10000032/s50414267").mkdir()
    (home / "reports.csv").write_text("study,impression,findings,last_paragraph,comparison\r\n")
    assert reports(home) == expected


def test_unpacked_reports_of_other_patients_than_the_first_are_found(home, tmp_path):
    (home / "mimic-cxr-reports.zip").unlink()
    path = tmp_path / "MIMIC-CXR" / "files/p10/p10000764/s57375967.txt"
    path.parent.mkdir(parents=True)
    path.write_text(REPORTS["p10/p10000764/s57375967"])
    assert list(reports(home)) == ["57375967"]


def unpack(files: Path) -> None:
    for name, text in REPORTS.items():
        path = files / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def test_without_any_reports_one_outcome_says_so(home):
    (home / "mimic-cxr-reports.zip").unlink()
    (record,) = Mimic().reports(layout(home), TABLES)
    assert isinstance(record, Outcome)
    assert (record.item, record.status) == ("reports", "skipped")


@pytest.mark.parametrize("name", ["reports.csv", "mimic_cxr_sectioned.csv"])
def test_a_table_of_sections_is_adopted_word_for_word(home, name):
    (home / "mimic-cxr-reports.zip").unlink()
    rows = [("s50414267", "", 'Big heart,\n as "before".', "", "None"), ("s53189527", "NaN", "", "", "")]
    with (home / name).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("study", "impression", "findings", "last_paragraph", "comparison"), *rows])
    found = reports(home)
    first = found["50414267"]
    assert (first.findings, first.comparison, first.impression) == ('Big heart,\n as "before".', "None", None)
    assert (first.patient_id, first.split, first.origin) == ("10000032", "train", "adopted")
    assert found["53189527"].impression == "NaN"


def test_studies_of_an_adopted_table_that_are_no_studies_or_come_twice_are_told_of(home):
    (home / "mimic-cxr-reports.zip").unlink()
    header = "study,impression,findings,last_paragraph,comparison"
    (home / "reports.csv").write_text("\n".join([header, "s50414267,a,,,", "s50414267,b,,,", "x1,c,,,", ",d,,,"]))
    found = list(Mimic().reports(layout(home), TABLES))
    assert [r.impression for r in found if isinstance(r, Report)] == ["a"]
    assert outcomes(found)[:3] == [
        ("study 50414267", "skipped", "two reports; the first one counts"),
        ("reports.csv row 3", "failed", "the study is not s and a number"),
        ("reports.csv row 4", "failed", "the study is not s and a number"),
    ]
    assert len([outcome for outcome in outcomes(found) if outcome[2] == "no report"]) == 3


def rewrite(home: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    members = {f"files/{name}.txt": text.encode() for name, text in REPORTS.items()}
    change(members)
    with zipfile.ZipFile(home / "mimic-cxr-reports.zip", "w") as out:
        for name, content in members.items():
            out.writestr(name, content)


def test_a_report_of_a_study_that_no_table_lists_is_kept_without_split(home):
    rewrite(home, lambda members: members.update({"files/p11/p11000000/s59999999.txt": b"\n IMPRESSION:  Fine.\n"}))
    found = reports(home)["59999999"]
    assert (found.patient_id, found.split, found.impression) == ("11000000", None, "Fine.")


def test_a_report_that_is_no_text_or_in_another_patients_folder_fails(home):
    def change(members: dict[str, bytes]) -> None:
        members["files/p10/p10000032/s50414267.txt"] = b"\xff\xfe"
        members["files/p10/p10000001/s57375967.txt"] = members.pop("files/p10/p10000764/s57375967.txt")

    rewrite(home, change)
    found = list(Mimic().reports(layout(home), TABLES))
    assert outcomes(found) == [
        ("study 57375967", "failed", "the report lies in another patient's folder than the tables say"),
        ("study 50414267", "failed", "the report is not UTF-8 text"),
    ]


def test_an_empty_report_is_a_report_without_sections(home):
    rewrite(home, lambda members: members.update({"files/p10/p10000032/s50414267.txt": b""}))
    found = reports(home)["50414267"]
    assert (found.findings, found.impression, found.origin) == (None, None, "sections")


def test_reports_csv_is_written_as_the_official_program_writes_it(home, tmp_path):
    path = tmp_path / "derived" / "reports.csv"
    found = list(reports(home).values())
    assert write_reports_csv(path, found) == 4
    assert path.read_bytes() == (
        b"study,impression,findings,last_paragraph,comparison\r\n"
        b's50414267,,"Big heart,\n as before.",,\r\n'
        b"s53189527,Normal.,,,\r\n"
        b"s57375967,,,Clear lungs.,None\r\n"
        b"s58235663,,,,\r\n"
    )


def test_reports_csv_reads_back_as_it_was_written(home):
    first = reports(home)
    (home / "mimic-cxr-reports.zip").unlink()
    write_reports_csv(home / "reports.csv", first.values())
    assert reports(home) == {study: report._replace(origin="adopted", history=None) for study, report in first.items()}
