"""Phantom Chest ImaGenome: scene graphs of phantom MIMIC-CXR images, faults of the real ones included."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.mimic_patients import Picture, Study
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.regions import affected, regions
from radvlm_cli.demo.sentences import sentence
from radvlm_cli.demo.tables import write_bytes, write_table, write_zip

_Split = Literal["train", "valid", "test", "avoid"]
_SPLIT_NAMES = {"train": "train", "valid": "validation", "test": "test"}
_SPLITS: tuple[_Split, ...] = ("train", "train", "train", "train", "train", "test", "test", "valid")
_HOSTS: dict[str, str] = {
    "findings_only": "faulty_boxes",
    "impression_only": "few_objects",
    "last_paragraph_only": "no_valid_box",
    "duplicate_findings": "without_graph",
    "wet_read": "to_avoid",
    "addendum": "test_in_mimic_train",
    "test_phrase": "train_in_mimic_test",
    "several_phrases": "bbox_name_false",
    "validation_phrase": "validation",
}
"""Which MIMIC-CXR case also shows which case of the scene graphs."""
_OWN_SPLIT: dict[str, _Split] = {"to_avoid": "avoid", "test_in_mimic_train": "test", "validation": "valid"}
"""So no table of a split is empty, however few ordinary patients there are."""
_FRAME = 224
_CONCEPTS = ("C0024109", "C0817096")

Object = dict[str, Any]


class _Graph(NamedTuple):
    """One image with its scene graph."""

    study: Study
    picture: Picture
    case: str
    split: _Split
    objects: list[Object]
    dropped: dict[str, int]
    """Boxes that cannot be used, by reason."""

    @property
    def valid(self) -> int:
        return len(self.objects) - sum(self.dropped.values())


def write_imagenome(folder: Path, studies: Sequence[Study], *, seed: int, published: bool) -> Part:
    """Write splits, study list and scene graphs: zipped and nested, or (`published`) flat in a folder."""
    graphs = [_graph(s, p, seed) for s in studies for p in s.pictures if _is_annotated(s, p, seed)]
    silver = folder / "silver_dataset"
    _write_splits(silver / "splits", graphs)
    members = {f"{g.picture.dicom_id}_SceneGraph.json": _document(g) for g in graphs if g.case != "without_graph"}
    if published:
        for name, text in members.items():
            write_bytes(silver / "scene_graph" / name, text.encode())
    else:
        write_zip(silver / "scene_graph.zip", {f"scene_graph/{name}": text for name, text in members.items()})
    rows = [
        (study.subject_id, study.study_id, f"{study.folder}.txt", _gender(study), f"{20 + study.subject_id % 7 * 10}-")
        for study in studies
    ]
    columns = ("subject_id", "study_id", "path", "gender", "age_decile")
    write_table(folder / "utils" / "cxr-study-list_v2.csv", columns, rows)
    return _part([graph for graph in graphs if graph.case != "without_graph"], graphs)


def _gender(study: Study) -> str | None:
    if study.case == "upper_case":
        return None
    return "F" if study.woman else "M"


def _is_annotated(study: Study, picture: Picture, seed: int) -> bool:
    """Nearly all frontal images; all of those that show a case of their own."""
    if not picture.frontal:
        return False
    return study.case != "" or bool(generator(seed, "imagenome", picture.dicom_id).random() < 0.9)


def _graph(study: Study, picture: Picture, seed: int) -> _Graph:
    case = _HOSTS.get(study.case, "")
    split: _Split = "train"
    if not study.case:
        # By patient, and blind to the split of MIMIC-CXR, like the real one.
        split = _SPLITS[generator(seed, "imagenome split", study.subject_id).integers(len(_SPLITS))]
    objects = [_object(picture, name, box) for name, box in regions(picture.chest).items()]
    dropped: dict[str, int] = {}
    if case == "faulty_boxes":
        dropped = _spoil(objects, picture)
    elif case == "few_objects":
        objects = objects[:20]
    elif case == "no_valid_box":
        objects = objects[:1]
        objects[0]["original_x2"], objects[0]["original_width"] = objects[0]["original_x1"], 0
        dropped = {"zero area": 1}
    return _Graph(study, picture, case, _OWN_SPLIT.get(case, split), objects, dropped)


def _object(picture: Picture, name: str, box: Sequence[float]) -> Object:
    width, height = picture.chest.width, picture.chest.height
    original = [round(box[0] * width), round(box[1] * height), round(box[2] * width), round(box[3] * height)]
    found: Object = {"object_id": f"{picture.dicom_id}_{name}"}
    found |= _corners("", _framed(original, width, height))
    found |= {"bbox_name": name, "synsets": list(_CONCEPTS), "name": name.capitalize()}
    return found | _corners("original_", original)


def _framed(original: Sequence[int], width: int, height: int) -> list[int]:
    """The same corners in the frame of 224 x 224 pixels that the image was padded and shrunk to."""
    scale = _FRAME / max(width, height)
    left, top = (_FRAME - width * scale) / 2, (_FRAME - height * scale) / 2
    return [round(value * scale + (left, top)[place % 2]) for place, value in enumerate(original)]


def _corners(prefix: str, corners: Sequence[int]) -> Object:
    x1, y1, x2, y2 = corners
    sizes = {f"{prefix}width": x2 - x1, f"{prefix}height": y2 - y1}
    return {f"{prefix}x1": x1, f"{prefix}y1": y1, f"{prefix}x2": x2, f"{prefix}y2": y2, **sizes}


def _spoil(objects: list[Object], picture: Picture) -> dict[str, int]:
    """Give the first objects a negative corner, one beyond the border, no area, and a place outside the image."""
    width, height = picture.chest.width, picture.chest.height
    places = [
        (-9, 20, width // 3, height // 2),
        (width // 2, height // 3, width + 13, height + 8),
        (50, 60, 50, 160),
        (width + 5, 40, width + 60, 90),
    ]
    for found, place in zip(objects, places, strict=False):
        found.update(_corners("original_", place))
    return {"outside the image": 1, "zero area": 1}


def _document(graph: _Graph) -> str:
    study, picture = graph.study, graph.picture
    date, time = study.moment
    document = {
        "image_id": picture.dicom_id,
        "viewpoint": picture.view,
        "patient_id": study.subject_id,
        "study_id": study.study_id,
        "gender": _gender(study),
        "age_decile": f"{20 + study.subject_id % 7 * 10}-",
        "reason_for_exam": "shortness of breath",
        "StudyOrder": 1,
        "StudyDateTime": f"{date // 10000}-{date // 100 % 100:02d}-{date % 100:02d} {int(time) // 10000:02d}:00:00",
        "objects": graph.objects,
        "attributes": _attributes(graph),
        "relationships": [],
    }
    return json.dumps(document)


def _attributes(graph: _Graph) -> list[Object]:
    attributes: list[Object] = []
    for finding in graph.study.findings:
        for region in affected(finding):
            text = sentence(finding)
            attributes.append(
                {
                    region: True,
                    "bbox_name": False if graph.case == "bbox_name_false" and not attributes else region,
                    "synsets": list(_CONCEPTS),
                    "name": region.capitalize(),
                    "attributes": [[f"anatomicalfinding|yes|{finding.kind}"]],
                    "attributes_ids": [["CL556823"]],
                    "phrases": [text],
                    "phrase_IDs": [f"{graph.study.study_id}|1"],
                    "sections": ["finalreport"],
                    "comparison_cues": [[]],
                    "temporal_cues": [[]],
                    "severity_cues": [[]],
                    "texture_cues": [[]],
                    "object_id": f"{graph.picture.dicom_id}_{region}",
                }
            )
    return attributes


def _write_splits(folder: Path, graphs: Sequence[_Graph]) -> None:
    columns = ("subject_id", "study_id", "dicom_id", "path", "ViewPosition")
    for split in _SPLIT_NAMES:
        rows = [_split_row(graph) for graph in graphs if graph.split == split]
        numbered = [(number, *row) for number, row in enumerate(rows)]
        write_table(folder / f"{split}.csv", ("", *columns), numbered)
    write_table(folder / "images_to_avoid.csv", columns, [_split_row(g) for g in graphs if g.split == "avoid"])


def _split_row(graph: _Graph) -> tuple[Any, ...]:
    study, picture = graph.study, graph.picture
    return study.subject_id, study.study_id, picture.dicom_id, f"{study.folder}/{picture.dicom_id}.dcm", picture.view


def _part(graphs: Sequence[_Graph], listed: Sequence[_Graph]) -> Part:
    usable = [graph for graph in graphs if graph.valid and graph.split != "avoid"]
    dropped: Counter[str] = Counter()
    for graph in graphs:
        dropped.update(graph.dropped)
    return Part(
        facts={
            "scene_graphs": len(graphs),
            "split_rows": dict(sorted(Counter(_SPLIT_NAMES.get(g.split, g.split) for g in listed).items())),
            "split_rows_without_graph": len(listed) - len(graphs),
            "groundings": {"region": sum(graph.valid for graph in graphs)},
            "images_with_groundings": sum(graph.valid > 0 for graph in graphs),
            "boxes_dropped": dict(sorted(dropped.items())),
        },
        components={
            "imagenome-region": [
                g.study.entry(g.picture) for g in usable if g.study.split == "train" and g.split == "train"
            ],
        },
        evaluation={"imagenome-region-test": [g.study.entry(g.picture) for g in usable if g.study.split == "test"]},
        cases={graph.case: graph.picture.dicom_id for graph in listed if graph.case},
    )
