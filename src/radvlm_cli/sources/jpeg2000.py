"""Decode JPEG 2000 at reduced resolution: half the side is a quarter of the work."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from radvlm_cli.sources.pixels import Unreadable, Words

_START, _SIZE, _CODING, _FIRST_TILE = b"\xff\x4f", 0xFF51, 0xFF52, 0xFF90


class Codestream(NamedTuple):
    """What the main header of a JPEG 2000 codestream (ISO 15444-1, annex A) says."""

    width: int
    height: int
    components: int
    precision: int
    """Bits of a sample."""
    signed: bool
    levels: int
    """How often the picture can be halved."""


def read_codestream(frame: bytes) -> Codestream | None:
    """Read the main header; None for anything but a bare codestream with whole-pixel samples from the origin."""
    if not frame.startswith(_START):
        return None
    size, levels = b"", None
    position = 2
    while position + 4 <= len(frame):
        marker = int.from_bytes(frame[position : position + 2])
        length = int.from_bytes(frame[position + 2 : position + 4])
        segment = frame[position + 4 : position + 2 + length]
        if marker == _SIZE:
            size = segment
        elif marker == _CODING and len(segment) > 5:
            levels = segment[5]
        elif marker == _FIRST_TILE:
            break
        position += 2 + length
    if len(size) < 39 or levels is None or any(size[10:18]) or size[37:39] != b"\x01\x01":
        return None
    width, height = int.from_bytes(size[2:6]), int.from_bytes(size[6:10])
    depth = size[36]
    return Codestream(width, height, int.from_bytes(size[34:36]), (depth & 0x7F) + 1, depth >= 0x80, levels)


def read_size(frame: bytes) -> tuple[int, int] | None:
    """(width, height) in samples of the first component, in a file or a bare codestream; None where no header is found.

    Every decoder makes room for so many samples before it looks at the first.
    """
    start = frame.find(_START + _SIZE.to_bytes(2))
    size = frame[start + 6 : start + 45]
    if start < 0 or len(size) < 39 or 0 in size[37:39]:
        return None
    right, bottom, left, top = (int.from_bytes(size[at : at + 4]) for at in (2, 6, 10, 14))
    step_x, step_y = size[37:39]
    width = _ceil_divided(right, step_x) - _ceil_divided(left, step_x)
    return width, _ceil_divided(bottom, step_y) - _ceil_divided(top, step_y)


def halvings(stream: Codestream, wanted: tuple[int, int]) -> int:
    """How often the picture can be halved without falling below `wanted` (width, height)."""
    times = 0
    while (
        times < stream.levels
        and _ceil_halved(stream.width, times + 1) >= wanted[0]
        and _ceil_halved(stream.height, times + 1) >= wanted[1]
    ):
        times += 1
    return times


def decode(frame: bytes, stream: Codestream, halvings: int) -> Words:
    """Decode the one component of `frame` (at most 16 bits), halved; signed samples come as two's complement.

    The low band of the wavelet is about the local mean: its extremes lie within those of the full picture. Raises
    Unreadable where the stream is damaged.
    """
    picture = _Reduced(io.BytesIO(frame))
    picture.reduce = halvings
    try:
        picture.load()
    except (OSError, ValueError) as error:
        raise Unreadable("the JPEG 2000 data is damaged") from error
    words: Words = np.asarray(picture)
    # Pillow lifts signed samples to start at zero, and moves all up to the top of its 8 or 16 bits.
    unit = words.dtype.type
    words = words >> unit(words.itemsize * 8 - stream.precision)
    return words ^ unit(1 << (stream.precision - 1)) if stream.signed else words


class _Reduced(Jpeg2KImageFile):
    """Pillow's reader, which rounds the reduced size where the format rounds it up, and then finds no room."""

    def load(self) -> Any:
        if self.tile:
            width, height = self.size
            self._size = (
                _ceil_halved(width, self._reduce) << self._reduce,
                _ceil_halved(height, self._reduce) << self._reduce,
            )
        return super().load()


def _ceil_halved(length: int, times: int) -> int:
    return -(-length >> times)


def _ceil_divided(length: int, step: int) -> int:
    return -(-length // step)
