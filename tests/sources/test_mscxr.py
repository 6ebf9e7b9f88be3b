import json
from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Grounding, Outcome
from radvlm_cli.sources import Known, Options
from radvlm_cli.sources.layout import locate
from radvlm_cli.sources.mscxr import INFO, MsCxr, write_sentence_boxes

COLUMNS = "dicom_id,category_name,label_text,path,x,y,w,h,image_width,image_height"
KNOWN = {name: Known(2000, 2500) for name in ("a", "b")}
ROWS = [
    "a,Pneumonia,Opacity in the left base,files/a.jpg,200,500,400,250,2000,2500",
    'b,Edema,"Hazy, both sides",files/b.jpg,100,100,100,100,2000,2500',
    "a,Pneumonia,Opacity in the left base,files/a.jpg,1000,0,1200,250,2000,2500",
    "a,Pneumothorax,Small pneumothorax,files/a.jpg,0,0,20,25,2000,2500",
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "MS-CXR"
    folder.mkdir()
    write(folder, ROWS)
    return folder


def write(home: Path, rows: list[str], *, columns: str = COLUMNS, version: str = "1.0.0") -> None:
    (home / f"MS_CXR_Local_Alignment_v{version}.csv").write_text("\n".join([columns, *rows]) + "\n")


def read(home: Path, known: dict[str, Known] = KNOWN) -> list[Grounding | Outcome]:
    return list(MsCxr().groundings(locate(INFO, home.parent), Options(), known))


def test_a_sentence_is_one_grounding_with_all_its_boxes_in_the_order_of_the_table(home):
    assert read(home) == [
        Grounding(
            source="mscxr",
            image_source="mimic",
            image_id="a",
            kind="phrase",
            ordinal=0,
            split=None,
            label="Pneumonia",
            phrase="Opacity in the left base",
            boxes="[[0.1,0.2,0.3,0.3],[0.5,0.0,1.0,0.1]]",
            detail=None,
        ),
        Grounding(
            "mscxr", "mimic", "b", "phrase", 0, None, "Edema", "Hazy, both sides", "[[0.05,0.04,0.1,0.08]]", None
        ),
        Grounding(
            "mscxr",
            "mimic",
            "a",
            "phrase",
            1,
            None,
            "Pneumothorax",
            "Small pneumothorax",
            "[[0.0,0.0,0.01,0.01]]",
            None,
        ),
    ]


def test_the_newer_table_wins_and_its_split_is_a_detail(home):
    write(home, [f"{row},val" for row in ROWS[:1]], columns=f"{COLUMNS},split", version="1.1.0")
    (found,) = read(home)
    assert isinstance(found, Grounding)
    assert (found.split, found.detail) == (None, '{"split":"val"}')


def test_a_sentence_of_two_categories_keeps_both(home):
    write(home, [ROWS[0], ROWS[2].replace("Pneumonia", "Atelectasis")])
    (found,) = read(home)
    assert isinstance(found, Grounding)
    assert (found.label, found.detail) == ("Pneumonia", '{"categories":["Pneumonia","Atelectasis"]}')


def test_another_size_than_mimics_is_told_of_once_and_the_rows_own_counts(home):
    first, second, *_ = read(home, KNOWN | {"a": Known(1000, 1250)})
    assert first == Outcome("a", "skipped", "the size differs from MIMIC-CXR's; the boxes keep their own")
    assert isinstance(second, Grounding)
    assert second.boxes == "[[0.1,0.2,0.3,0.3],[0.5,0.0,1.0,0.1]]"


def test_a_row_without_a_size_is_normalised_by_mimics(home):
    write(home, ["a,Edema,Haze,files/a.jpg,200,500,400,250,,"])
    (found,) = read(home)
    assert isinstance(found, Grounding)
    assert found.boxes == "[[0.1,0.2,0.3,0.3]]"


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (",Edema,Haze,p,1,1,1,1,2000,2500", ("failed", "the image or the sentence is blank")),
        ("a,Edema,,p,1,1,1,1,2000,2500", ("failed", "the image or the sentence is blank")),
        ("a,Edema,Haze,p,1,1,wide,1,2000,2500", ("failed", "x, y, w or h is not a number")),
        ("a,Edema,Haze,p,1,1,,1,2000,2500", ("failed", "x, y, w or h is not a number")),
        ("a,Edema,Haze,p,1,1,inf,1,2000,2500", ("skipped", "box dropped: not a number")),
        ("a,Edema,Haze,p,1,1,0,9,2000,2500", ("skipped", "box dropped: zero area")),
        ("a,Edema,Haze,p,2001,1,9,9,2000,2500", ("skipped", "box dropped: outside the image")),
    ],
)
def test_a_row_that_is_no_good_is_told_of_and_the_others_are_read(home, row, outcome):
    write(home, [row, ROWS[1]])
    first, second = read(home)
    assert first == Outcome("MS_CXR_Local_Alignment_v1.0.0.csv row 1", *outcome)
    assert isinstance(second, Grounding)


def test_a_box_listed_twice_counts_once(home):
    write(home, [ROWS[1], ROWS[1]])
    assert [type(record) for record in read(home)] == [Outcome, Grounding]


def test_images_that_mimic_does_not_have_or_know_the_size_of_are_told_of(home):
    write(home, ["z,Edema,Haze,p,1,1,1,1,2000,2500", "b,Edema,Haze,p,1,1,1,1,,"])
    assert read(home, {"b": Known(None, None)}) == [
        Outcome("z", "skipped", "the image is not among those of MIMIC-CXR"),
        Outcome("MS_CXR_Local_Alignment_v1.0.0.csv row 2", "failed", "the size of the image is not known"),
    ]


def coco() -> dict[str, Any]:
    """The rows above, with image a listed twice."""
    images = [
        {"id": number, "file_name": f"{name}.jpg", "path": f"files/{name}.jpg", "width": 2000, "height": 2500}
        for number, name in ((7, "a"), (8, "b"), (9, "a"))
    ]
    boxes = [
        (7, 1, [200, 500, 400, 250], "Opacity in the left base"),
        (8, 2, [100, 100, 100, 100], "Hazy, both sides"),
        (9, 1, [1000, 0, 1200, 250], "Opacity in the left base"),
        (7, 3, [0, 0, 20, 25], "Small pneumothorax"),
    ]
    annotations = [{"image_id": i, "category_id": c, "bbox": b, "label_text": t} for i, c, b, t in boxes]
    names = [{"id": 1, "name": "Pneumonia"}, {"id": 2, "name": "Edema"}, {"id": 3, "name": "Pneumothorax"}]
    return {"images": images, "annotations": annotations, "categories": names}


def test_the_coco_file_gives_the_same_where_the_table_is_absent(home):
    expected = read(home)
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    (home / "MS_CXR_Local_Alignment_v1.1.0.json").write_text(json.dumps(coco()))
    assert read(home) == expected


@pytest.mark.parametrize("damage", [{"image_id": 99}, {"bbox": [1, 2, 3]}, {"bbox": None}, {"label_text": None}])
def test_a_damaged_annotation_fails_alone(home, damage):
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    content = coco()
    content["annotations"][1] |= damage
    (home / "MS_CXR_Local_Alignment_v1.1.0.json").write_text(json.dumps(content))
    found = read(home)
    assert [(r.item, r.status) for r in found if isinstance(r, Outcome)] == [
        ("MS_CXR_Local_Alignment_v1.1.0.json annotation 2", "failed")
    ]
    assert sum(isinstance(record, Grounding) for record in found) == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [1], "annotations": [], "categories": []}'])
def test_a_damaged_coco_file_is_an_error_that_names_it(home, content):
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    (home / "MS_CXR_Local_Alignment_v1.1.0.json").write_text(content)
    with pytest.raises(DataError, match=r"v1\.1\.0\.json cannot be read as a COCO file"):
        read(home)


def test_sentence_boxes_are_written_one_entry_a_box(home, tmp_path):
    first = read(home)[0]._replace(phrase="Größe unverändert")
    path = tmp_path / "sentences_BBox_mscxr" / "a.json"
    write_sentence_boxes(path, [first])
    assert path.read_text(encoding="utf-8") == (
        "[\n"
        '    {\n        "observation": "Größe unverändert",\n        "box": [\n            0.1,\n            0.2,\n'
        "            0.3,\n            0.3\n        ]\n    },\n"
        '    {\n        "observation": "Größe unverändert",\n        "box": [\n            0.5,\n            0.0,\n'
        "            1.0,\n            0.1\n        ]\n    }\n"
        "]"
    )


@pytest.mark.parametrize("name", ["sentences_BBox_mscxr", "sentences_and_BBox_mscxr"])
def test_derived_files_are_adopted_where_there_is_nothing_else(home, name):
    expected = [record for record in read(home) if isinstance(record, Grounding)]
    for image in ("a", "b"):
        write_sentence_boxes(home / name / f"{image}.json", [g for g in expected if g.image_id == image])
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    found = read(home)
    assert found == [expected[i]._replace(label=None) for i in (0, 2, 1)]


@pytest.mark.parametrize(
    ("content", "item"),
    [
        ("{", "a.json"),
        ("3", "a.json"),
        ('[{"observation": "Haze"}]', "a.json box 1"),
        ('[{"observation": "Haze", "box": [0, 0, 1]}]', "a.json box 1"),
        ('[{"observation": null, "box": [0, 0, 1, 1]}]', "a.json box 1"),
        ('["Haze"]', "a.json box 1"),
    ],
)
def test_a_derived_file_that_is_no_good_fails_alone(home, content, item):
    folder = home / "sentences_BBox_mscxr"
    folder.mkdir()
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    (folder / "a.json").write_text(content)
    (folder / "b.json").write_text('[{"observation": "Haze", "box": [0, 0, 1, 1]}]')
    first, second = read(home)
    assert isinstance(first, Outcome)
    assert (first.item, first.status) == (item, "failed")
    assert isinstance(second, Grounding)


def test_a_missing_table_is_an_error_that_says_where_to_get_it(home):
    (home / "MS_CXR_Local_Alignment_v1.0.0.csv").unlink()
    with pytest.raises(DataError, match="MS-CXR: sentences and boxes not found") as caught:
        read(home)
    assert "physionet.org/content/ms-cxr" in (caught.value.hint or "")
