"""Small copies of images, as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from radvlm_cli.reporting.samples import Picture

SIDE = 512
"""Pixels on the longer side."""
_QUALITY = 80


def small_picture(path: Path, key: str) -> Picture:
    """A grey copy of an image file; OSError where it cannot be read as an image."""
    try:
        with Image.open(path) as image:
            image.draft("L", (SIDE, SIDE))  # JPEG: decoded at a half, a quarter or an eighth, where that is enough
            grey = image.convert("L")
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"no image that can be read: {error}") from error
    grey.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    grey.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return Picture(key, written.getvalue(), *grey.size)
