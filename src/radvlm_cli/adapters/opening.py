"""Picture files, opened for a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


class PictureError(Exception):
    """A picture that cannot be read; the message names neither path nor patient."""


def open_picture(path: Path) -> Image:
    """The picture in RGB, decoded whole. PictureError where it is absent, damaged or no picture."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    # Pillow raises SyntaxError and ValueError, too, for files that are damaged in the middle.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"the picture cannot be read ({type(error).__name__})") from error


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height by the file's header; one pixel where it cannot be read, as it will cost nothing."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 1, 1
