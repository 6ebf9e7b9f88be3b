"""VinDr-CXR: 18,000 DICOM chest X-rays with boxes, by three readers each (train) or by consensus (test).

The Kaggle release (VinBigData: the training set without its eight rarest classes) is read as well.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radvlm_cli.errors import DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Box, Grounding, Image, Outcome, Split
from radvlm_cli.sources import Conversion, Images, Options, Source
from radvlm_cli.sources.boxes import encode_boxes, normalise
from radvlm_cli.sources.fusion import fuse
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import read_header, read_table

NO_FINDING = "No finding"
SPLITS: tuple[Split, ...] = ("train", "test")
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
CLASSES = frozenset((
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation",
    "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst",
    "Mediastinal shift", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax",
    "Pulmonary fibrosis", "Rib fracture",
))  # fmt: skip
"""Those that have boxes; the other six are said of whole images."""
_ALIASES = {"Other diseases": "Other disease"}
_READER = ("rad_id", "rad_ID")
_HINT = "Delete it and run: radvlm prepare --source vindr"


def _either(name: str) -> tuple[str, str]:
    """A table's places: those of the official release and of the published README."""
    return f"annotations/{name}", name


INFO = Info(
    name="vindr",
    title="VinDr-CXR",
    folders=("VinDr-CXR", "vindr-cxr", "vinbigdata-chest-xray-abnormalities-detection"),
    obtain="https://physionet.org/content/vindr-cxr/1.0.0/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    credentialed=True,
    requirements=(
        Requirement("annotations_train", (*_either("annotations_train.csv"), "train.csv"), "train boxes"),
        Requirement("annotations_test", _either("annotations_test.csv"), "test boxes", needed=False),
        Requirement("labels_train", _either("image_labels_train.csv"), "train image labels", needed=False),
        Requirement("labels_test", _either("image_labels_test.csv"), "test image labels", needed=False),
        Requirement("dicom_train", ("train",), "train DICOM files", needed=False),
        Requirement("dicom_test", ("test",), "test DICOM files", needed=False),
    ),
)


class _Mark(NamedTuple):
    """One box of one reader, in pixels as the table has them."""

    name: str
    reader: str | None
    corners: tuple[float, float, float, float]


class VinDr(Source):
    """Images (converted from DICOM) and boxes, those of several readers fused."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every image that a table or a DICOM file names, train then test, by id."""
        layout.require()
        seen: set[str] = set()
        for split in SPLITS:
            sizes = _resolutions(layout, split)
            labels = yield from _labels(layout, split)
            dicoms = _dicoms(layout, split)
            names = {name for name, _ in _annotations(layout, split) if name}
            for name in sorted(names | labels.keys() | dicoms.keys()):
                if name in seen:
                    yield Outcome(name, "failed", "in train and in test; it counts as train")
                    continue
                seen.add(name)
                target = _target(layout, split, name)
                status, reason = presence(target, options)
                if status == "missing":
                    reason = "not converted yet" if name in dicoms else "DICOM file not found"
                height, width = sizes.get(name, (None, None))
                yield Image(
                    source="vindr",
                    image_id=name,
                    patient_id=None,
                    study_id=name,
                    split=split,
                    view=None,
                    root="derived",
                    path=layout.relative_derived(target),
                    width=width,
                    height=height,
                    sex=None,
                    age=None,
                    labels=labels.get(name),
                    status=status,
                    reason=reason,
                )

    def conversions(self, layout: Layout, options: Options) -> Iterator[Conversion]:
        """Every DICOM file, train then test, by id."""
        seen: set[str] = set()
        for split in SPLITS:
            for name, path in sorted(_dicoms(layout, split).items()):
                if name not in seen:
                    seen.add(name)
                    yield Conversion(name, path, _target(layout, split, name), published=True)

    def groundings(self, layout: Layout, options: Options, images: Images) -> Iterator[Grounding | Outcome]:
        """One for each image and class with a valid box, by image and class.

        The boxes of a class are fused. Those of the test set are a consensus already, and fusing makes one of two that
        overlap; it is done all the same, because the published code does it and its test figures rest on that.
        """
        layout.require()
        seen: set[str] = set()
        for split in SPLITS:
            seen |= yield from _split_groundings(layout, split, images, seen)


def write_resolutions(path: Path, rows: Iterable[tuple[str, int, int]]) -> None:
    """Write (image id, height, width) in the published form {id: [height, width]}; entries of others stay."""
    content = read_resolutions(path) if path.is_file() else {}
    content.update({name: [height, width] for name, height, width in rows})
    with atomic_write(path) as stream:
        json.dump(dict(sorted(content.items())), stream)


def _split_groundings(
    layout: Layout, split: Split, images: Images, seen: set[str]
) -> Generator[Grounding | Outcome, None, set[str]]:
    """Leave out the images that an earlier split has `seen`; return those of this split."""
    names: set[str] = set()
    groups: dict[tuple[str, str], tuple[list[_Mark], list[Box]]] = {}
    unknown: set[str] = set()
    for name, mark in _annotations(layout, split):
        if isinstance(mark, Outcome):
            yield mark
            continue
        names.add(name)
        if mark is None or name in seen:
            continue
        image = images.get(name)
        if image is None or image.width is None or image.height is None:
            unknown.add(name)
            continue
        made = normalise(*mark.corners, image.width, image.height)
        if made.box is None:
            yield Outcome(f"{name} {mark.name} {mark.corners}", "skipped", f"box {made.problem}")
            continue
        marks, boxes = groups.setdefault((name, mark.name), ([], []))
        marks.append(mark)
        boxes.append(made.box)
    for name in sorted(unknown):
        yield Outcome(name, "failed", "the true resolution is unknown: neither DICOM file nor resolution table has it")
    yield from _write_groups(split, groups)
    return names


def _write_groups(split: Split, groups: dict[tuple[str, str], tuple[list[_Mark], list[Box]]]) -> Iterator[Grounding]:
    keys = sorted(groups)
    counts = [len(groups[key][1]) for key in keys]
    stacked = np.array([box for key in keys for box in groups[key][1]], np.float64).reshape(-1, 4)
    made = fuse(stacked, np.repeat(np.arange(len(keys)), counts))
    starts = np.searchsorted(made.group, np.arange(len(keys) + 1))
    fused = {key: made.boxes[starts[n] : starts[n + 1]].tolist() for n, key in enumerate(keys)}
    for image, pairs in groupby(keys, key=lambda key: key[0]):
        for ordinal, key in enumerate(pairs):
            marks, boxes = groups[key]
            detail = {"boxes": len(boxes)}
            if readers := {mark.reader for mark in marks if mark.reader is not None}:
                detail["readers"] = len(readers)
            yield Grounding(
                source="vindr",
                image_source="vindr",
                image_id=image,
                kind="abnormality",
                ordinal=ordinal,
                split=split,
                label=key[1],
                phrase=None,
                boxes=encode_boxes([Box(*box) for box in fused[key]]),
                detail=canonical_json(detail),
            )


def _annotations(layout: Layout, split: Split) -> Iterator[tuple[str, _Mark | Outcome | None]]:
    """Image id with one box, None for a row without one (`No finding`), or what is wrong with the row."""
    if f"annotations_{split}" not in layout.found:
        return
    table = layout.path(f"annotations_{split}")
    reader_column = next((name for name in _READER if name in read_header(table)), _READER[0])
    rows = read_table(table, ["image_id", "class_name", *_CORNERS], optional=[reader_column])
    for number, (image, name, *cells) in enumerate(rows, 1):
        *corners, reader = cells
        if image is None or "/" in image:
            yield "", _no_name(f"{table.name} row {number}", image)
        elif name is None:
            yield image, Outcome(f"{image} row {number}", "failed", "the class_name is blank")
        elif all(corner is None for corner in corners):
            yield image, None
            if name != NO_FINDING:
                yield image, Outcome(f"{image} {name} row {number}", "skipped", "a finding without a box")
        elif name == NO_FINDING:
            yield image, Outcome(f"{image} {name} row {number}", "skipped", "a box on a row that says no finding")
        elif name not in CLASSES:
            yield image, Outcome(f"{image} {name} row {number}", "failed", "the class is none that has boxes")
        else:
            try:
                x_min, y_min, x_max, y_max = (float(corner or "nan") for corner in corners)
            except ValueError:
                yield image, Outcome(f"{image} {name} row {number}", "failed", "a corner of the box is not a number")
                continue
            yield image, _Mark(name, reader, (x_min, y_min, x_max, y_max))


def _no_name(row: str, image: str | None) -> Outcome:
    return Outcome(row, "failed", "the image_id is blank" if image is None else "the image_id is not a plain name")


def _labels(layout: Layout, split: Split) -> Generator[Outcome, None, dict[str, str]]:
    """Image id -> canonical JSON over the 28 classes: 1 all readers say so, 0 none does, -1 they disagree."""
    votes: dict[str, list[tuple[str | None, ...]]] = {}
    names: list[str] = []
    if f"labels_{split}" in layout.found:
        table = layout.path(f"labels_{split}")
        names = [name for name in read_header(table) if name not in ("image_id", *_READER)]
        for number, (image, *cells) in enumerate(read_table(table, ["image_id", *names]), 1):
            if image is None or "/" in image:
                yield _no_name(f"{table.name} row {number}", image)
            elif not all(cell in ("0", "1", "0.0", "1.0") for cell in cells):
                yield Outcome(f"{image} row {number}", "failed", "a label is neither 0 nor 1")
            else:
                votes.setdefault(image, []).append(tuple(cells))
    return {image: _agreed(names, rows) for image, rows in votes.items()}


def _agreed(names: list[str], rows: list[tuple[str | None, ...]]) -> str:
    verdict = {}
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        said = {cell is not None and cell.startswith("1") for cell in cells}
        verdict[_ALIASES.get(name, name)] = -1 if len(said) > 1 else int(said.pop())
    return canonical_json(verdict)


def _dicoms(layout: Layout, split: Split) -> dict[str, Path]:
    folder = layout.found.get(f"dicom_{split}")
    if folder is None or not folder.is_dir():
        return {}
    return {path.stem: path for path in folder.iterdir() if path.suffix in (".dicom", ".dcm")}


def _target(layout: Layout, split: Split, name: str) -> Path:
    return layout.derived / f"{split}_jpg" / f"{name}.jpg"


def _resolutions(layout: Layout, split: Split) -> dict[str, tuple[int, int]]:
    """Image id -> (height, width), from the files that prepare or the published code wrote; ours count first.

    They are no requirement of the layout: what prepare writes itself must not make it read everything again.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for folder in (layout.derived, *layout.folders):
        for name in _either(f"image_resolutions_{split}.json"):
            path = folder / name
            for image, (height, width) in (read_resolutions(path) if path.is_file() else {}).items():
                sizes.setdefault(image, (height, width))
    return sizes


def read_resolutions(path: Path) -> dict[str, list[int]]:
    """Read {id: [height, width]}, the published form; DataError for a file that holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON.", _HINT) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not an object of image sizes.", _HINT)
    for size in content.values():
        if not (isinstance(size, list) and len(size) == 2 and all(isinstance(s, int) and s > 0 for s in size)):
            raise DataError(f"{path}: the size of an image is not [height, width] in pixels.", _HINT)
    return content
