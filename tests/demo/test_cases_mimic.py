"""The edge cases that real MIMIC-CXR is known for are in the phantom world."""

import csv
import io
import zipfile

import pytest

from tests.demo.recount import rows
from tests.phantoms import World

MIMIC = "MIMIC-CXR-JPG"


@pytest.fixture(scope="session")
def metadata(world: World) -> list[dict[str, str]]:
    return rows(world.root / MIMIC / "mimic-cxr-2.0.0-metadata.csv.gz")


@pytest.fixture(scope="session")
def texts(world: World) -> dict[str, str]:
    with zipfile.ZipFile(world.root / MIMIC / "mimic-cxr-reports.zip") as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def report(world: World, texts: dict[str, str], case: str) -> str:
    study = world.case("mimic", case)
    return next(text for name, text in texts.items() if name.endswith(f"/s{study}.txt"))


class TestMimic:
    def test_ids_have_the_official_form(self, metadata: list[dict[str, str]]) -> None:
        for row in metadata:
            assert row["subject_id"].startswith("1")
            assert len(row["subject_id"]) == 8
            assert row["study_id"].startswith("5")
            assert len(row["study_id"]) == 8
            assert [len(part) for part in row["dicom_id"].split("-")] == [8] * 5

    def test_views_include_lateral_ll_and_blank(self, metadata: list[dict[str, str]]) -> None:
        assert {"PA", "AP", "LATERAL", "LL", ""} <= {row["ViewPosition"] for row in metadata}

    def test_one_study_has_two_frontals(self, world: World, metadata: list[dict[str, str]]) -> None:
        study = world.case("mimic", "two_frontals")
        assert [row["ViewPosition"] for row in metadata if row["study_id"] == study] == ["PA", "AP", "LATERAL"]

    def test_a_study_time_has_lost_its_leading_zero(self, metadata: list[dict[str, str]]) -> None:
        assert "80556.875" in {row["StudyTime"] for row in metadata}

    def test_splits_are_called_train_validate_and_test(self, world: World) -> None:
        table = rows(world.root / MIMIC / "mimic-cxr-2.0.0-split.csv.gz")
        assert {row["split"] for row in table} == {"train", "validate", "test"}

    def test_one_study_has_no_label_row(self, world: World) -> None:
        table = rows(world.root / MIMIC / "mimic-cxr-2.0.0-chexpert.csv.gz")
        assert world.case("mimic", "no_label_row") not in {row["study_id"] for row in table}

    def test_labels_are_present_absent_uncertain_and_blank(self, world: World) -> None:
        table = rows(world.root / MIMIC / "mimic-cxr-2.0.0-chexpert.csv.gz")
        values = {value for row in table for name, value in row.items() if not name.endswith("_id")}
        assert values == {"1.0", "0.0", "-1.0", ""}
        assert {row["No Finding"] for row in table} == {"1.0", ""}

    def test_test_set_labels_are_plain_and_say_airspace_opacity(self, world: World) -> None:
        table = rows(world.root / MIMIC / "mimic-cxr-2.1.0-test-set-labeled.csv")
        assert "Airspace Opacity" in table[0]
        assert "subject_id" not in table[0]

    def test_one_jpeg_is_missing(self, world: World, metadata: list[dict[str, str]]) -> None:
        present = {path.stem for path in (world.root / MIMIC / "files").rglob("*.jpg")}
        absent = [row for row in metadata if row["dicom_id"] not in present]
        assert [row["study_id"] for row in absent] == [world.case("mimic", "missing_image")]

    def test_published_report_table_has_crlf_and_cells_of_several_lines(self, published: World) -> None:
        content = (published.root / "MIMIC-CXR/reports.csv").read_bytes().decode()
        table = list(csv.DictReader(io.StringIO(content, newline="")))
        assert content.count("\r\n") == len(table) + 1
        assert any("\n " in row["findings"] for row in table)
        assert list(table[0]) == ["study", "impression", "findings", "last_paragraph", "comparison"]

    def test_custom_rule_studies_are_not_in_the_published_report_table(self, published: World) -> None:
        studies = {row["study"] for row in rows(published.root / "MIMIC-CXR/reports.csv")}
        assert not studies & {"s50913680", "s58235663"}

    def test_published_report_table_has_every_mixture_of_sections(self, published: World) -> None:
        table = {row["study"]: row for row in rows(published.root / "MIMIC-CXR/reports.csv")}

        def filled(case: str) -> set[str]:
            row = table[f"s{published.case('mimic', case)}"]
            return {name for name, text in row.items() if text and name != "study"}

        assert filled("findings_only") == {"findings"}
        assert filled("impression_only") == {"impression"}
        assert filled("last_paragraph_only") == {"last_paragraph"}
        assert filled("comparison_only") == {"comparison"}
        assert filled("all_blank") == set()
        assert filled("empty_title_header") == {"impression"}


class TestReports:
    def test_members_lie_in_group_and_patient_folders(self, texts: dict[str, str]) -> None:
        for name in texts:
            root, group, patient, study = name.split("/")
            assert root == "files"
            assert patient.startswith(group)
            assert study.startswith("s5")

    def test_lines_are_short_and_start_with_a_space(self, texts: dict[str, str]) -> None:
        for text in texts.values():
            assert text.endswith("\n")
            for line in text.splitlines():
                assert line.startswith(" ") or set(line) == {"_"}
                assert len(line) <= 79

    def test_custom_rule_studies_have_the_texts_that_their_rules_expect(
        self, world: World, texts: dict[str, str]
    ) -> None:
        assert world.case("mimic", "custom_section") == "50913680"
        assert "\n RECOMMENDATIONS:  " in report(world, texts, "custom_section")
        assert world.case("mimic", "custom_empty") == "58235663"

    def test_one_report_has_findings_twice(self, world: World, texts: dict[str, str]) -> None:
        assert report(world, texts, "duplicate_findings").count("\n FINDINGS:") == 2

    def test_one_report_has_an_empty_title_header(self, world: World, texts: dict[str, str]) -> None:
        assert "\n CHEST, PA LATERAL:\n" in report(world, texts, "empty_title_header")

    def test_one_report_has_no_header(self, world: World, texts: dict[str, str]) -> None:
        assert ":" not in report(world, texts, "no_header")

    def test_wet_read_and_addendum_stand_before_a_rule(self, world: World, texts: dict[str, str]) -> None:
        for case, word in (("wet_read", "WET READ:"), ("addendum", "ADDENDUM")):
            before, rule, after = report(world, texts, case).partition("_" * 78)
            assert word in before
            assert rule
            assert "FINAL REPORT" in after

    def test_reports_are_in_lower_and_in_upper_case(self, world: World, texts: dict[str, str]) -> None:
        assert "FINDINGS" not in report(world, texts, "lower_case")
        assert report(world, texts, "upper_case").isupper()

    def test_follow_ups_speak_of_the_earlier_study_and_curated_texts_do_not(
        self, world: World, texts: dict[str, str]
    ) -> None:
        assert "___" in report(world, texts, "leak_test").split("FINDINGS")[1]
        words = ("prior", "previous", "again", "unchanged", "since", "increased", "decreased", "___")
        for path in world.root.rglob("filtered_reports/*.txt"):
            assert not any(word in path.read_text() for word in words)
