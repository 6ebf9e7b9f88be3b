"""Damaged archives and documents that cannot be read at all: one clear error, and nothing half read once mended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import Damage, become, document, folder, half, instead, nested, place, plain_file, raw
from tests.bad_input.trial import differences, said

REPORTS = "MIMIC-CXR-JPG/mimic-cxr-reports.zip"
GRAPHS = "CHEST_IMA/silver_dataset/scene_graph.zip"
GROUNDED = "PadChest/grounded*.json"
COCO = "MS-CXR/*.json"


def _coco(damage: Damage) -> Damage:
    """Damage the COCO file of MS-CXR where there is no table that would be read first."""

    def both(data: Path) -> None:
        place(data, "MS-CXR/*.csv").unlink()
        damage(data)

    return both


ERRORS: dict[str, tuple[str, Damage, str]] = {
    "half an archive of reports": ("mimic", raw(REPORTS, half), "cannot be read as a zip archive; it may be cut"),
    "an empty archive of reports": ("mimic", raw(REPORTS, become(b"")), "cannot be read as a zip archive"),
    "an archive without reports": ("mimic", raw(REPORTS, become(b"PK\5\6" + bytes(18))), "holds no report"),
    "an empty folder of reports": ("mimic", instead(REPORTS, folder), "holds no report"),
    "half an archive of scene graphs": ("imagenome", raw(GRAPHS, half), "cannot be read as a zip archive"),
    "half the grounded reports": ("padchest-gr", raw(GROUNDED, half), "cannot be read as JSON; it may be cut short"),
    "grounded reports that are no list": ("padchest-gr", raw(GROUNDED, become(b"{}")), "is not a list of reports"),
    "grounded reports too deep": ("padchest-gr", raw(GROUNDED, nested), "cannot be read as JSON"),
    "grounded reports in Latin-1": ("padchest-gr", raw(GROUNDED, become(b'["\xe9"]')), "cannot be read as JSON"),
    "half a COCO file": ("mscxr", _coco(raw(COCO, half)), "cannot be read as a COCO file"),
    "a COCO file too deep": ("mscxr", _coco(raw(COCO, nested)), "cannot be read as a COCO file"),
    "a COCO file that is a list": ("mscxr", _coco(raw(COCO, become(b"[]"))), "cannot be read as a COCO file"),
    "a COCO file without boxes": (
        "mscxr",
        _coco(raw(COCO, document(lambda coco: coco["annotations"].clear()))),
        "holds no annotations",
    ),
    "a file in place of the folder of XML": (
        "openi",
        instead("NLMCXR/ecgen-radiology", plain_file),
        "cannot be read as a tar archive",
    ),
    "an empty folder of XML": ("openi", instead("NLMCXR/ecgen-radiology", folder), "holds no Open-i report"),
}


@pytest.mark.parametrize(("source", "damage", "message"), ERRORS.values(), ids=ERRORS)
def test_a_file_that_cannot_be_read_is_one_clear_error(begin: Begin, source: str, damage: Damage, message: str) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    error = said(trial.prepare(source))
    assert re.search(message, error), error
    trial.mend()
    assert trial.prepare(source).code in (0, 4)
    assert not differences(undamaged, trial.content())


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 200_000])
def test_a_bad_file_of_sexes_is_one_clear_error(begin: Begin, content: bytes) -> None:
    trial, _ = begin("mimic")
    (trial.data / "MIMIC-CXR-JPG" / "genders.json").write_bytes(content)
    assert "genders.json" in said(trial.prepare("mimic"))
