"""From a grey picture to the 8-bit JPEG that the model sees: one size rule, one filter, one quality for all sources."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

_QUALITY = 95
_ROWS_AT_ONCE = 128
"""np.take makes 8-byte indices of what it is given: a few rows at a time stay in the processor's cache."""


class Unreadable(Exception):
    """A file whose picture cannot be had; the message is the reason, without path or id."""


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


class Picture(NamedTuple):
    """A picture file whose header is read."""

    size: Size
    """As stored: boxes are in this frame."""
    draw: Callable[[Size], Pillow.Image]
    """Decode to 8-bit grey, bright = dense. It may come out smaller than stored, never smaller than the given size."""


def output_size(stored: Size, size: int, *, square: bool) -> Size:
    """Give the converted picture's size: `size` on the longest side, never enlarged; or exactly size x size."""
    if square:
        return Size(size, size)
    longest = max(stored)
    if longest <= size:
        return stored
    return Size(max(1, round(stored.width * size / longest)), max(1, round(stored.height * size / longest)))


def encode(picture: Pillow.Image, size: Size) -> bytes:
    """Resize a grey picture (mode L) to `size` with antialiasing, and write it as JPEG."""
    if picture.size != size:
        # Hamming: sharp as bicubic at the cost of bilinear. The gap of 2 lets Pillow average whole blocks first.
        picture = picture.resize(size, Pillow.Resampling.HAMMING, reducing_gap=2.0)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def through_table(codes: NDArray[np.unsignedinteger], table: NDArray[np.uint8]) -> Pillow.Image:
    """Replace each code, shape (rows, columns), by its grey level; `table` has an entry for every possible code."""
    grey = np.empty(codes.shape, np.uint8)
    for row in range(0, len(codes), _ROWS_AT_ONCE):
        # "clip" cannot happen; it spares numpy a pass over the codes that "raise" would need.
        np.take(table, codes[row : row + _ROWS_AT_ONCE], mode="clip", out=grey[row : row + _ROWS_AT_ONCE])
    return Pillow.fromarray(grey)
