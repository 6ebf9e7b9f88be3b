"""The stored values of a DICOM file's one frame, by the cheapest way that gives them."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_j2k_parameters
from pydicom.uid import JPEG2000TransferSyntaxes

from radvlm_cli.sources.jpeg import Size, Unreadable


class Samples(NamedTuple):
    """Pixels as codes, and what each code stands for."""

    codes: NDArray[np.unsignedinteger[Any]]
    """Shape (rows, columns), 8 or 16 bits."""
    values: NDArray[np.int32]
    """The stored value of every possible code: shape (256,) or (65536,)."""


def read_samples(dataset: Dataset, stored: Size, wanted: Size) -> Samples:
    """Read the stored values of a greyscale file.

    A JPEG 2000 file may come at a half, a quarter... of its size, never below `wanted`. Raises Unreadable where the
    pixels are cut short, and whatever a decoder raises on a damaged file.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated and syntax.is_little_endian and dataset.BitsAllocated in (8, 16):
        return _uncompressed(dataset, stored)
    reduced = _reduced(dataset, stored, wanted) if syntax in JPEG2000TransferSyntaxes else None
    return reduced or _decoded(dataset)


def _uncompressed(dataset: Dataset, stored: Size) -> Samples:
    """Take the pixels where they lie; junk above BitsStored and the sign are the table's business."""
    dtype = np.dtype("<u2" if dataset.BitsAllocated == 16 else "u1")
    pixels, count = dataset.PixelData, stored.width * stored.height
    if len(pixels) < count * dtype.itemsize:
        raise Unreadable("the pixel data are cut short")
    codes = np.frombuffer(pixels, dtype, count).reshape(stored.height, stored.width)
    return Samples(codes, _values(dtype.itemsize * 8, dataset.BitsStored, signed=dataset.PixelRepresentation == 1))


def _values(bits: int, used: int, *, signed: bool) -> NDArray[np.int32]:
    """What each code of `bits` bits stands for when only the lower `used` count, in two's complement if signed."""
    values = np.arange(1 << bits, dtype=np.int32) & ((1 << used) - 1)
    return np.where(values >= 1 << (used - 1), values - (1 << used), values) if signed else values


def _decoded(dataset: Dataset) -> Samples:
    """Decode with whichever of pydicom's decoders takes the file."""
    pixels, _meta = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset, raw=True)
    bits = pixels.dtype.itemsize * 8
    if pixels.dtype.kind not in "iu" or bits > 16 or pixels.ndim != 2:
        raise Unreadable(f"pixels of {bits} bits in {pixels.ndim} dimensions are not supported")
    codes = pixels.view(f"u{pixels.dtype.itemsize}")
    return Samples(codes, _values(bits, bits, signed=pixels.dtype.kind == "i"))


def _reduced(dataset: Dataset, stored: Size, wanted: Size) -> Samples | None:
    """Decode JPEG 2000 without its finest details; None where that cannot be done, or saves nothing."""
    halvings = _halvings(stored, wanted)
    if not halvings:
        return None
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    found = get_j2k_parameters(frame)
    bits, signed = found.get("precision", 0), found.get("is_signed")
    if not 1 < bits <= 16 or signed != (dataset.PixelRepresentation == 1):
        # Where file and codestream disagree on the sign, values wrap around: no wavelet sees through that.
        return None
    try:
        with Pillow.open(io.BytesIO(frame), formats=["JPEG2000"]) as picture:
            if picture.size != stored or picture.mode not in ("L", "I;16"):
                return None
            picture.reduce = halvings  # type: ignore[method-assign, assignment]
            picture.load()
            codes = np.asarray(picture)
    except (OSError, ValueError):
        # Fewer wavelet levels than halvings, or damage: the full decoder has the last word.
        return None
    # Pillow shifts values up to the full 8 or 16 bits, and signed ones above zero.
    spread = codes.dtype.itemsize * 8
    values = np.arange(1 << spread, dtype=np.int32) >> (spread - bits)
    return Samples(codes, values - (1 << (bits - 1)) if signed else values)


def _halvings(stored: Size, wanted: Size) -> int:
    """How often the picture may be halved and stay at least as large as `wanted`."""
    halvings = 0
    for times in range(1, 6):
        power = 1 << times
        sizes = [-(-side // power) for side in stored]
        # Pillow rounds to nearest where JPEG 2000 rounds up, and fails where the two differ.
        agreed = sizes == [(side + power // 2) // power for side in stored]
        if agreed and sizes[0] >= wanted.width and sizes[1] >= wanted.height:
            halvings = times
    return halvings
