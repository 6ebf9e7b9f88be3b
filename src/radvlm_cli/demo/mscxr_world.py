"""Phantom MS-CXR: phrases with boxes on images of phantom MIMIC-CXR."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.demo.chance import generator
from radvlm_cli.demo.conversations import Located
from radvlm_cli.demo.findings import KINDS
from radvlm_cli.demo.lesions import boxes
from radvlm_cli.demo.mimic_patients import Picture, Study
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.sentences import phrase
from radvlm_cli.demo.tables import write_json, write_table
from radvlm_cli.records import Box

_COLUMNS = (
    "dicom_id",
    "category_name",
    "label_text",
    "path",
    "x",
    "y",
    "w",
    "h",
    "image_width",
    "image_height",
)
_OWN_SPLITS = ("train", "val", "test")


class _Row(NamedTuple):
    """One box of the table."""

    study: Study
    picture: Picture
    category: str
    text: str
    box: tuple[int, int, int, int]
    """x, y, width, height in pixels."""

    @property
    def path(self) -> str:
        return f"{self.study.folder}/{self.picture.dicom_id}.jpg"


def located_phrases(study: Study, picture: Picture, seed: int) -> list[Located]:
    """What MS-CXR grounds on an image, in whole pixels: all its findings, or none, as with some images by chance."""
    if not picture.frontal:
        return []
    if study.case == "" and generator(seed, "mscxr", picture.dicom_id).random() < 0.25:
        return []
    named = [finding for finding in picture.chest.findings if KINDS[finding.kind].mscxr is not None]
    sizes = (picture.chest.width, picture.chest.height) * 2
    return [
        Located(
            finding,
            tuple(
                Box(*(round(corner * size) / size for corner, size in zip(box, sizes, strict=True)))
                for box in boxes(picture.chest, finding)
            ),
        )
        for finding in named
    ]


def write_mscxr(folder: Path, studies: Sequence[Study], *, seed: int, published: bool) -> Part:
    """Write the table and the COCO file: version 1.1.0 with its own splits, or 1.0.0 without."""
    rows = [row for study in studies for picture in study.pictures for row in _rows(study, picture, seed)]
    name = f"MS_CXR_Local_Alignment_v1.{0 if published else 1}.0"
    columns = _COLUMNS if published else (*_COLUMNS, "split")
    cells = [_cells(row) if published else (*_cells(row), _own_split(row, seed)) for row in rows]
    write_table(folder / f"{name}.csv", columns, cells)
    write_json(folder / f"{name}.json", _coco(rows))
    phrases = {(row.picture.dicom_id, row.text): row for row in rows}
    split_of = {key: row.study.split for key, row in phrases.items()}
    boxes_of = Counter((row.picture.dicom_id, row.text) for row in rows)
    images = Counter(dicom_id for dicom_id, _ in phrases)
    return Part(
        facts={
            "rows": len(rows),
            "images": len(images),
            "groundings": {"phrase": len(phrases)},
            "boxes_dropped": {},
            "phrases_by_mimic_split": dict(sorted(Counter(split_of.values()).items())),
        },
        components={
            "mscxr-phrase": [r.study.entry(r.picture) for k, r in phrases.items() if split_of[k] != "test"],
        },
        evaluation={
            "mscxr-phrase-test": [r.study.entry(r.picture) for k, r in phrases.items() if split_of[k] == "test"],
        },
        cases={
            "several_boxes_per_phrase": next(key[0] for key, count in boxes_of.items() if count > 1),
            "several_phrases_per_image": next(dicom_id for dicom_id, count in images.items() if count > 1),
            "listed_twice_in_coco": _listed_twice(rows),
            "validation_image": next(key[0] for key, split in split_of.items() if split == "validate"),
        },
    )


def _rows(study: Study, picture: Picture, seed: int) -> list[_Row]:
    width, height = picture.chest.width, picture.chest.height
    rows = []
    for finding, found in located_phrases(study, picture, seed):
        for box in found:
            x, y = round(box.x_min * width), round(box.y_min * height)
            pixels = (x, y, round(box.x_max * width) - x, round(box.y_max * height) - y)
            rows.append(_Row(study, picture, str(KINDS[finding.kind].mscxr), phrase(finding), pixels))
    return rows


def _cells(row: _Row) -> tuple[Any, ...]:
    size = row.picture.chest.width, row.picture.chest.height
    return (row.picture.dicom_id, row.category, row.text, row.path, *row.box, *size)


def _own_split(row: _Row, seed: int) -> str:
    """MS-CXR's own split, which does not follow MIMIC-CXR's."""
    return _OWN_SPLITS[generator(seed, "mscxr split", row.picture.dicom_id).integers(3)]


def _listed_twice(rows: Sequence[_Row]) -> str:
    """The image with the most boxes, which the COCO file lists twice."""
    return Counter(row.picture.dicom_id for row in rows).most_common(1)[0][0]


def _coco(rows: Sequence[_Row]) -> dict[str, Any]:
    """The COCO file; the first box of the image that is listed twice belongs to its second entry, at the end."""
    categories = sorted({row.category for row in rows})
    twice = _listed_twice(rows)
    listed = [*dict.fromkeys(row.picture.dicom_id for row in rows), twice]
    moved = next(number for number, row in enumerate(rows) if row.picture.dicom_id == twice)
    by_id = {row.picture.dicom_id: row for row in rows}
    images = [
        {
            "id": number,
            "file_name": f"{dicom_id}.jpg",
            "path": by_id[dicom_id].path,
            "width": by_id[dicom_id].picture.chest.width,
            "height": by_id[dicom_id].picture.chest.height,
        }
        for number, dicom_id in enumerate(listed, 1)
    ]
    annotations = [
        {
            "id": number + 1,
            "image_id": len(images) if number == moved else listed.index(row.picture.dicom_id) + 1,
            "category_id": categories.index(row.category) + 1,
            "bbox": list(row.box),
            "label_text": row.text,
        }
        for number, row in enumerate(rows)
    ]
    named = [{"id": number, "name": name} for number, name in enumerate(categories, 1)]
    return {"images": images, "annotations": annotations, "categories": named}
