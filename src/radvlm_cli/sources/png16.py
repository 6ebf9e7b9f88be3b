"""PadChest-GR's PNG files: 16-bit grey of which 10 to 12 bits are used.

The windowing rule: linear from the 0.5th percentile (black) to the 99.5th (white) of the pixels. A constant picture
becomes mid grey. PNG files of 8 bits are shown as they are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from radvlm_cli.sources.jpeg import Picture, Size, Unreadable, through_table

_LOW, _HIGH = 0.005, 0.995


def open_png(source: Path) -> Picture:
    """Read the header of a PNG file."""
    try:
        with Pillow.open(source, formats=["PNG"]) as picture:
            return Picture(Size(*picture.size), partial(_draw, source))
    except UnidentifiedImageError as error:
        raise Unreadable("not a PNG file") from error


def _draw(source: Path, _wanted: Size) -> Pillow.Image:
    with Pillow.open(source, formats=["PNG"]) as picture:
        if picture.mode not in ("I;16", "I"):
            return picture.convert("L")
        codes = np.asarray(picture).astype(np.uint16, copy=False)
    return through_table(codes, percentile_table(np.bincount(codes.ravel(), minlength=1 << 16)))


def percentile_table(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Give the grey level of each value from the histogram of a picture."""
    share = np.cumsum(counts) / counts.sum()
    low, high = np.searchsorted(share, (_LOW, _HIGH))
    values = np.arange(len(counts))
    if low == high:
        occurring = np.flatnonzero(counts)
        low, high = occurring[0], occurring[-1]
    if low == high:
        return np.full(len(counts), 128, np.uint8)
    levels: NDArray[np.uint8] = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return levels
