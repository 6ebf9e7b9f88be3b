"""Damaged image files: a failed or missing image with the reason, and all others converted as before."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable

import pydicom
import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import Change, Damage, become, dangling, folder, half, instead, plain_file, raw
from tests.bad_input.trial import differences, said

DICOM = "VinDr-CXR/train/*.dicom"
PNG = "PadChest/Padchest_GR_files/PadChest_GR/*.png"
JPEG = "CheXpert/train/*/*/*.jpg"

Seen = dict[str, int]
_FAILED = {"image.status": 1, "image.reason": 1, "artifact gone": 1}
_NOT_THERE = {"image.status": 1, "image.reason": 1}
_WITHOUT_SIZE = _FAILED | {
    "image.width": 1,
    "image.height": 1,
    "grounding gone": 2,
    "failed: the true resolution is unknown: neither DICOM file nor resolution table has it": 1,
}
"""The first DICOM file, with boxes of two classes: without a size they have no place."""


def header(edit: Callable[[pydicom.FileDataset], object]) -> Change:
    """Change the elements of a DICOM file."""

    def change(content: bytes) -> bytes:
        dataset = pydicom.dcmread(io.BytesIO(content))
        edit(dataset)
        stream = io.BytesIO()
        dataset.save_as(stream)
        return stream.getvalue()

    return change


DAMAGES: dict[str, tuple[str, Damage, int, Seen]] = {
    "half a DICOM": ("vindr", raw(DICOM, half), 4, _FAILED | {"failed: no PixelData element, or an empty one": 1}),
    "the head of a DICOM": (
        "vindr",
        raw(DICOM, lambda content: content[:300]),
        4,
        _WITHOUT_SIZE | {"failed: the header has no image size": 1},
    ),
    "an empty DICOM": ("vindr", raw(DICOM, become(b"")), 4, _WITHOUT_SIZE | {"failed: the file is empty": 1}),
    "a text called .dicom": (
        "vindr",
        raw(DICOM, become(b"no picture at all\n" * 100)),
        4,
        _WITHOUT_SIZE | {"failed: not a DICOM file": 1},
    ),
    "a DICOM of zeros": (
        "vindr",
        raw(DICOM, lambda content: bytes(len(content))),
        4,
        _WITHOUT_SIZE | {"failed: not a DICOM file": 1},
    ),
    "a DICOM without pixels": (
        "vindr",
        raw(DICOM, header(lambda dataset: delattr(dataset, "PixelData"))),
        4,
        _FAILED | {"failed: no PixelData element, or an empty one": 1},
    ),
    "a DICOM without Rows": (
        "vindr",
        raw(DICOM, header(lambda dataset: delattr(dataset, "Rows"))),
        4,
        _WITHOUT_SIZE | {"failed: the header has no image size": 1},
    ),
    "a DICOM of no Rows": (
        "vindr",
        raw(DICOM, header(lambda dataset: setattr(dataset, "Rows", 0))),
        4,
        _WITHOUT_SIZE | {"failed: the image has no pixels: its width or height is zero": 1},
    ),
    "a DICOM that does not say what is black": (
        "vindr",
        raw(DICOM, header(lambda dataset: delattr(dataset, "PhotometricInterpretation"))),
        4,
        _FAILED | {"failed: the header has no PhotometricInterpretation: black and white cannot be told apart": 1},
    ),
    "a folder called .dicom": (
        "vindr",
        instead(DICOM, folder),
        4,
        _WITHOUT_SIZE | {"failed: the file cannot be read: Is a directory": 1},
    ),
    "a DICOM link to nowhere": (
        "vindr",
        instead(DICOM, dangling),
        4,
        _WITHOUT_SIZE | {"failed: the file cannot be read: No such file or directory": 1},
    ),
    "a DICOM that is gone": ("vindr", instead(DICOM, lambda path: None), 4, _WITHOUT_SIZE),
    "half a 16-bit PNG": (
        "padchest-gr",
        raw(PNG, half),
        4,
        _FAILED | {"failed: the PNG data is damaged or cut short": 1},
    ),
    "a text called .png": (
        "padchest-gr",
        raw(PNG, become(b"no picture")),
        4,
        _FAILED | {"failed: not a PNG file": 1},
    ),
    "an empty PNG": ("padchest-gr", raw(PNG, become(b"")), 4, _FAILED | {"failed: not a PNG file": 1}),
    "a JPEG called .png": (
        "padchest-gr",
        raw(PNG, become(b"\xff\xd8\xff\xe0" + bytes(100))),
        4,
        _FAILED | {"failed: not a PNG file": 1},
    ),
    "a folder called .png": ("padchest-gr", instead(PNG, folder), 0, _FAILED),
    "a PNG link to nowhere": ("padchest-gr", instead(PNG, dangling), 0, _FAILED),
    "a JPEG link to nowhere": ("chexpert", instead(JPEG, dangling), 0, _NOT_THERE),
    "a folder called .jpg": ("chexpert", instead(JPEG, folder), 0, _NOT_THERE),
    "a file in place of CheXpert's images": (
        "chexpert",
        instead("CheXpert/train", plain_file),
        0,
        {"image.status": 20, "image.reason": 20},
    ),
    "a file in place of MIMIC-CXR's images": (
        "mimic",
        instead("MIMIC-CXR-JPG/files", plain_file),
        0,
        {"image.status": 37, "image.reason": 37},
    ),
    "a file in place of PadChest-GR's images": (
        "padchest-gr",
        instead("PadChest/Padchest_GR_files/PadChest_GR", plain_file),
        0,
        {"image.status": 19, "image.reason": 19, "artifact gone": 19},
    ),
}


@pytest.mark.parametrize(("source", "damage", "code", "seen"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_image_is_told_and_the_others_go_on(
    begin: Begin, source: str, damage: Damage, code: int, seen: Seen
) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    assert trial.prepare(source).code == code
    damaged = trial.content()
    assert differences(undamaged, damaged) == Counter(seen)
    changed = [row for key, row in damaged["image"].items() if row != undamaged["image"][key]]
    assert all(row["status"] in ("failed", "missing") and row["reason"] for row in changed)
    trial.mend()
    trial.prepare(source)
    assert not differences(undamaged, trial.content()), "the damage left something behind"


def test_a_dicom_that_is_damaged_later_is_not_shown_by_build(begin: Begin) -> None:
    trial, _ = begin("vindr")
    raw(DICOM, half)(trial.data)
    trial.prepare("vindr")
    failed = {key[1] for key, row in trial.content()["image"].items() if row["status"] == "failed"}
    assert failed
    assert trial.build().code == 0
    built = (trial.home / "train" / "train.json").read_text()
    assert "vindr-detection-" in built
    assert not any(name in built for name in failed)


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff", b'{"x": [1]}', b'{"x": [0, 5]}', b"[" * 200_000])
@pytest.mark.parametrize("prepared", [False, True], ids=["before prepare", "after prepare"])
def test_a_bad_file_of_resolutions_is_one_clear_error(begin: Begin, content: bytes, prepared: bool) -> None:
    trial, undamaged = begin("vindr")
    if prepared:
        trial.prepare("vindr")
    path = trial.home / "derived" / "VinDr-CXR" / "image_resolutions_train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert "image_resolutions_train.json" in said(trial.prepare("vindr", more=("--force",) if prepared else ()))
    assert "image_resolutions_train.json" in said(trial.prepare("vindr"))
    path.unlink()
    trial.prepare("vindr")
    assert not differences(undamaged, trial.content())


def test_a_file_of_resolutions_that_is_damaged_later_is_one_clear_error(begin: Begin) -> None:
    trial, _ = begin("vindr")
    trial.prepare("vindr")
    (trial.home / "derived" / "VinDr-CXR" / "image_resolutions_train.json").write_bytes(b"{")
    assert "image_resolutions_train.json" in said(trial.prepare("vindr"))
