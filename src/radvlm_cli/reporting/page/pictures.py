"""Small copies of images, as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from radvlm_cli.reporting.samples import Picture

SIDE = 512
"""Pixels on the longer side."""
MOST = 28_000
"""Bytes: 64 of them, in base64, make 2.4 MB, and a page of less than 4."""
_TRIES = ((SIDE, 80), (SIDE, 68), (SIDE, 55), (448, 55), (384, 50), (256, 50))
"""Side and quality, until it is small enough; a film without much noise is at once."""


def small_picture(path: Path, key: str) -> Picture:
    """A grey copy of an image file; OSError where it cannot be read as an image."""
    grey = _grey(path, SIDE)
    for side, quality in _TRIES:
        small = grey.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        written = io.BytesIO()
        small.save(written, "JPEG", quality=quality, optimize=True)
        if written.tell() <= MOST:
            break
    return Picture(key, written.getvalue(), *small.size)


def jpeg_of(path: Path, side: int) -> bytes:
    """A grey copy with so many pixels on the longer side at most; OSError where it cannot be read as an image."""
    grey = _grey(path, side)
    grey.thumbnail((side, side), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    grey.save(written, "JPEG", quality=90)
    return written.getvalue()


def _grey(path: Path, side: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.draft("L", (side, side))  # JPEG: decoded at a half, a quarter or an eighth, where that is enough
            return image.convert("L")
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"no image that can be read: {error}") from error
