"""Chest ImaGenome: a box for each of up to 36 anatomical regions of frontal MIMIC-CXR images, found automatically.

Its split does not follow MIMIC-CXR's; a grounding keeps it as its own. Images of the gold patients
(`images_to_avoid.csv`), and the few graphs that no table lists, have none, so that no split takes them in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Grounding, Outcome, Split
from radvlm_cli.sources import Images, Options, Resolution, Source
from radvlm_cli.sources.archive import File, read_files
from radvlm_cli.sources.boxes import Normalised, encode_boxes, normalise
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.tables import read_table

_GRAPH_NAME = re.compile(r"(?:^|/)(?!\._)([^/]+)_SceneGraph\.json$")
_TABLES: tuple[tuple[str, Split | None], ...] = (
    ("avoid", None),
    ("train", "train"),
    ("valid", "validation"),
    ("test", "test"),
)


class _Object(TypedDict):
    """What is read of an object of a scene graph; corners in pixels of the original image."""

    bbox_name: str
    original_x1: int
    original_y1: int
    original_x2: int
    original_y2: int


_OBJECTS = TypeAdapter(list[_Object])
_corners = itemgetter("original_x1", "original_y1", "original_x2", "original_y2")

INFO = Info(
    name="imagenome",
    title="Chest ImaGenome",
    folders=("CHEST_IMA", "chest-imagenome", "chest_imagenome", "ChestImaGenome"),
    obtain="https://physionet.org/content/chest-imagenome/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    credentialed=True,
    requirements=(
        Requirement(
            "graphs",
            ("silver_dataset/scene_graph.zip", "silver_dataset/scene_graph", "scene_graph.zip", "scene_graph"),
            "scene graphs",
        ),
        Requirement("train", ("silver_dataset/splits/train.csv", "splits/train.csv"), "train split"),
        Requirement("valid", ("silver_dataset/splits/valid.csv", "splits/valid.csv"), "validation split"),
        Requirement("test", ("silver_dataset/splits/test.csv", "splits/test.csv"), "test split"),
        Requirement(
            "avoid",
            ("silver_dataset/splits/images_to_avoid.csv", "splits/images_to_avoid.csv"),
            "list of images to avoid",
            needed=False,
        ),
    ),
    needs=("mimic",),
)


class ImaGenome(Source):
    """One grounding for each image, with every region that has a box of some area within it."""

    info = INFO

    def groundings(self, layout: Layout, options: Options, images: Images) -> Iterator[Grounding | Outcome]:
        """The regions of every scene graph, in the order in which the graphs lie in the archive or folder."""
        layout.require()
        splits: dict[str, Split | None] = {}
        yield from _read_splits(layout, splits)
        met: set[str] = set()
        for file in read_files(layout.path("graphs"), _GRAPH_NAME, depth=1, order="stored"):
            match = _GRAPH_NAME.search(file.name)
            assert match is not None
            image_id = match.group(1)
            if image_id in met:
                yield Outcome(image_id, "skipped", "two scene graphs; the first one counts")
                continue
            met.add(image_id)
            yield from _read_graph(file, image_id, splits.get(image_id), images.get(image_id))
        for image_id in splits:
            if image_id not in met:
                yield Outcome(image_id, "skipped", "listed in a split, but there is no scene graph")


def _read_splits(layout: Layout, splits: dict[str, Split | None]) -> Iterator[Outcome]:
    """Fill `splits`: DICOM id -> split; images to avoid come first, so that they stay out of every split."""
    for name, split in _TABLES:
        if name not in layout.found:
            continue
        table = layout.path(name)
        for number, (image_id,) in enumerate(read_table(table, ["dicom_id"]), 1):
            if image_id is None:
                yield Outcome(f"{table.name} row {number}", "failed", "the dicom_id is blank")
            elif image_id in splits:
                yield Outcome(image_id, "skipped", "listed in two splits; images to avoid first, then the first counts")
            else:
                splits[image_id] = split


def _read_graph(
    file: File, image_id: str, split: Split | None, known: Resolution | None
) -> Iterator[Grounding | Outcome]:
    """The regions of one scene graph, or why there are none."""
    if known is None:
        yield Outcome(image_id, "skipped", "the image is not among those of MIMIC-CXR")
        return
    if known.width is None or known.height is None:
        yield Outcome(image_id, "failed", "the size of the image is not known")
        return
    objects = _parse_objects(file)
    if objects is None:
        yield Outcome(image_id, "failed", file.problem or "the scene graph is damaged")
        return
    regions: dict[str, str] = {}
    frame = _Frame(_shares(known.width), _shares(known.height))
    named: set[str] = set()
    for found in objects:
        region = found.get("bbox_name") if isinstance(found, dict) else None
        if not isinstance(region, str) or region in named:
            reason = "listed twice; the first box counts" if isinstance(region, str) else "a region without a name"
            yield Outcome(f"{image_id} {region}", "skipped", reason)
            continue
        named.add(region)
        boxes = _encode(found, frame)
        if boxes is None:
            yield Outcome(f"{image_id} {region}", "skipped", f"box dropped: {_normalise(found, frame).problem}")
            continue
        regions[region] = boxes
    if regions:
        # Canonical JSON, put together from its parts: the names of few regions and the boxes written above.
        boxes = ",".join(f"{_quoted(region)}:{regions[region]}" for region in sorted(regions))
        yield Grounding("imagenome", "mimic", image_id, "region", 0, split, None, None, f"{{{boxes}}}", None)
    else:
        yield Outcome(image_id, "skipped", "no region has a box")


_quoted = lru_cache(maxsize=1024)(canonical_json)


def _parse_objects(file: File) -> Sequence[Any] | None:
    """The array `objects` of a scene graph; None where the file is damaged.

    In the official files it lies before `attributes`, with corners in whole pixels, and is parsed without the rest in a
    quarter of the time; any other file is parsed as a whole.
    """
    content = file.content
    start = content.find(b"[", content.find(b'"objects"'))
    end = content.rfind(b"]", start, content.find(b'"attributes"', start)) + 1
    try:
        return _OBJECTS.validate_json(content[start:end], strict=True)
    except ValidationError:
        return _parse_whole(content)


def _parse_whole(content: bytes) -> Sequence[Any] | None:
    try:
        graph = json.loads(content)
    except (ValueError, RecursionError):
        return None
    objects = graph.get("objects") if isinstance(graph, dict) else None
    return objects if isinstance(objects, list) else None


class _Shares(dict[int, str]):
    """Pixel -> its share of `size` pixels as canonical JSON, six decimals."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __missing__(self, pixel: int) -> str:
        self[pixel] = share = repr(round(pixel / self.size, 6))
        return share


_shares = lru_cache(maxsize=64)(_Shares)


class _Frame(NamedTuple):
    """The two sides of an image."""

    x: _Shares
    y: _Shares


def _encode(found: dict[str, Any], frame: _Frame) -> str | None:
    """Write an object's box as boxes.normalise and encode_boxes do if its corners are whole pixels; None for no box.

    There are nine million of them with few different corners, so what these become is looked up: a fifth of the time.
    """
    try:
        x1, y1, x2, y2 = _corners(found)
    except KeyError:
        return None
    xs, ys = frame
    if not (type(x1) is type(y1) is type(x2) is type(y2) is int):
        box = _normalise(found, frame).box
        return encode_boxes([box]) if box else None
    width, height = xs.size, ys.size
    left, top = (x1 if x1 > 0 else 0), (y1 if y1 > 0 else 0)
    right, bottom = (x2 if x2 < width else width), (y2 if y2 < height else height)
    return f"[[{xs[left]},{ys[top]},{xs[right]},{ys[bottom]}]]" if left < right and top < bottom else None


def _normalise(found: dict[str, Any], frame: _Frame) -> Normalised:
    """Normalise an object's box the general way, which also tells what is wrong with one that is none."""
    try:
        x1, y1, x2, y2 = map(float, _corners(found))
    except (KeyError, TypeError, ValueError, OverflowError):
        return Normalised(None, "not a number", False)
    return normalise(x1, y1, x2, y2, frame.x.size, frame.y.size)
