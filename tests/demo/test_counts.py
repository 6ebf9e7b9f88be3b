"""The manifest's counts, against an independent recount of the files."""

import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image as Pillow

from radvlm_cli.demo.world import write_world
from tests.demo.recount import Record, leaking, recount, rows, valid_box
from tests.demo.recount_written import recount_written
from tests.phantoms import World

TRAINING = (
    "mimic-report",
    "chexpert-plus-report",
    "mimic-classification",
    "chexpert-classification",
    "imagenome-region",
    "vindr-abnormality",
    "vindr-detection",
    "mscxr-phrase",
    "padchest-gr-phrase",
    "mimic-conversation",
    "mscxr-conversation",
    "padchest-gr-conversation",
)
EVALUATION = (
    "mimic-report-test",
    "chexpert-classification-test",
    "imagenome-region-test",
    "vindr-abnormality-test",
    "vindr-detection-test",
    "mscxr-phrase-test",
    "padchest-gr-phrase-test",
    "mimic-conversation-test",
    "mscxr-conversation-test",
)
GENERATED = tuple(name for name in TRAINING if name.endswith(("report", "conversation")))
GENERATED_EVALUATION = tuple(name for name in EVALUATION if name.endswith(("report-test", "conversation-test")))


@pytest.fixture(scope="session")
def writable(world: World) -> dict[str, list[Record]]:
    return recount_written(world.root)


@pytest.fixture(scope="session")
def recounted(world: World) -> dict[str, list[Record]]:
    return recount(world.root)


def test_manifest_names_every_component_of_the_default_recipe(world: World) -> None:
    assert set(world.manifest["components"]) == set(TRAINING)
    assert set(world.manifest["evaluation"]) == set(EVALUATION)


@pytest.mark.parametrize("name", TRAINING)
def test_training_component_counts_equal_a_recount(world: World, recounted: dict[str, list[Record]], name: str) -> None:
    usable = [record for record in recounted[name] if record.usable]
    assert world.manifest["components"][name] == {
        "records": len(usable),
        "after_leak_removal": len(usable) - len(leaking(usable, recounted)),
        "without_image": len(recounted[name]) - len(usable),
    }
    assert usable


@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation_component_counts_equal_a_recount(
    world: World, recounted: dict[str, list[Record]], name: str
) -> None:
    assert world.manifest["evaluation"][name] == {"records": len(recounted[name]), "without_image": 0}
    assert recounted[name]


@pytest.mark.parametrize("name", GENERATED)
def test_what_can_be_written_for_training_equals_a_recount(
    world: World, writable: dict[str, list[Record]], name: str
) -> None:
    usable = [record for record in writable[name] if record.usable]
    assert world.manifest["written"]["components"][name] == {
        "records": len(usable),
        "after_leak_removal": len(usable) - len(leaking(usable, writable)),
        "without_image": len(writable[name]) - len(usable),
    }
    assert usable


@pytest.mark.parametrize("name", GENERATED_EVALUATION)
def test_what_can_be_written_for_evaluation_equals_a_recount(
    world: World, writable: dict[str, list[Record]], name: str
) -> None:
    assert world.manifest["written"]["evaluation"][name] == {"records": len(writable[name]), "without_image": 0}
    assert writable[name]


def test_what_can_be_written_is_told_of_generated_components_alone(world: World) -> None:
    assert set(world.manifest["written"]["components"]) == set(GENERATED)
    assert set(world.manifest["written"]["evaluation"]) == set(GENERATED_EVALUATION)


def test_only_the_planted_leaks_are_there(world: World, recounted: dict[str, list[Record]]) -> None:
    found = {(r.cohort, r.patient) for name in TRAINING for r in leaking(recounted[name], recounted)}
    assert found == {(leak["cohort"], leak["patient"]) for leak in world.manifest["leaks"]}
    assert len(found) == 4
    planted = {image for leak in world.manifest["leaks"] for image in leak["train_images"]}
    assert {r.image for name in TRAINING for r in leaking(recounted[name], recounted)} == planted


def test_paper_protocol_drops_the_custom_rule_studies(world: World) -> None:
    default = world.manifest["components"]["mimic-classification"]["records"]
    paper = world.manifest["protocol_paper"]["mimic-classification"]["records"]
    assert default - paper == world.manifest["sources"]["mimic"]["custom_rule_studies"] == 2


def test_without_generated_texts_their_components_are_empty_and_the_leaks_still_show(
    tmp_path: Path,
) -> None:
    manifest = write_world(tmp_path, seed=5, patients=1, with_generated=False)
    assert not list(tmp_path.rglob("conversations")) + list(tmp_path.rglob("filtered_reports"))
    assert all(manifest["components"][name]["records"] == 0 for name in GENERATED)
    counts = manifest["components"]["mimic-classification"]
    assert counts["records"] - counts["after_leak_removal"] == 1


def test_source_facts_equal_the_tables(world: World) -> None:
    root, facts = world.root, world.manifest["sources"]
    assert facts["mimic"]["images"] == len(rows(root / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-metadata.csv.gz"))
    assert facts["mimic"]["images_present"] == len(list((root / "MIMIC-CXR-JPG/files").rglob("*.jpg")))
    assert facts["mimic"]["labelled_studies"] == len(rows(root / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-chexpert.csv.gz"))
    with zipfile.ZipFile(root / "MIMIC-CXR-JPG/mimic-cxr-reports.zip") as archive:
        assert facts["mimic"]["reports"] == len(archive.namelist())
    assert facts["padchest"]["images"] == len(rows(next((root / "PadChest").glob("PADCHEST*.csv"))))
    assert facts["openi"]["reports"] == len(list((root / "NLMCXR/ecgen-radiology").glob("*.xml")))
    assert facts["openi"]["images_present"] == len(list((root / "NLMCXR/NLMCXR_png").glob("*.png")))
    assert facts["mscxr"]["rows"] == len(rows(root / "MS-CXR/MS_CXR_Local_Alignment_v1.1.0.csv"))
    plus = rows(root / "CheXpert/df_chexpert_plus_240401.csv")
    assert facts["chexpert-plus"]["images"] == len(plus)
    assert facts["chexpert-plus"]["reports"] == len({row["path_to_image"].rsplit("/", 1)[0] for row in plus})


def test_region_groundings_are_the_boxes_with_area_inside_their_image(world: World) -> None:
    archive = zipfile.ZipFile(world.root / "CHEST_IMA/silver_dataset/scene_graph.zip")
    table = rows(world.root / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-metadata.csv.gz")
    sizes = {row["dicom_id"]: (int(row["Columns"]), int(row["Rows"])) for row in table}
    good = bad = 0
    with archive:
        for name in archive.namelist():
            graph = json.loads(archive.read(name))
            valid = [valid_box(found, *sizes[graph["image_id"]]) for found in graph["objects"]]
            good += sum(valid)
            bad += len(valid) - sum(valid)
    facts = world.manifest["sources"]["imagenome"]
    assert facts["groundings"] == {"region": good}
    assert sum(facts["boxes_dropped"].values()) == bad == 3


def test_metadata_gives_the_size_of_each_jpeg(world: World) -> None:
    sizes = {
        row["dicom_id"]: (int(row["Columns"]), int(row["Rows"]))
        for row in rows(world.root / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-metadata.csv.gz")
    }
    for path in (world.root / "MIMIC-CXR-JPG/files").rglob("*.jpg"):
        with Pillow.open(path) as picture:
            assert picture.size == sizes[path.stem]
            assert picture.mode == "L"


def test_grounded_conversations_quote_the_annotated_boxes(world: World) -> None:
    table = rows(world.root / "MS-CXR/MS_CXR_Local_Alignment_v1.1.0.csv")
    folder = world.root / "MIMIC-CXR-JPG/conversations"
    dialogues = [path for split in ("train", "test") for path in (folder / split / "grounding").glob("*.json")]
    assert dialogues
    for path in dialogues:
        turns = json.loads(path.read_text(encoding="utf-8"))
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert 5 <= len(turns) // 2 <= 10
        assert "<image>" not in turns[0]["value"]
        quoted = [box for turn in turns for box in re.findall(r"\[[0-9., ]+\]", turn["value"])]
        assert quoted == [_two_decimals(row) for row in table if row["dicom_id"] == path.stem]


def _two_decimals(row: dict[str, str]) -> str:
    x, y, w, h = (int(row[name]) for name in "xywh")
    width, height = int(row["image_width"]), int(row["image_height"])
    return f"[{x / width:.2f}, {y / height:.2f}, {(x + w) / width:.2f}, {(y + h) / height:.2f}]"
