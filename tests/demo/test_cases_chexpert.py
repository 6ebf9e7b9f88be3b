"""The edge cases that real CheXpert and CheXpert Plus are known for are in the phantom world."""

import json
from typing import Any

import pytest

from tests.demo.recount import rows
from tests.phantoms import World


class TestChexpert:
    def test_both_release_prefixes_occur(self, world: World) -> None:
        train, valid = (rows(world.root / f"CheXpert/{name}.csv") for name in ("train", "valid"))
        assert all(row["Path"].startswith("CheXpert-v1.0-small/train/") for row in train)
        assert all(row["Path"].startswith("CheXpert-v1.0/valid/") for row in valid)

    def test_rare_values_of_the_training_table_occur(self, world: World) -> None:
        table = rows(world.root / "CheXpert/train.csv")
        assert {row["Sex"] for row in table} == {"Male", "Female", "Unknown"}
        assert "0" in {row["Age"] for row in table}
        assert {row["AP/PA"] for row in table if row["Frontal/Lateral"] == "Lateral"} == {""}
        assert any(row["AP/PA"] == "LL" and row["Frontal/Lateral"] == "Frontal" for row in table)
        assert any(row["No Finding"] == "1.0" and row["Support Devices"] == "1.0" for row in table)
        assert "-1.0" in {row["Pneumonia"] for row in table}

    def test_validation_labels_are_complete_and_certain(self, world: World) -> None:
        for row in rows(world.root / "CheXpert/valid.csv"):
            assert set(list(row.values())[5:]) <= {"0.0", "1.0"}

    def test_test_labels_have_the_test_prefix_and_no_demography(self, world: World) -> None:
        table = rows(world.root / "CheXpert/test_labels.csv")
        assert all(row["Path"].startswith("test/patient") for row in table)
        assert not {"Sex", "Age", "AP/PA"} & set(table[0])

    def test_ground_truth_is_by_study_and_ends_without_line_end(self, world: World) -> None:
        path = world.root / "CheXpert/groundtruth.csv"
        assert all(row["Study"].count("/") == 3 for row in rows(path))
        assert not path.read_bytes().endswith(b"\n")


class TestChexpertPlus:
    @pytest.fixture
    def table(self, world: World) -> dict[str, dict[str, str]]:
        return {row["path_to_image"]: row for row in rows(world.root / "CheXpert/df_chexpert_plus_240401.csv")}

    def test_table_has_27_columns(self, table: dict[str, dict[str, str]]) -> None:
        assert len(next(iter(table.values()))) == 27

    def test_labels_are_json_lines_about_the_same_images(self, world: World, table: dict[str, Any]) -> None:
        lines = (world.root / "CheXpert/chexbert_labels/report_fixed.json").read_text().splitlines()
        labels = [json.loads(line) for line in lines]
        assert [row["path_to_image"] for row in labels] == list(table)
        assert {value for row in labels for value in list(row.values())[1:]} == {1.0, 0.0, -1.0, None}

    def test_most_findings_are_blank(self, table: dict[str, dict[str, str]]) -> None:
        blank = sum(not row["section_findings"] for row in table.values())
        assert len(table) / 2 < blank < len(table)

    def test_some_ends_of_impression_are_a_line_break(self, table: dict[str, dict[str, str]]) -> None:
        assert {row["section_end_of_impression"] for row in table.values()} == {"", "\n"}

    def test_one_report_is_in_upper_case(self, world: World, table: dict[str, dict[str, str]]) -> None:
        assert table[world.case("chexpert-plus", "upper_case_report")]["section_impression"].isupper()

    def test_one_row_has_no_jpeg(self, world: World, table: dict[str, dict[str, str]]) -> None:
        absent = [path for path in table if not (world.root / "CheXpert" / path).is_file()]
        assert absent == [world.case("chexpert-plus", "missing_image")]

    def test_one_image_of_chexpert_has_no_row(self, world: World, table: dict[str, dict[str, str]]) -> None:
        assert world.case("chexpert", "not_in_plus") not in table
