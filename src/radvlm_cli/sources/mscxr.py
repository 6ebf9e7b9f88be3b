"""MS-CXR: sentences about MIMIC-CXR images with the boxes that radiologists drew for them.

Its own split (from version 1.1.0 on) does not follow MIMIC-CXR's and would put training patients into test, so it is
kept as a detail only: groundings have no split, and that of their image counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Box, Grounding, Outcome
from radvlm_cli.sources import Images, Options, Resolution, Source
from radvlm_cli.sources.archive import read_files
from radvlm_cli.sources.boxes import encode_boxes, normalise
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.tables import read_table

_HINT = "Download the file again and compare its checksum, then run the same command again."
_NORMALISED = (1, 1)
"""Width and height of an image whose boxes are normalised already."""
_SENTENCE_FILE = re.compile(r"^(?!\._)([^/]+)\.json$")

INFO = Info(
    name="mscxr",
    title="MS-CXR",
    folders=("MS-CXR", "MS_CXR", "mscxr"),
    obtain="https://physionet.org/content/ms-cxr/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    credentialed=True,
    requirements=(
        Requirement(
            "boxes",
            (
                "MS_CXR_Local_Alignment_v1.1.0.csv",
                "MS_CXR_Local_Alignment_v1.0.0.csv",
                "MS_CXR_Local_Alignment_v*.json",
                "sentences_BBox_mscxr",
                "sentences_and_BBox_mscxr",
            ),
            "sentences and boxes",
        ),
    ),
    needs=("mimic",),
)


class _Row(NamedTuple):
    """One box with its sentence. Sizes are None where the file does not say."""

    item: str
    image_id: str
    category: str | None
    sentence: str
    corners: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max in pixels of an image of `width` x `height`."""
    width: float | None
    height: float | None
    split: str | None


class _Phrase(NamedTuple):
    """What the rows of one sentence on one image say together."""

    boxes: list[Box]
    categories: list[str]
    splits: list[str]


class MsCxr(Source):
    """One grounding for each sentence on an image, with all its boxes in the order of the file."""

    info = INFO

    def groundings(self, layout: Layout, options: Options, images: Images) -> Iterator[Grounding | Outcome]:
        """Every sentence, in the order of the table, else the COCO file, else the folder of derived files."""
        layout.require()
        path = layout.path("boxes")
        rows = _adopted_rows(path) if path.is_dir() else _coco_rows(path) if path.suffix == ".json" else _rows(path)
        phrases: dict[tuple[str, str], _Phrase] = {}
        yield from _collect(rows, images, phrases)
        ordinals: dict[str, int] = {}
        for (image_id, sentence), phrase in phrases.items():
            if phrase.boxes:
                ordinal = ordinals.get(image_id, 0)
                ordinals[image_id] = ordinal + 1
                yield _grounding(image_id, ordinal, sentence, phrase)


def write_sentence_boxes(path: Path, groundings: Iterable[Grounding]) -> None:
    """Write the groundings of one image as `sentences_BBox_mscxr/<image>.json` of the published layout.

    A list with one entry a box: `observation`, the sentence, and `box`, normalised xyxy.
    """
    entries = [{"observation": g.phrase, "box": box} for g in groundings for box in json.loads(g.boxes)]
    with atomic_write(path, sync=False) as stream:
        json.dump(entries, stream, indent=4, ensure_ascii=False)


def _collect(
    rows: Iterable[_Row | Outcome], images: Images, phrases: dict[tuple[str, str], _Phrase]
) -> Iterator[Outcome]:
    """Fill `phrases`: (image, sentence) -> its boxes. Tell of rows that are no good, and of images of another size."""
    told: set[str] = set()
    for row in rows:
        if isinstance(row, Outcome):
            yield row
            continue
        known = images.get(row.image_id)
        if known is None:
            yield Outcome(row.image_id, "skipped", "the image is not among those of MIMIC-CXR")
            continue
        width, height = row.width or known.width, row.height or known.height
        if width is None or height is None:
            yield Outcome(row.item, "failed", "the size of the image is not known")
            continue
        if row.image_id not in told and _contradicts(row, known):
            told.add(row.image_id)
            yield Outcome(row.image_id, "skipped", "the size differs from MIMIC-CXR's; the boxes keep their own")
        found = normalise(*row.corners, width, height)
        phrase = phrases.setdefault((row.image_id, row.sentence), _Phrase([], [], []))
        if found.box is None:
            yield Outcome(row.item, "skipped", f"box dropped: {found.problem}")
        elif found.box in phrase.boxes:
            yield Outcome(row.item, "skipped", "box dropped: listed twice")
        else:
            phrase.boxes.append(found.box)
            for value, values in ((row.category, phrase.categories), (row.split, phrase.splits)):
                if value is not None and value not in values:
                    values.append(value)


def _contradicts(row: _Row, known: Resolution) -> bool:
    """Whether the row and MIMIC-CXR both tell the size of the image, and not the same."""
    both = None not in (row.width, row.height, known.width, known.height)
    return both and (row.width, row.height) not in ((known.width, known.height), _NORMALISED)


def _grounding(image_id: str, ordinal: int, sentence: str, phrase: _Phrase) -> Grounding:
    detail = {}
    if phrase.splits:
        detail["split"] = phrase.splits[0] if len(phrase.splits) == 1 else phrase.splits
    if len(phrase.categories) > 1:
        detail["categories"] = phrase.categories
    return Grounding(
        source="mscxr",
        image_source="mimic",
        image_id=image_id,
        kind="phrase",
        ordinal=ordinal,
        split=None,
        label=phrase.categories[0] if phrase.categories else None,
        phrase=sentence,
        boxes=encode_boxes(phrase.boxes),
        detail=canonical_json(detail) if detail else None,
    )


def _rows(table: Path) -> Iterator[_Row | Outcome]:
    """The rows of the table, one a box."""
    columns = ["dicom_id", "category_name", "label_text", "x", "y", "w", "h", "image_width", "image_height"]
    for number, row in enumerate(read_table(table, columns, optional=["split"]), 1):
        image_id, category, sentence, *numbers, split = row
        yield _row(f"{table.name} row {number}", image_id, category, sentence, numbers, split)


def _coco_rows(path: Path) -> Iterator[_Row | Outcome]:
    """The annotations of the COCO file, one a box; several of its images may be the same one."""
    try:
        coco = json.loads(path.read_bytes())
        images = {image["id"]: image for image in coco["images"]}
        categories = {category["id"]: category["name"] for category in coco["categories"]}
        annotations = list(coco["annotations"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as a COCO file.", _HINT) from error
    if not annotations:
        raise DataError(f"{path} holds no annotations.", _HINT)
    for number, annotation in enumerate(annotations, 1):
        item = f"{path.name} annotation {number}"
        try:
            image = images[annotation["image_id"]]
            x, y, w, h = annotation["bbox"]
            numbers = [x, y, w, h, image["width"], image["height"]]
            image_id = Path(image["file_name"]).stem
            category = categories.get(annotation["category_id"])
            yield _row(item, image_id, category, annotation["label_text"], numbers, None)
        except (KeyError, TypeError, ValueError):
            yield Outcome(item, "failed", "the annotation lacks its image, box or sentence")


def _row(
    item: str, image_id: str | None, category: str | None, sentence: str | None, numbers: list[Any], split: str | None
) -> _Row | Outcome:
    """Check one row; `numbers` are x, y, w, h, image width and height."""
    if not image_id or not isinstance(sentence, str) or not sentence.strip():
        return Outcome(item, "failed", "the image or the sentence is blank")
    try:
        x, y, w, h = (float(number) for number in numbers[:4])
    except (TypeError, ValueError):
        return Outcome(item, "failed", "x, y, w or h is not a number")
    width, height = (_size(number) for number in numbers[4:])
    return _Row(item, image_id, category, sentence, (x, y, x + w, y + h), width, height, split)


def _size(value: Any) -> float | None:
    """A positive number of pixels, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float("inf") else None


def _adopted_rows(folder: Path) -> Iterator[_Row | Outcome]:
    """The boxes of files that `write_sentence_boxes` or the published code wrote: normalised, without categories."""
    for file in read_files(folder, _SENTENCE_FILE, depth=0):
        try:
            entries = list(json.loads(file.content))
        except (ValueError, TypeError, RecursionError):
            yield Outcome(file.name, "failed", file.problem or "the file is not a JSON list")
            continue
        for number, entry in enumerate(entries, 1):
            item = f"{file.name} box {number}"
            try:
                x_min, y_min, x_max, y_max = map(float, entry["box"])
                sentence = entry["observation"]
            except (ValueError, KeyError, TypeError):
                yield Outcome(item, "failed", "the entry is not an observation with a box of four numbers")
                continue
            numbers = [x_min, y_min, x_max - x_min, y_max - y_min, *_NORMALISED]
            yield _row(item, file.name.removesuffix(".json"), None, sentence, numbers, None)
