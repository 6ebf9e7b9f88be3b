"""PadChest-GR's PNG files: 16 bits a pixel, of which ten to twelve are used, and no header that says how to show them.

The rule: what lies between the 0.5th and the 99.5th percentile of the pixels is spread over black to white, the rest
is clipped. So neither a few burnt-in letters nor dead pixels decide about the contrast. Where those percentiles
coincide (a small picture on a wide plain ground) smallest and largest value take their place; a picture of one value
becomes mid grey. A PNG of 8 bits is passed on as it is, colours turned into grey.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from radvlm_cli.sources.pixels import Grey, Unreadable, histogram, look_up, quantise, stretch

_LOWEST, _HIGHEST = 0.005, 0.995
_WORDS = 1 << 16


def open_png(source: Path) -> Image.Image:
    """Read the header of a PNG file; the picture's `size` is (width, height). Raises Unreadable for another format."""
    try:
        return Image.open(source, formats=["PNG"])
    except UnidentifiedImageError as error:
        raise Unreadable("not a PNG file") from error


def png_to_grey(picture: Image.Image) -> Grey:
    """Read the pixels as 8-bit grey, shape (rows, columns)."""
    try:
        picture.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable("the PNG data is damaged or cut short") from error
    if not picture.mode.startswith("I"):
        return np.asarray(picture.convert("L"))
    words = np.asarray(picture).astype(np.uint16, copy=False)
    counts = histogram(words, _WORDS)
    low, high = np.searchsorted(counts.cumsum(), np.array([_LOWEST, _HIGHEST]) * words.size)
    if low == high:
        low, high = np.flatnonzero(counts)[[0, -1]]
    return look_up(quantise(stretch(np.arange(_WORDS, dtype=np.float64), low, high)), words)
