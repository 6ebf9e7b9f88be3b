import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Box, Grounding, Outcome
from radvlm_cli.sources import Known, Options
from radvlm_cli.sources.boxes import encode_boxes, normalise
from radvlm_cli.sources.imagenome import INFO, ImaGenome
from radvlm_cli.sources.layout import locate

SIZE = Known(2544, 3056)
KNOWN = dict.fromkeys(("a", "b", "c", "d"), SIZE)
LUNG = ("right lung", (395, 532, 1255, 1268))


def region(name: Any, corners: tuple) -> dict[str, Any]:
    original = dict(zip(("original_x1", "original_y1", "original_x2", "original_y2"), corners, strict=True))
    return {"object_id": f"x_{name}", "x1": 1, "y1": 2, "x2": 3, "y2": 4, "bbox_name": name, "synsets": []} | original


def graph(*regions: tuple, **more: Any) -> bytes:
    objects = [region(name, corners) for name, corners in regions]
    attributes = [{"bbox_name": False, "phrases": ['the "objects": [ of a sentence'], "attributes": [["x"]]}]
    return json.dumps(
        {"image_id": "a", "objects": objects, "attributes": attributes, "relationships": []} | more
    ).encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three splits of one image each, one image to avoid, and graphs for all in the archive."""
    folder = tmp_path / "CHEST_IMA"
    splits = folder / "silver_dataset" / "splits"
    splits.mkdir(parents=True)
    for name, image in (("train", "a"), ("valid", "b"), ("test", "c")):
        path = f"files/p10/p1/s5/{image}.dcm"
        (splits / f"{name}.csv").write_text(
            f",subject_id,study_id,dicom_id,path,ViewPosition\n0,1,5,{image},{path},AP\n"
        )
    (splits / "images_to_avoid.csv").write_text("subject_id,study_id,dicom_id,path,ViewPosition\n1,5,d,files,PA\n")
    write_archive(folder, {name: graph(LUNG) for name in "abcd"})
    return folder


def write_archive(home: Path, graphs: dict[str, bytes], folder: str = "scene_graph/") -> None:
    with zipfile.ZipFile(home / "silver_dataset" / "scene_graph.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in graphs.items():
            out.writestr(f"{folder}{name}_SceneGraph.json", content)


def read(home: Path, known: dict[str, Known] = KNOWN) -> list[Grounding | Outcome]:
    return list(ImaGenome().groundings(locate(INFO, home.parent), Options(), known))


def of_image(records: list[Grounding | Outcome], image: str = "a") -> list[Grounding | Outcome]:
    return [r for r in records if (r.image_id if isinstance(r, Grounding) else r.item.split()[0]) == image]


def test_a_region_is_normalised_by_the_true_size_of_its_image(home):
    assert read(home)[0] == Grounding(
        source="imagenome",
        image_source="mimic",
        image_id="a",
        kind="region",
        ordinal=0,
        split="train",
        label=None,
        phrase=None,
        boxes='{"right lung":[[0.155267,0.174084,0.493318,0.414921]]}',
        detail=None,
    )


def test_splits_are_imagenomes_own_and_images_to_avoid_have_none(home):
    assert {r.image_id: r.split for r in read(home)} == {"a": "train", "b": "validation", "c": "test", "d": None}


def test_an_image_to_avoid_is_in_no_split_even_if_one_lists_it(home):
    path = home / "silver_dataset/splits/images_to_avoid.csv"
    path.write_text(path.read_text() + "1,5,a,files,PA\n")
    first, *rest = read(home)
    assert first == Outcome("a", "skipped", "listed in two splits; images to avoid first, then the first counts")
    assert {r.image_id: r.split for r in rest}["a"] is None


@pytest.mark.parametrize(
    "place", ["silver_dataset/scene_graph", "silver_dataset/scene_graph/scene_graph", "scene_graph"]
)
def test_unpacked_graphs_flat_or_nested_give_the_same_as_the_archive(home, place):
    expected = read(home)
    (home / "silver_dataset" / "scene_graph.zip").unlink()
    folder = home / place
    folder.mkdir(parents=True)
    for name in "abcd":
        (folder / f"{name}_SceneGraph.json").write_bytes(graph(LUNG))
    assert read(home) == expected


def test_archives_without_a_folder_or_with_resource_forks_are_read(home):
    expected = read(home)
    write_archive(home, {**{name: graph(LUNG) for name in "abcd"}, "._a": b"\0\5\26\7"}, folder="")
    assert read(home) == expected


FAULTS = [
    ((-9, 20, 848, 1528), "[[0.0,0.006545,0.333333,0.5]]"),
    ((1272, 1019, 2557, 3064), "[[0.5,0.333442,1.0,1.0]]"),
    ((50, 60, 50, 160), "zero area"),
    ((60, 60, 50, 160), "zero area"),
    ((2549, 40, 2604, 90), "outside the image"),
    ((-50, 40, 0, 90), "outside the image"),
    ((10.5, 40, 20.25, 90), "[[0.004127,0.013089,0.00796,0.029450]]"),
    (("10", 40, 20, 90), "[[0.003931,0.013089,0.007862,0.02945]]"),
    ((None, 40, 20, 90), "not a number"),
    (([], 40, 20, 90), "not a number"),
    ((float("nan"), 40, 20, 90), "not a number"),
    ((float("inf"), 40, 20, 90), "not a number"),
    ((10**400, 40, 20, 90), "not a number"),
]


@pytest.mark.parametrize(("corners", "expected"), FAULTS)
def test_boxes_are_clipped_and_those_that_are_none_are_told_of(home, corners, expected):
    write_archive(home, {"a": graph(("svc", corners), LUNG)})
    *told, grounding = of_image(read(home))
    assert isinstance(grounding, Grounding)
    regions = json.loads(grounding.boxes)
    assert "right lung" in regions
    if expected.startswith("[["):
        assert told == []
        assert regions["svc"] == json.loads(expected)
    else:
        assert told == [Outcome("a svc", "skipped", f"box dropped: {expected}")]
        assert "svc" not in regions


def test_whole_pixels_are_encoded_as_boxes_are_everywhere(home):
    corners = [
        (x, y, x + w, y + h) for x in (0, 7, 848, 2543) for y in (0, 191, 3000) for w in (1, 33) for h in (1, 907)
    ]
    write_archive(home, {"a": graph(*((f"region {i}", c) for i, c in enumerate(corners)))})
    (found,) = (r.boxes for r in of_image(read(home)) if isinstance(r, Grounding))
    boxes = [normalise(*c, 2544, 3056).box for c in corners]
    expected = {f"region {i}": encode_boxes([box]) for i, box in enumerate(boxes) if isinstance(box, Box)}
    assert found == "{" + ",".join(f'"{name}":{expected[name]}' for name in sorted(expected)) + "}"
    assert len(expected) == len(corners)


def test_an_image_without_any_region_is_told_of(home):
    write_archive(home, {"a": graph(("svc", (50, 60, 50, 160)))})
    assert of_image(read(home))[-1] == Outcome("a", "skipped", "no region has a box")


def test_a_region_without_a_corner_or_a_name_or_listed_twice_is_told_of(home):
    cornerless = region("svc", (1, 2, 3, 4))
    del cornerless["original_x2"]
    objects = [cornerless, region(False, (1, 2, 3, 4)), region(*LUNG), region("right lung", (1, 2, 3, 4)), "no object"]
    write_archive(home, {"a": graph(objects=objects)})
    assert [tuple(r) if isinstance(r, Outcome) else list(json.loads(r.boxes)) for r in of_image(read(home))] == [
        ("a svc", "skipped", "box dropped: not a number"),
        ("a False", "skipped", "a region without a name"),
        ("a right lung", "skipped", "listed twice; the first box counts"),
        ("a None", "skipped", "a region without a name"),
        ["right lung"],
    ]


def test_keys_in_another_order_or_indented_make_no_difference(home):
    expected = of_image(read(home))
    content = json.loads(graph(LUNG))
    for text in (
        json.dumps(dict(reversed(content.items()))),
        json.dumps(content, indent=2),
        json.dumps({"objects": content["objects"]}),
    ):
        write_archive(home, {"a": text.encode()})
        assert of_image(read(home)) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        graph(LUNG)[:200],
        b"[]",
        b"{}",
        b'{"objects": 3}',
        b'{"objects": [\xff]}',
        b"[" * 100_000,
        b'"objects"',
    ],
)
def test_a_damaged_graph_fails_alone(home, content):
    write_archive(home, {"a": content, "b": graph(LUNG)})
    found = read(home)
    assert of_image(found) == [Outcome("a", "failed", "the scene graph is damaged")]
    assert len(of_image(found, "b")) == 1


def test_a_damaged_member_of_the_archive_fails_alone(home):
    path = home / "silver_dataset" / "scene_graph.zip"
    content = bytearray(path.read_bytes())
    content[80] ^= 0xFF
    path.write_bytes(content)
    found = read(home)
    assert of_image(found) == [Outcome("a", "failed", "damaged, or packed in a way that cannot be read")]
    assert len(of_image(found, "b")) == 1


def test_images_without_a_graph_and_graphs_without_an_image_are_told_of(home):
    write_archive(home, {"a": graph(LUNG), "z": graph(LUNG), "b": graph(LUNG)})
    found = read(home, KNOWN | {"b": Known(None, None)})
    assert [r for r in found if isinstance(r, Outcome)] == [
        Outcome("z", "skipped", "the image is not among those of MIMIC-CXR"),
        Outcome("b", "failed", "the size of the image is not known"),
        Outcome("d", "skipped", "listed in a split, but there is no scene graph"),
        Outcome("c", "skipped", "listed in a split, but there is no scene graph"),
    ]


def test_a_graph_that_no_table_lists_has_no_split(home):
    write_archive(home, {"z": graph(LUNG)})
    (found,) = of_image(read(home, {"z": SIZE}), "z")
    assert isinstance(found, Grounding)
    assert found.split is None


def test_a_second_graph_of_an_image_is_skipped(home):
    with zipfile.ZipFile(home / "silver_dataset" / "scene_graph.zip", "a") as out:
        out.writestr("again/a_SceneGraph.json", graph(LUNG))
    assert of_image(read(home))[1:] == [Outcome("a", "skipped", "two scene graphs; the first one counts")]


@pytest.mark.parametrize("name", ["scene_graph.zip", "splits/test.csv"])
def test_a_missing_file_is_an_error_that_names_it(home, name):
    (home / "silver_dataset" / name).unlink()
    with pytest.raises(DataError, match=r"Chest ImaGenome: .* not found") as caught:
        read(home)
    assert name in caught.value.message


def test_a_folder_that_is_empty_in_place_of_the_graphs_leaves_nothing_unsaid(home):
    (home / "silver_dataset" / "scene_graph.zip").unlink()
    (home / "silver_dataset" / "scene_graph").mkdir()
    assert {r.reason for r in read(home) if isinstance(r, Outcome)} == {
        "listed in a split, but there is no scene graph"
    }
