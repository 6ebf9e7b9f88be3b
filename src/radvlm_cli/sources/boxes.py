"""From whatever a dataset writes to one kind of box: normalised xyxy of the original image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Box


class Normalised(NamedTuple):
    """A box, or why there is none."""

    box: Box | None
    problem: str | None
    """None, or `outside the image`, `zero area`, `not a number`, `on an image without size`; a box that was clipped
    is kept without remark."""
    clipped: bool


def normalise(x_min: float, y_min: float, x_max: float, y_max: float, width: float, height: float) -> Normalised:
    """Clip pixel corners to an image of `width` x `height` pixels and scale them to 0-1.

    Corners in the wrong order are not mended: they are a zero area. For boxes that are normalised already pass
    width and height 1. An area too small for the six decimals of the store is none.
    """
    if not (width > 0 and height > 0):
        return Normalised(None, "on an image without size", False)
    corners = (x_min / width, y_min / height, x_max / width, y_max / height)
    if not all(abs(c) < float("inf") for c in corners):
        return Normalised(None, "not a number", False)
    if corners[0] >= 1 or corners[1] >= 1 or corners[2] <= 0 or corners[3] <= 0:
        return Normalised(None, "outside the image", False)
    box = Box(*(min(max(0.0, c), 1.0) for c in corners))  # max(0.0, -0.0) is 0.0, the other way round it is -0.0
    if round(box.x_max, 6) <= round(box.x_min, 6) or round(box.y_max, 6) <= round(box.y_min, 6):
        return Normalised(None, "zero area", False)
    return Normalised(box, None, box != corners)


def encode_boxes(boxes: Iterable[Box]) -> str:
    """Write boxes as the canonical JSON that the store keeps: a list of four numbers each, six decimals."""
    return canonical_json([[round(c, 6) for c in box] for box in boxes])
