"""Picture files: the pixels as a model is shown them, in training and in evaluation, and the size by the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

_LOWEST, _HIGHEST = 0.005, 0.995


class UnreadableImage(Exception):
    """The picture cannot be had; the message is one of a few sentences."""


def read_picture(path: Path) -> Image.Image:
    """Read a picture as grey (L) or colour (RGB). Raises UnreadableImage."""
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode.startswith(("I", "F")):
                return _stretched(picture)
            return picture.copy() if picture.mode == "L" else picture.convert("RGB")
    except FileNotFoundError as error:
        raise UnreadableImage("the image file is missing") from error
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        # A damaged file makes the decoders raise nearly anything: OSError, SyntaxError, zlib.error, IndexError, ...
        raise UnreadableImage("the image is damaged or in a format that cannot be read") from error


def header_size(path: Path) -> tuple[int, int]:
    """Width and height by the header of a picture file; 0, 0 where it cannot be read."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except Exception:
        # Whatever the decoders raise for a damaged file: it is counted as unreadable, by the zeros.
        return 0, 0


def _stretched(picture: Image.Image) -> Image.Image:
    """A picture of more than 8 bits as grey: percentiles 0.5 to 99.5 over black to white, as prepare shows PNG files.

    Plain conversion would cut off at 255, which leaves most of a 16-bit radiograph white.
    """
    values = np.asarray(picture, np.float32)
    low, high = np.quantile(values, (_LOWEST, _HIGHEST), method="inverted_cdf")
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        return Image.new("L", picture.size, 128)
    return Image.fromarray(np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8))
