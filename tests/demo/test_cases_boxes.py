"""The edge cases that real Chest ImaGenome, MS-CXR and VinDr-CXR are known for are in the phantom world."""

import json
import zipfile
from collections import Counter
from typing import Any

import numpy as np
import pydicom
import pytest

from tests.demo.recount import rows
from tests.phantoms import World

MIMIC = "MIMIC-CXR-JPG"


@pytest.fixture(scope="session")
def metadata(world: World) -> list[dict[str, str]]:
    return rows(world.root / MIMIC / "mimic-cxr-2.0.0-metadata.csv.gz")


@pytest.fixture(scope="session")
def graphs(world: World) -> dict[str, Any]:
    with zipfile.ZipFile(world.root / "CHEST_IMA/silver_dataset/scene_graph.zip") as archive:
        assert all(name.startswith("scene_graph/") for name in archive.namelist())
        return {
            name.split("/")[-1].removesuffix("_SceneGraph.json"): json.loads(archive.read(name))
            for name in archive.namelist()
        }


class TestImaGenome:
    def test_graphs_have_36_objects_and_one_has_fewer(self, world: World, graphs: dict[str, Any]) -> None:
        counts = Counter(len(graph["objects"]) for graph in graphs.values())
        assert counts.most_common(1)[0][0] == 36
        assert len(graphs[world.case("imagenome", "few_objects")]["objects"]) < 36

    def test_boxes_are_negative_beyond_the_border_without_area_and_outside(
        self, world: World, graphs: dict[str, Any], metadata: list[dict[str, str]]
    ) -> None:
        image = world.case("imagenome", "faulty_boxes")
        width = next(int(row["Columns"]) for row in metadata if row["dicom_id"] == image)
        found = graphs[image]["objects"]
        assert any(o["original_x1"] < 0 < o["original_x2"] for o in found)
        assert any(o["original_x1"] < width < o["original_x2"] for o in found)
        assert any(o["original_width"] == 0 for o in found)
        assert any(o["original_x1"] > width for o in found)

    def test_every_width_is_the_difference_of_its_corners(self, graphs: dict[str, Any]) -> None:
        for graph in graphs.values():
            for found in graph["objects"]:
                for prefix in ("", "original_"):
                    assert found[f"{prefix}width"] == found[f"{prefix}x2"] - found[f"{prefix}x1"]

    def test_one_image_has_no_valid_box(self, world: World, graphs: dict[str, Any]) -> None:
        assert [o["original_width"] for o in graphs[world.case("imagenome", "no_valid_box")]["objects"]] == [0]

    def test_one_split_row_has_no_graph(self, world: World, graphs: dict[str, Any]) -> None:
        splits = world.root / "CHEST_IMA/silver_dataset/splits"
        listed = {row["dicom_id"] for name in ("train", "valid", "test") for row in rows(splits / f"{name}.csv")}
        assert listed - set(graphs) == {world.case("imagenome", "without_graph")}

    def test_images_to_avoid_have_five_columns_and_are_in_no_split(self, world: World) -> None:
        splits = world.root / "CHEST_IMA/silver_dataset/splits"
        avoided = rows(splits / "images_to_avoid.csv")
        assert list(avoided[0]) == ["subject_id", "study_id", "dicom_id", "path", "ViewPosition"]
        listed = {row["dicom_id"] for name in ("train", "valid", "test") for row in rows(splits / f"{name}.csv")}
        assert not listed & {row["dicom_id"] for row in avoided}

    def test_split_tables_have_an_unnamed_first_column(self, world: World) -> None:
        path = world.root / "CHEST_IMA/silver_dataset/splits/train.csv"
        assert path.read_text().startswith(",subject_id,")

    def test_splits_ignore_those_of_mimic(self, world: World) -> None:
        official = {r["dicom_id"]: r["split"] for r in rows(world.root / MIMIC / "mimic-cxr-2.0.0-split.csv.gz")}
        folder = world.root / "CHEST_IMA/silver_dataset/splits"
        own = {row["dicom_id"]: name for name in ("train", "test") for row in rows(folder / f"{name}.csv")}
        for case, here, there in (("test_in_mimic_train", "test", "train"), ("train_in_mimic_test", "train", "test")):
            image = world.case("imagenome", case)
            assert (own[image], official[image]) == (here, there)

    def test_one_attribute_has_no_region_name(self, world: World, graphs: dict[str, Any]) -> None:
        attributes = graphs[world.case("imagenome", "bbox_name_false")]["attributes"]
        assert attributes[0]["bbox_name"] is False

    def test_one_study_has_no_gender(self, world: World) -> None:
        genders = Counter(row["gender"] for row in rows(world.root / "CHEST_IMA/utils/cxr-study-list_v2.csv"))
        assert set(genders) == {"F", "M", ""}


class TestVindr:
    @pytest.fixture
    def marks(self, world: World) -> list[dict[str, str]]:
        return rows(world.root / "VinDr-CXR/annotations/annotations_train.csv")

    def test_three_readers_looked_at_every_training_image(self, marks: list[dict[str, str]]) -> None:
        readers: dict[str, set[str]] = {}
        for row in marks:
            readers.setdefault(row["image_id"], set()).add(row["rad_id"])
        assert {len(found) for found in readers.values()} == {3}

    def test_no_finding_rows_have_no_box(self, marks: list[dict[str, str]]) -> None:
        assert all((row["class_name"] == "No finding") == (row["x_min"] == "") for row in marks)

    def test_one_finding_has_disjoint_boxes(self, world: World, marks: list[dict[str, str]]) -> None:
        image = world.case("vindr", "disjoint_boxes")
        header = pydicom.dcmread(world.root / f"VinDr-CXR/train/{image}.dicom", stop_before_pixels=True)
        found = [row for row in marks if row["image_id"] == image]
        assert {row["class_name"] for row in found} == {"Pleural effusion"}
        ends = [float(r["x_max"]) for r in found if float(r["x_min"]) + float(r["x_max"]) < header.Columns]
        starts = [float(r["x_min"]) for r in found if float(r["x_min"]) + float(r["x_max"]) > header.Columns]
        assert max(ends) < min(starts)

    def test_readers_boxes_of_one_finding_overlap(self, marks: list[dict[str, str]]) -> None:
        hearts: dict[str, list[tuple[float, ...]]] = {}
        for row in marks:
            if row["class_name"] == "Cardiomegaly":
                corners = tuple(float(row[name]) for name in ("x_min", "y_min", "x_max", "y_max"))
                hearts.setdefault(row["image_id"], []).append(corners)
        several = [found for found in hearts.values() if len(found) > 1]
        assert several
        for found in several:
            assert len(set(found)) > 1
            left, top, right, bottom = np.array(found).T
            assert left.max() < right.min()
            assert top.max() < bottom.min()

    def test_one_image_is_normal_to_one_reader_alone(self, world: World, marks: list[dict[str, str]]) -> None:
        names = {row["class_name"] for row in marks if row["image_id"] == world.case("vindr", "mixed_no_finding")}
        assert names == {"No finding", "Nodule/Mass"}

    def test_other_lesion_and_other_diseases_occur(self, world: World, marks: list[dict[str, str]]) -> None:
        assert "Other lesion" in {row["class_name"] for row in marks}
        folder = world.root / "VinDr-CXR/annotations"
        train, test = rows(folder / "image_labels_train.csv"), rows(folder / "image_labels_test.csv")
        assert len(train[0]) == 2 + 28
        assert len(test[0]) == 1 + 28
        assert "1" in {row["Other diseases"] for row in train}
        assert "Other disease" in test[0]

    def test_test_annotations_name_no_reader(self, world: World) -> None:
        assert "rad_id" not in rows(world.root / "VinDr-CXR/annotations/annotations_test.csv")[0]

    def test_ids_have_32_hex_digits(self, marks: list[dict[str, str]]) -> None:
        assert all(len(row["image_id"]) == 32 and int(row["image_id"], 16) >= 0 for row in marks)


class TestMsCxr:
    @pytest.fixture
    def table(self, world: World) -> list[dict[str, str]]:
        return rows(world.root / "MS-CXR/MS_CXR_Local_Alignment_v1.1.0.csv")

    def test_a_phrase_has_several_boxes_and_an_image_several_phrases(self, table: list[dict[str, str]]) -> None:
        boxes = Counter((row["dicom_id"], row["label_text"]) for row in table)
        assert max(boxes.values()) == 2
        assert max(Counter(image for image, _ in boxes).values()) > 1

    def test_one_image_is_listed_twice_in_the_coco_file(self, world: World, table: list[dict[str, str]]) -> None:
        coco = json.loads((world.root / "MS-CXR/MS_CXR_Local_Alignment_v1.1.0.json").read_text())
        images = {image["id"]: image for image in coco["images"]}
        twice = [name for name, n in Counter(image["path"] for image in coco["images"]).items() if n == 2]
        assert len(twice) == 1
        assert len({a["image_id"] for a in coco["annotations"] if images[a["image_id"]]["path"] == twice[0]}) == 2
        boxes = Counter((images[a["image_id"]]["path"], *a["bbox"]) for a in coco["annotations"])
        assert boxes == Counter((row["path"], *(int(row[name]) for name in "xywh")) for row in table)

    def test_only_version_1_1_has_a_split_which_is_not_that_of_mimic(
        self, world: World, published: World, table: list[dict[str, str]]
    ) -> None:
        assert "split" not in rows(published.root / "MS-CXR/MS_CXR_Local_Alignment_v1.0.0.csv")[0]
        official = {r["dicom_id"]: r["split"] for r in rows(world.root / MIMIC / "mimic-cxr-2.0.0-split.csv.gz")}
        assert {row["split"] for row in table} == {"train", "val", "test"}
        assert any(row["split"] == "test" and official[row["dicom_id"]] == "train" for row in table)

    def test_one_image_is_of_the_validation_split(self, world: World) -> None:
        official = {r["dicom_id"]: r["split"] for r in rows(world.root / MIMIC / "mimic-cxr-2.0.0-split.csv.gz")}
        assert official[world.case("mscxr", "validation_image")] == "validate"
