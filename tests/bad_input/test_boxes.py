"""Bad boxes: told, dropped or clipped, and the others stay as they are."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import cell, column, text
from tests.bad_input.trial import differences

BOXES = "VinDr-CXR/annotations/annotations_train.csv"
PHRASES = "MS-CXR/*.csv"

Seen = dict[str, int]
_BOX_GONE = {"grounding.boxes": 1, "grounding.detail": 1}
"""Of three readers' boxes two are fused."""
_PHRASE_GONE = {"grounding gone": 1, "grounding.label": 1, "grounding.phrase": 1, "grounding.boxes": 1}
"""The first sentence of an image; the second moves up."""


BOXES_OF_VINDR: dict[str, tuple[dict[str, object], Seen]] = {
    "beyond the border": ({"x_max": 99999}, {"grounding.boxes": 1}),
    "that begins before the border": ({"x_min": -20}, {"grounding.boxes": 1}),
    "outside": ({"x_min": 90000, "x_max": 99999}, _BOX_GONE | {"skipped: box outside the image": 1}),
    "of no area": ({"x_min": 100, "x_max": 100}, _BOX_GONE | {"skipped: box zero area": 1}),
    "the wrong way round": ({"x_min": 300, "x_max": 100}, _BOX_GONE | {"skipped: box zero area": 1}),
    "with NaN": ({"x_max": "NaN"}, _BOX_GONE | {"skipped: box not a number": 1}),
    "without end": ({"x_max": "inf"}, _BOX_GONE | {"skipped: box not a number": 1}),
    "in words": ({"x_max": "right"}, _BOX_GONE | {"failed: a corner of the box is not a number": 1}),
    "that is blank": (
        {"x_min": "", "y_min": "", "x_max": "", "y_max": ""},
        _BOX_GONE | {"skipped: a finding without a box": 1},
    ),
    "of a blank class": ({"class_name": ""}, _BOX_GONE | {"failed: the class_name is blank": 1}),
    "of a misspelt class": (
        {"class_name": "Cardiomgealy"},
        _BOX_GONE | {"failed: the class is none that has boxes": 1},
    ),
    "of no image": ({"image_id": "NaN"}, _BOX_GONE | {"failed: the image_id is blank": 1}),
    "of a path": ({"image_id": "../../x"}, _BOX_GONE | {"failed: the image_id is not a plain name": 1}),
    "of an unknown image": (
        {"image_id": "0" * 32},
        _BOX_GONE
        | {
            "image new": 1,
            "failed: the true resolution is unknown: neither DICOM file nor resolution table has it": 1,
        },
    ),
}

BOXES_OF_MSCXR: dict[str, tuple[dict[str, object], int, Seen]] = {
    "in words": ({"w": "wide"}, 4, _PHRASE_GONE | {"failed: x, y, w or h is not a number": 1}),
    "of no area": ({"w": 0}, 0, _PHRASE_GONE | {"skipped: box dropped: zero area": 1}),
    "of negative width": ({"w": -5}, 0, _PHRASE_GONE | {"skipped: box dropped: zero area": 1}),
    "beyond the border": ({"w": 5000}, 0, {"grounding.boxes": 1}),
    "of an unknown image": (
        {"dicom_id": "nobody"},
        0,
        _PHRASE_GONE | {"skipped: the image is not among those of MIMIC-CXR": 1},
    ),
    "of a blank sentence": ({"label_text": " "}, 4, _PHRASE_GONE | {"failed: the image or the sentence is blank": 1}),
    "on an image of another size": (
        {"image_width": 900},
        0,
        {"grounding.boxes": 1, "skipped: the size differs from MIMIC-CXR's; the boxes keep their own": 1},
    ),
}


@pytest.mark.parametrize(("cells", "seen"), BOXES_OF_VINDR.values(), ids=BOXES_OF_VINDR)
def test_a_bad_box_of_vindr_is_told_and_the_others_go_on(begin: Begin, cells: dict[str, object], seen: Seen) -> None:
    trial, undamaged = begin("vindr")
    text(BOXES, column(4, **cells))(trial.data)
    assert trial.prepare("vindr").code == 4  # as without damage: two phantoms have no pixels
    assert differences(undamaged, trial.content()) == Counter(seen)


@pytest.mark.parametrize(("cells", "code", "seen"), BOXES_OF_MSCXR.values(), ids=BOXES_OF_MSCXR)
def test_a_bad_box_of_mscxr_is_told_and_the_others_go_on(
    begin: Begin, cells: dict[str, object], code: int, seen: Seen
) -> None:
    trial, undamaged = begin("mscxr")
    text(PHRASES, column(1, **cells))(trial.data)
    assert trial.prepare("mscxr").code == code
    assert differences(undamaged, trial.content()) == Counter(seen)


def test_an_image_with_a_box_that_cannot_be_read_is_never_shown_as_having_none(begin: Begin) -> None:
    trial, _ = begin("vindr")
    trial.prepare("vindr")
    whole = trial.pairs("evaluation", "vindr-detection")
    text("VinDr-CXR/annotations/annotations_test.csv", cell(2, "x_max", "right"))(trial.data)
    trial.prepare("vindr")
    assert len(trial.pairs("evaluation", "vindr-detection")) == len(whole) - 1
