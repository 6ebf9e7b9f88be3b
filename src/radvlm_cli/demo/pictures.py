"""Save drawn chests in the file types of the datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from radvlm_cli.demo.anatomy import Chest
from radvlm_cli.demo.drawing import draw, to_8_bit

SIZES = ((416, 480), (448, 448), (400, 480), (480, 416))
"""Width and height of the phantom pictures, in pixels; the last is an AP picture taken lying down."""


def choose_size(rng: np.random.Generator) -> tuple[int, int]:
    """Choose one of SIZES."""
    return SIZES[rng.integers(len(SIZES))]


def save_jpeg(chest: Chest, path: Path, *, lateral: bool = False) -> None:
    """Draw the chest into an 8-bit grey JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(to_8_bit(draw(chest, lateral=lateral))).save(path, "JPEG", quality=88)


def save_png(chest: Chest, path: Path, *, bits: int = 8, lateral: bool = False) -> None:
    """Draw the chest into a grey PNG: 8 bit, or `bits` significant bits in 16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = draw(chest, lateral=lateral)
    if bits > 8:
        pixels = Pillow.fromarray(np.rint(picture * ((1 << bits) - 1)).astype(np.uint16))
    else:
        pixels = Pillow.fromarray(to_8_bit(picture))
    pixels.save(path, "PNG", compress_level=1)
