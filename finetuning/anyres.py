"""Any-resolution tiling of LLaVA-OneVision: the arithmetic, and a picture as 8-bit tiles.

A picture is shrunk or grown into the best of a grid of resolutions, padded with black, and cut into square tiles;
before them comes the whole picture squeezed into one tile. The language model sees the features of the first tile, then
those of the others put together again, without the padding, scaled down where they are more than some tiles' worth, and
with one newline feature after each row.

Token counts are those of the transformers model, which rounds to seven places where the original code cuts off: the
two differ in one size of 100,000. Tiles stay 8 bits a value, a quarter of the memory on the way to the device, where
`normalise` turns them into exactly what the image processor of transformers would have given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    import torch

_RATIO = 1.1
"""Features are scaled down from this multiple (of the root of their number) on."""


class Tiling(NamedTuple):
    """What one size of picture becomes."""

    best: tuple[int, int]
    """Height and width of the resolution that is cut into tiles, pixels."""
    tiles: int
    """Number of tiles, the squeezed whole picture among them."""
    tokens: int
    """Number of image tokens."""


@dataclass(frozen=True)
class Anyres:
    """How a model tiles. The defaults are those of LLaVA-OneVision."""

    tile: int = 384
    """Side of a tile in pixels."""
    patches: int = 27
    """Features along the side of a tile."""
    pinpoints: tuple[tuple[int, int], ...] = tuple((h * 384, w * 384) for h in range(1, 7) for w in range(1, 7))
    """Resolutions to choose from, (height, width)."""
    most: int = 9
    """Features are scaled down to about so many tiles' worth."""

    @classmethod
    def of_folder(cls, folder: Path) -> Anyres:
        """Read from a model's folder. Raises ValueError for another way of tiling, or other pixel values than ours."""
        preprocessor = folder / "preprocessor_config.json"
        if preprocessor.exists():
            _check_preprocessor(json.loads(preprocessor.read_text(encoding="utf-8")))
        return cls.of_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Anyres:
        """Read from the `config.json` of a LlavaOnevision model. Raises ValueError for another way of tiling."""
        vision, aspect = config["vision_config"], str(config.get("vision_aspect_ratio", "anyres_max_9"))
        most = aspect.removeprefix("anyres_max_")
        if not most.isdigit():
            raise ValueError(f"vision_aspect_ratio is {aspect}; only anyres_max_N is known")
        tile = int(vision.get("image_size", 384))
        pinpoints = tuple((int(height), int(width)) for height, width in config["image_grid_pinpoints"])
        if not pinpoints or any(side % tile or side <= 0 for pair in pinpoints for side in pair):
            raise ValueError(f"image_grid_pinpoints must be multiples of the tile's side, {tile}")
        return cls(tile, tile // int(vision.get("patch_size", 14)), pinpoints, int(most))

    def tiling(self, width: int, height: int) -> Tiling:
        """The tiling of a picture of that many pixels."""
        return _tiling(self, width, height)


def _check_preprocessor(config: Mapping[str, Any]) -> None:
    """ValueError where the image processor would give other pixel values than `tiles_of` and `normalise`."""
    ours = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": int(Image.Resampling.BICUBIC)}
    for name, value in ours.items():
        if (found := config.get(name, value)) != value:
            raise ValueError(f"preprocessor_config.json has {name} {found}; LLaVA-OneVision's is {value}")


@lru_cache(maxsize=65536)
def _tiling(anyres: Anyres, width: int, height: int) -> Tiling:
    if width < 1 or height < 1:
        raise ValueError(f"no picture is {width} x {height} pixels")
    best = _best_resolution(anyres.pinpoints, width, height)
    rows, columns = best[0] // anyres.tile, best[1] // anyres.tile
    return Tiling(best, 1 + rows * columns, _tokens(anyres, rows, columns, width, height))


def _best_resolution(pinpoints: tuple[tuple[int, int], ...], width: int, height: int) -> tuple[int, int]:
    """Most pixels of the picture kept; among equals, least of the resolution wasted; among these, the first."""
    best, most_kept, least_wasted = pinpoints[0], -1, 0
    for high, wide in pinpoints:
        scale = min(wide / width, high / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        wasted = high * wide - kept
        if kept > most_kept or (kept == most_kept and wasted < least_wasted):
            best, most_kept, least_wasted = (high, wide), kept, wasted
    return best


def _tokens(anyres: Anyres, rows: int, columns: int, width: int, height: int) -> int:
    high, wide = rows * anyres.patches, columns * anyres.patches
    if width / height > wide / high:
        high -= (high - int(round(height * (wide / width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * (high / height), 7))) // 2 * 2
    ratio = math.sqrt(high * wide / (anyres.most * anyres.patches**2))
    if ratio > _RATIO:
        high, wide = int(high // ratio), int(wide // ratio)
    return anyres.patches**2 + high * (wide + 1)


def capped(width: int, height: int, longest: int | None) -> tuple[int, int]:
    """Width and height of a picture whose longer side may have at most `longest` pixels; it never grows."""
    if longest is None or max(width, height) <= longest:
        return width, height
    scale = longest / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def cap(picture: Image.Image, longest: int | None) -> Image.Image:
    """The picture with at most `longest` pixels along its longer side."""
    size = capped(*picture.size, longest)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC)


def tiles_of(picture: Image.Image, anyres: Anyres) -> NDArray[np.uint8]:
    """Cut a grey (L) or colour (RGB) picture: shape (tiles, channels, side, side), the squeezed whole first.

    A grey picture has one channel here: three equal ones would triple the work and carry nothing more.
    """
    (high, wide), count, _ = anyres.tiling(*picture.size)
    side, channels = anyres.tile, len(picture.getbands())
    width, height = _inside(picture.size, high, wide)
    resized = _array(picture.resize((width, height), Image.Resampling.BICUBIC))
    sheet = np.zeros((high, wide, channels), np.uint8)
    top, left = (high - height) // 2, (wide - width) // 2
    sheet[top : top + height, left : left + width] = resized
    tiles = np.empty((count, channels, side, side), np.uint8)
    tiles[0] = _array(picture.resize((side, side), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    cut = sheet.reshape(high // side, side, wide // side, side, channels).transpose(0, 2, 4, 1, 3)
    tiles[1:].reshape(cut.shape)[:] = cut
    return tiles


def _inside(size: tuple[int, int], high: int, wide: int) -> tuple[int, int]:
    """Width and height of a picture of `size` that fills `high` x `wide` without changing its shape."""
    width, height = size
    across, down = wide / width, high / height
    if across < down:
        return wide, min(math.ceil(height * across), high)
    return min(math.ceil(width * down), wide), high


def _array(picture: Image.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def normalise(pixels: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn 8-bit tiles into the model's pixel values, -1 to 1, on the device they are on.

    In float32 every bit is that of LlavaOnevisionImageProcessorPil with mean and standard deviation 0.5: there are only
    256 values, computed here as it does (scaled in float64, rounded, then shifted in float32) and looked up.
    """
    import torch

    scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    values = (scaled - np.float32(0.5)) / np.float32(0.5)
    return torch.from_numpy(values).to(pixels.device, dtype)[pixels.int()]
