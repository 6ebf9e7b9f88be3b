"""The edge cases that real PadChest, PadChest-GR and Open-i are known for are in the phantom world."""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.demo.recount import rows
from tests.phantoms import World


class TestPadchest:
    @pytest.fixture
    def table(self, world: World) -> dict[str, dict[str, str]]:
        return {row["ImageID"]: row for row in rows(next((world.root / "PadChest").glob("PADCHEST*.csv")))}

    @pytest.fixture
    def reports(self, world: World) -> dict[str, dict[str, Any]]:
        content = (world.root / "PadChest/grounded_reports_20240819.json").read_text(encoding="utf-8")
        return {report["ImageID"]: report for report in json.loads(content)}

    @pytest.fixture
    def master(self, world: World) -> list[dict[str, str]]:
        return rows(world.root / "PadChest/master_table.csv")

    def test_first_column_has_no_name_and_ids_have_39_digits(self, table: dict[str, dict[str, str]]) -> None:
        assert all(next(iter(row)) == "" and len(row) == 36 for row in table.values())
        assert {len(row["PatientID"]) for row in table.values()} == {39}
        assert {len(row["StudyID"]) for row in table.values()} == {39, 45}

    def test_projections_and_sexes_include_the_rare_ones(self, table: dict[str, dict[str, str]]) -> None:
        assert {"AP", "PA", "AP_horizontal", "L"} <= {row["Projection"] for row in table.values()}
        assert {row["PatientSex_DICOM"] for row in table.values()} == {"F", "M", "O", ""}

    def test_reports_are_plain_spanish_stems_and_one_is_blank(
        self, world: World, table: dict[str, dict[str, str]]
    ) -> None:
        blank = world.case("padchest", "blank_report")
        assert [name for name, row in table.items() if not row["Report"]] == [blank]
        assert all(row["Report"].isascii() for row in table.values())
        assert any("pleural" in row["Report"] for row in table.values())

    def test_some_labels_start_with_a_space(self, table: dict[str, dict[str, str]]) -> None:
        assert any("' " in row["Labels"] for row in table.values())

    def test_pngs_hold_more_than_8_bits(self, world: World, reports: dict[str, Any]) -> None:
        for name in reports:
            with Pillow.open(world.root / "PadChest/Padchest_GR_files/PadChest_GR" / name) as picture:
                assert picture.mode == "I;16"
                assert 255 < int(np.asarray(picture).max()) < 4096

    def test_master_table_has_a_row_per_label_and_normal_rows_without_sentence(
        self, world: World, master: list[dict[str, str]]
    ) -> None:
        assert len(master[0]) == 23
        assert max(Counter(row["ImageID"] for row in master).values()) > 1
        normal = [row for row in master if row["label"] == "Normal"]
        assert world.case("padchest-gr", "normal") in {row["ImageID"] for row in normal}
        assert {row["sentence_en"] for row in normal} == {""}
        assert {row["split"] for row in master} == {"train", "validation", "test"}

    def test_findings_lack_boxes_or_have_none_or_have_extra_ones(
        self, world: World, reports: dict[str, dict[str, Any]]
    ) -> None:
        findings = [finding for report in reports.values() for finding in report["findings"]]
        assert all("boxes" not in finding for finding in findings if not finding["abnormal"])
        empty = reports[world.case("padchest-gr", "abnormal_without_boxes")]["findings"][0]
        assert (empty["abnormal"], empty["boxes"]) == (True, [])
        assert reports[world.case("padchest-gr", "extra_boxes")]["findings"][0]["extra_boxes"]
        assert reports[world.case("padchest-gr", "empty_english_sentence")]["findings"][0]["sentence_en"] == ""
        assert reports[world.case("padchest-gr", "progression")]["findings"][0]["progression"] == "worsened"

    def test_one_patient_has_two_images_in_one_split(self, world: World, master: list[dict[str, str]]) -> None:
        image = world.case("padchest-gr", "two_images")
        patient = next(row["PatientID"] for row in master if row["ImageID"] == image)
        ours = {(row["ImageID"], row["split"]) for row in master if row["PatientID"] == patient}
        assert len(ours) == 2
        assert {split for _, split in ours} == {"train"}


def test_openi_reports_are_xml_some_without_image_or_text(world: World) -> None:
    folder = world.root / "NLMCXR/ecgen-radiology"

    def read(case: str) -> ElementTree.Element:
        return ElementTree.parse(folder / f"{world.case('openi', case)}.xml").getroot()

    assert not read("no_image").findall("parentImage")
    assert len(read("one_image").findall("parentImage")) == 1
    assert {section.text for section in read("no_text").iter("AbstractText")} == {None}
    labels = [section.get("Label") for section in read("one_image").iter("AbstractText")]
    assert labels == ["COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"]


def test_no_file_name_has_characters_that_need_quoting(world: World) -> None:
    for path in world.root.rglob("*"):
        assert Path(path.name).as_posix().replace(".", "").replace("-", "").replace("_", "").isalnum()
