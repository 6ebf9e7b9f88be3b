"""VinDr-CXR in the official, the published and the Kaggle layout; boxes fused, damaged rows told."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.records import Grounding, Image, Outcome
from radvlm_cli.sources import Known, Options
from radvlm_cli.sources.layout import Layout, locate
from radvlm_cli.sources.vindr import INFO, VinDr, write_resolutions

HEADER = "image_id,rad_id,class_name,x_min,y_min,x_max,y_max"
TEST_HEADER = "image_id,class_name,x_min,y_min,x_max,y_max"
SIZE = Known(1000, 2000)


def layout(data: Path) -> Layout:
    return locate(INFO, data)


def put(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def annotate(data: Path, *rows: str, test: Iterable[str] = ()) -> Layout:
    put(data / "vindr-cxr/annotations/annotations_train.csv", HEADER, *rows)
    if test:
        put(data / "vindr-cxr/annotations/annotations_test.csv", TEST_HEADER, *test)
    return layout(data)


def images(at: Layout, options: Options | None = None) -> dict[str, Image]:
    return {i.image_id: i for i in VinDr().images(at, options or Options()) if isinstance(i, Image)}


def image_outcomes(at: Layout) -> list[Outcome]:
    return [o for o in VinDr().images(at, Options()) if isinstance(o, Outcome)]


def read(at: Layout, known: dict[str, Known]) -> tuple[list[Grounding], list[Outcome]]:
    records = list(VinDr().groundings(at, Options(), known))
    return [r for r in records if isinstance(r, Grounding)], [r for r in records if isinstance(r, Outcome)]


def boxes(grounding: Grounding) -> list[list[float]]:
    return json.loads(grounding.boxes)


def test_images_are_those_of_tables_labels_and_dicom_files(tmp_path: Path) -> None:
    home = tmp_path / "vindr-cxr/1.0.0"
    put(home / "annotations/annotations_train.csv", HEADER, "b,R1,No finding,,,,")
    put(home / "annotations/image_labels_train.csv", "image_id,rad_id,Edema", "c,R1,0")
    put(home / "train/a.dicom", "")
    put(home / "test/d.dicom", "")
    found = images(layout(tmp_path))
    assert [(i.image_id, i.split, i.study_id, i.patient_id) for i in found.values()] == [
        ("a", "train", "a", None),
        ("b", "train", "b", None),
        ("c", "train", "c", None),
        ("d", "test", "d", None),
    ]
    assert [(i.status, i.reason) for i in found.values()] == [
        ("missing", "not converted yet"),
        ("missing", "DICOM file not found"),
        ("missing", "DICOM file not found"),
        ("missing", "not converted yet"),
    ]


def test_a_converted_image_is_present_and_tables_only_does_not_look(tmp_path: Path) -> None:
    at = annotate(tmp_path, "a,R1,No finding,,,,")
    put(at.home / "train_jpg/a.jpg", "")
    found = images(at)["a"]
    assert (found.root, found.path, found.status) == ("derived", "vindr-cxr/train_jpg/a.jpg", "present")
    assert images(at, Options(tables_only=True))["a"].status == "unchecked"


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_true_sizes_come_from_the_published_resolution_files(tmp_path: Path, folder: str) -> None:
    at = annotate(tmp_path, "a,R1,No finding,,,,", "b,R1,No finding,,,,")
    put(at.home / folder / "image_resolutions_train.json", '{"a": [3000, 2500]}')
    found = images(at)
    assert (found["a"].width, found["a"].height) == (2500, 3000)
    assert (found["b"].width, found["b"].height) == (None, None)


@pytest.mark.parametrize("content", ["", "[1]", '{"a": [3000]}', '{"a": ["3000", 2500]}', '{"a": [0, 2500]}'])
def test_a_damaged_resolution_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    at = annotate(tmp_path, "a,R1,No finding,,,,")
    put(at.home / "image_resolutions_train.json", content)
    with pytest.raises(DataError, match=r"image_resolutions_train\.json"):
        images(at)


def test_labels_say_whether_the_readers_agree(tmp_path: Path) -> None:
    at = annotate(tmp_path, "a,R1,No finding,,,,")
    labels = at.home / "annotations"
    put(
        labels / "image_labels_train.csv",
        "image_id,rad_id,Edema,Other diseases,No finding",
        *("a,R1,1,0,0", "a,R2,1,0,1", "a,R3,1,0,0"),
    )
    put(labels / "image_labels_test.csv", "image_id,Edema,Other disease,No finding", "t,0,1,0")
    found = images(layout(tmp_path))
    assert json.loads(found["a"].labels or "") == {"Edema": 1, "No finding": -1, "Other disease": 0}
    assert json.loads(found["t"].labels or "") == {"Edema": 0, "No finding": 0, "Other disease": 1}


def test_a_label_other_than_0_and_1_fails_its_row_alone(tmp_path: Path) -> None:
    at = annotate(tmp_path, "a,R1,No finding,,,,")
    put(at.home / "annotations/image_labels_train.csv", "image_id,rad_id,Edema", "a,R1,2", "a,R2,1", "b,R1,")
    at = layout(tmp_path)
    assert images(at)["a"].labels == '{"Edema":1}'
    assert {o.reason for o in image_outcomes(at)} == {"a label is neither 0 nor 1"}


def test_an_id_in_both_splits_counts_as_train(tmp_path: Path) -> None:
    at = annotate(tmp_path, "a,R1,Edema,0,0,100,200", test=["a,Edema,500,500,900,900", "t,No finding,,,,"])
    put(at.home / "train/a.dicom", "")
    put(at.home / "test/a.dicom", "")
    at = layout(tmp_path)
    assert {name: image.split for name, image in images(at).items()} == {"a": "train", "t": "test"}
    assert [(o.item, o.status) for o in image_outcomes(at)] == [("a", "failed")]
    assert [c.target.parent.name for c in VinDr().conversions(at, Options())] == ["train_jpg"]
    found, _ = read(at, {"a": SIZE, "t": SIZE})
    assert [(g.image_id, g.split) for g in found] == [("a", "train")]


def test_every_dicom_file_is_converted_into_the_derived_folder(tmp_path: Path) -> None:
    put(tmp_path / "VinDr-CXR/annotations_train.csv", HEADER, "a,R1,No finding,,,,")
    for name in ("train/b.dicom", "train/a.dicom", "train/notes.txt", "test/c.dicom"):
        put(tmp_path / "VinDr-CXR" / name, "")
    at = locate(INFO, tmp_path, tmp_path / "elsewhere")
    made = list(VinDr().conversions(at, Options()))
    assert [c.image_id for c in made] == ["a", "b", "c"]
    assert made[0].source == tmp_path / "VinDr-CXR/train/a.dicom"
    assert made[2].target == tmp_path / "elsewhere/VinDr-CXR/test_jpg/c.jpg"


@pytest.mark.parametrize("reader", ["rad_id", "rad_ID"])
def test_boxes_of_three_readers_become_one_and_others_stay(tmp_path: Path, reader: str) -> None:
    put(
        tmp_path / "vindr-cxr/annotations_train.csv",
        HEADER.replace("rad_id", reader),
        "a,R1,Edema,100,200,300,400",
        "a,R2,Edema,110,200,310,400",
        "a,R3,Edema,600,1200,700,1400",
        "a,R3,Atelectasis,0,0,50,100",
        "a,R9,No finding,,,,",
    )
    found, outcomes = read(layout(tmp_path), {"a": SIZE})
    assert outcomes == []
    assert [(g.label, g.ordinal, g.kind, g.split) for g in found] == [
        ("Atelectasis", 0, "abnormality", "train"),
        ("Edema", 1, "abnormality", "train"),
    ]
    assert boxes(found[1]) == [[0.105, 0.1, 0.305, 0.2], [0.6, 0.6, 0.7, 0.7]]
    assert json.loads(found[1].detail or "") == {"boxes": 3, "readers": 3}


def test_boxes_of_the_test_set_are_fused_and_name_no_readers(tmp_path: Path) -> None:
    test = ["t,Edema,100,200,300,400", "t,Edema,100,200,320,400"]
    at = annotate(tmp_path, "a,R1,No finding,,,,", test=test)
    found, _ = read(at, {"t": SIZE})
    assert [(g.split, boxes(g), g.detail) for g in found] == [("test", [[0.1, 0.1, 0.31, 0.2]], '{"boxes":2}')]


def test_groundings_are_in_order_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = ["b,R1,Edema,0,0,9,9", "a,R1,ILD,0,0,9,9", "b,R1,Cardiomegaly,0,0,9,9", "a,R1,Edema,0,0,9,9"]
    forth, _ = read(annotate(tmp_path / "1", *rows), {"a": SIZE, "b": SIZE})
    back, _ = read(annotate(tmp_path / "2", *rows[::-1]), {"a": SIZE, "b": SIZE})
    assert forth == back
    keys = [(g.image_id, g.label, g.ordinal) for g in forth]
    assert keys == [("a", "Edema", 0), ("a", "ILD", 1), ("b", "Cardiomegaly", 0), ("b", "Edema", 1)]


def test_the_kaggle_release_is_read(tmp_path: Path) -> None:
    put(
        tmp_path / "vinbigdata-chest-xray-abnormalities-detection/train.csv",
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
        "a,Cardiomegaly,3,R10,691.0,1375.0,953.0,1831.0",
        "b,No finding,14,R11,,,,",
    )
    put(tmp_path / "vinbigdata-chest-xray-abnormalities-detection/train/a.dicom", "")
    at = layout(tmp_path)
    assert list(images(at)) == ["a", "b"]
    assert len(list(VinDr().conversions(at, Options()))) == 1
    found, outcomes = read(at, {"a": SIZE, "b": SIZE})
    assert [(g.label, boxes(g)) for g in found] == [("Cardiomegaly", [[0.691, 0.6875, 0.953, 0.9155]])]
    assert outcomes == []


@pytest.mark.parametrize("known", [{}, {"a": Known(None, None)}])
def test_boxes_without_the_true_size_of_their_image_fail_once_per_image(
    tmp_path: Path, known: dict[str, Known]
) -> None:
    at = annotate(tmp_path, "a,R1,Edema,1,1,9,9", "a,R2,ILD,1,1,9,9", "b,R1,Edema,1,1,9,9", "c,R1,No finding,,,,")
    found, outcomes = read(at, {**known, "b": SIZE})
    assert [g.image_id for g in found] == ["b"]
    assert [(o.item, o.status) for o in outcomes] == [("a", "failed")]
    assert "resolution is unknown" in outcomes[0].reason


@pytest.mark.parametrize(
    ("row", "status", "reason"),
    [
        ("a,R1,Edema,1000,10,1100,20", "skipped", "box outside the image"),
        ("a,R1,Edema,30,10,30,20", "skipped", "box zero area"),
        ("a,R1,Edema,40,10,30,20", "skipped", "box zero area"),
        ("a,R1,Edema,40,10,,20", "skipped", "box not a number"),
        ("a,R1,Edema,40,10,1e999,20", "skipped", "box not a number"),
        ("a,R1,Edema,4O,10,50,20", "failed", "a corner of the box is not a number"),
        ("a,R1,Edema,,,,", "skipped", "a finding without a box"),
        ("a,R1,No finding,1,1,9,9", "skipped", "a box on a row that says no finding"),
        ("a,R1,,1,1,9,9", "failed", "the class_name is blank"),
        (",R1,Edema,1,1,9,9", "failed", "the image_id is blank"),
    ],
)
def test_a_bad_row_is_told_and_the_others_go_on(tmp_path: Path, row: str, status: str, reason: str) -> None:
    at = annotate(tmp_path, row, "a,R2,Edema,100,200,300,400")
    found, outcomes = read(at, {"a": SIZE})
    assert [(g.label, boxes(g)) for g in found] == [("Edema", [[0.1, 0.1, 0.3, 0.2]])]
    assert [(o.status, o.reason) for o in outcomes] == [(status, reason)]
    assert list(images(at)) == ["a"]


def test_a_box_beyond_the_border_is_clipped(tmp_path: Path) -> None:
    found, outcomes = read(annotate(tmp_path, "a,R1,Edema,-10,1800,500,2100"), {"a": SIZE})
    assert outcomes == []
    assert boxes(found[0]) == [[0, 0.9, 0.5, 1]]


def test_a_table_without_its_columns_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "vindr-cxr/annotations_train.csv", "image_id,rad_id,label", "a,R1,Edema")
    with pytest.raises(DataError, match="class_name"):
        images(layout(tmp_path))


def test_without_the_training_boxes_the_error_says_where_to_get_them(tmp_path: Path) -> None:
    put(tmp_path / "vindr-cxr/train/a.dicom", "")
    with pytest.raises(DataError, match="train boxes not found") as caught:
        images(layout(tmp_path))
    assert "physionet.org" in str(caught.value.hint)


def test_resolutions_are_added_to_those_of_others(tmp_path: Path) -> None:
    path = tmp_path / "image_resolutions_train.json"
    write_resolutions(path, [("b", 3000, 2500)])
    write_resolutions(path, [("a", 100, 200), ("b", 3001, 2500)])
    assert path.read_text() == '{"a": [100, 200], "b": [3001, 2500]}'
    assert list(tmp_path.iterdir()) == [path]


def test_resolutions_are_not_written_over_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "image_resolutions_train.json"
    path.write_text('{"a": [100,')
    with pytest.raises(DataError, match="cannot be read as JSON"):
        write_resolutions(path, [("b", 1, 2)])
    assert path.read_text() == '{"a": [100,'
