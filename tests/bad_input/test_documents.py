"""Archives and documents with a bad item: it is told, and the others go on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.bad_input.conftest import Begin
from tests.bad_input.damage import (
    Damage,
    become,
    document,
    folder,
    half,
    instead,
    member,
    nested,
    raw,
    swap,
)
from tests.bad_input.trial import differences

REPORTS = "MIMIC-CXR-JPG/mimic-cxr-reports.zip"
GRAPHS = "CHEST_IMA/silver_dataset/scene_graph.zip"
LABELS = "CheXpert/chexbert_labels/report_fixed.json"
GROUNDED = "PadChest/grounded*.json"
XML = "NLMCXR/ecgen-radiology/2.xml"

Seen = dict[str, int]
_GRAPH_GONE = {"grounding gone": 1, "failed: the scene graph is damaged": 1}
_XML_GONE = {"image gone": 2, "report gone": 1}
_LABEL_GONE = {"image.labels": 1, "skipped: 1 images have no row in the label file: labels unknown": 1}


def _first_boxes(records: Any) -> Any:
    return next(finding["boxes"] for record in records for finding in record["findings"] if finding["boxes"])


DAMAGES: dict[str, tuple[str, Damage, int, Seen]] = {
    "a flipped byte in an archive": (
        "mimic",
        raw(REPORTS, member(".txt", lambda content: content, corrupt=True)),
        4,
        {"report gone": 1, "failed: damaged, or packed in a way that cannot be read": 1},
    ),
    "a report in Latin-1": (
        "mimic",
        raw(REPORTS, member(".txt", become(b"FINDINGS: \xe9"))),
        4,
        {"report gone": 1, "failed: the report is not UTF-8 text": 1},
    ),
    "a report of zeros": (
        "mimic",
        raw(REPORTS, member(".txt", become(bytes(400)))),
        4,
        {"report gone": 1, "failed: the report holds zero bytes: a part of it is lost": 1},
    ),
    "an empty report": (
        "mimic",
        raw(REPORTS, member(".txt", become(b""))),
        0,
        {
            "report.findings": 1,
            "report.impression": 1,
            "report.comparison": 1,
            "report.history": 1,
            "skipped: the report is empty; it is kept without sections": 1,
        },
    ),
    "a flipped byte in the scene graphs": (
        "imagenome",
        raw(GRAPHS, member(".json", lambda content: content, corrupt=True)),
        4,
        {"grounding gone": 1, "failed: damaged, or packed in a way that cannot be read": 1},
    ),
    "a scene graph that is no JSON": ("imagenome", raw(GRAPHS, member(".json", become(b"{"))), 4, _GRAPH_GONE),
    "a scene graph without objects": ("imagenome", raw(GRAPHS, member(".json", become(b"{}"))), 4, _GRAPH_GONE),
    "half a scene graph": ("imagenome", raw(GRAPHS, member(".json", half)), 4, _GRAPH_GONE),
    "a scene graph too deep": ("imagenome", raw(GRAPHS, member(".json", nested)), 4, _GRAPH_GONE),
    "a corner in words": (
        "imagenome",
        raw(GRAPHS, member(".json", document(lambda graph: graph["objects"][0].update(original_x1="left")))),
        0,
        {"grounding.boxes": 1, "skipped: box dropped: not a number": 1},
    ),
    "a grounded box in words": (
        "padchest-gr",
        raw(GROUNDED, document(lambda records: _first_boxes(records)[0].__setitem__(0, "left"))),
        0,
        {"grounding.boxes": 1, "skipped: box not four numbers": 1},
    ),
    "a grounded box in pixels": (
        "padchest-gr",
        raw(GROUNDED, document(lambda records: _first_boxes(records)[0].__setitem__(2, 512))),
        0,
        {"grounding.boxes": 1, "skipped: box in pixels, or far outside the image": 1},
    ),
    "a grounded box with NaN": (
        "padchest-gr",
        raw(GROUNDED, document(lambda records: _first_boxes(records)[0].__setitem__(2, float("nan")))),
        0,
        {"grounding.boxes": 1, "skipped: box not a number": 1},
    ),
    "no grounded report at all": (
        "padchest-gr",
        raw(GROUNDED, become(b"[]")),
        0,
        {
            "grounding gone": 39,
            "skipped: the image has no grounded report": 19,
            "skipped: the English sentence is blank (gone)": 1,
        },
    ),
    "a broken line of labels": (
        "chexpert-plus",
        raw(LABELS, swap("{", "[")),
        4,
        _LABEL_GONE | {"failed: the line is not a row of labels": 1},
    ),
    "a label of 0.5 in JSON Lines": (
        "chexpert-plus",
        raw(LABELS, swap(": 1.0", ": 0.5")),
        4,
        _LABEL_GONE | {"failed: a label is none of 1, 0, -1 and null": 1},
    ),
    "an empty label file": (
        "chexpert-plus",
        raw(LABELS, become(b"")),
        0,
        {"image.labels": 22, "skipped: 22 images have no row in the label file: labels unknown": 1},
    ),
    "half an XML report": ("openi", raw(XML, half), 4, _XML_GONE | {"failed: the file is not well-formed XML": 1}),
    "an XML report that is a web page": (
        "openi",
        raw(XML, become(b"<html/>")),
        4,
        _XML_GONE | {"failed: the file is not an Open-i report": 1},
    ),
    "an XML report that could expand without end": (
        "openi",
        raw(XML, lambda content: b'<!DOCTYPE x [<!ENTITY a "b">]>' + content),
        4,
        _XML_GONE | {"failed: the XML declares a document type or entities, or is UTF-16": 1},
    ),
    "a folder called .xml": (
        "openi",
        instead(XML, folder),
        4,
        _XML_GONE | {"failed: the file cannot be read: Is a directory": 1},
    ),
}


@pytest.mark.parametrize(("source", "damage", "code", "seen"), DAMAGES.values(), ids=DAMAGES)
def test_a_bad_item_is_told_and_the_others_go_on(
    begin: Begin, source: str, damage: Damage, code: int, seen: Seen
) -> None:
    trial, undamaged = begin(source)
    damage(trial.data)
    assert trial.prepare(source).code == code
    assert differences(undamaged, trial.content()) == Counter(seen)
    trial.mend()
    trial.prepare(source)
    assert not differences(undamaged, trial.content()), "the damage left something behind"
    damage(trial.data)
    trial.prepare(source)
    assert differences(undamaged, trial.content()) == Counter(seen), "a store with rows takes it otherwise"
