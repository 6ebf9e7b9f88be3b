"""Convert one original image (DICOM, or 16-bit PNG) to the JPEG that the model sees.

Grey levels follow the file: rescale, VOI LUT or first window, MONOCHROME1 inverted, so that dense is always bright.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

from radvlm_cli.files import atomic_write
from radvlm_cli.sources.dicom_grey import grey_table
from radvlm_cli.sources.dicom_pixels import read_samples
from radvlm_cli.sources.jpeg import Picture, Size, Unreadable, encode, output_size, through_table
from radvlm_cli.sources.png16 import open_png

_MOST_PIXELS = 100_000_000
"""Several times the largest radiograph: more is a damaged header, and would fill the memory."""


class Converted(NamedTuple):
    """What became of one image: its true resolution where the header could be read, then a file or a problem."""

    width: int | None
    """Columns of the original."""
    height: int | None
    """Rows of the original."""
    sha256: str | None
    bytes: int | None
    problem: str | None
    """Why there is no file, without path or id."""


def convert(source: Path, target: Path, *, size: int = 1024, square: bool = False) -> Converted:
    """Write `source` as an 8-bit grey JPEG: `size` pixels on the longest side, never enlarged; or size x size.

    A file that cannot be read is a `problem`, never an error. Raises DataError where `target` cannot be written.
    """
    stored: Size | None = None
    jpeg = problem = None
    with warnings.catch_warnings():
        # Odd files make the decoders warn, once per file of thousands; what matters ends as a problem.
        warnings.simplefilter("ignore")
        try:
            picture = open_png(source) if source.suffix.lower() == ".png" else _open_dicom(source)
            stored = picture.size
            jpeg = _jpeg(picture, size, square=square)
        except Exception as error:  # a decoder may raise anything on a damaged file
            problem = _reason(error)
    if jpeg is None:
        width, height = stored or (None, None)
        return Converted(width, height, None, None, problem)
    with atomic_write(target, "wb", sync=False) as stream:
        stream.write(jpeg)
    return Converted(picture.size.width, picture.size.height, hashlib.sha256(jpeg).hexdigest(), len(jpeg), None)


def read_size(source: Path) -> Size | None:
    """Read width and height of a DICOM file from its header alone; None where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _open_dicom(source).size
        except Exception:  # as in convert
            return None


def _jpeg(picture: Picture, size: int, *, square: bool) -> bytes:
    if min(picture.size) < 1:
        raise Unreadable("the image has no pixels")
    if picture.size.width * picture.size.height > _MOST_PIXELS:
        raise Unreadable("the image is too large to be a radiograph")
    wanted = output_size(picture.size, size, square=square)
    return encode(picture.draw(wanted), wanted)


def _reason(error: Exception) -> str:
    """Say what is wrong in words that name neither path nor contents, as a decoder's own message might."""
    match error:
        case Unreadable():
            return str(error)
        case FileNotFoundError():
            return "file not found"
        case OSError(strerror=str(reason)):
            return f"the file cannot be read: {reason}"
        case InvalidDicomError():
            return "not a DICOM file"
        case _:
            return f"the image cannot be decoded ({type(error).__name__})"


def _open_dicom(source: Path) -> Picture:
    header = dcmread(source, stop_before_pixels=True)
    rows, columns = header.get("Rows"), header.get("Columns")
    if rows is None or columns is None:
        raise Unreadable("no image: Rows or Columns is missing")
    return Picture(Size(int(columns), int(rows)), partial(_draw, source))


def _draw(source: Path, wanted: Size) -> Pillow.Image:
    dataset = dcmread(source)
    _check(dataset)
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        return _colour(dataset)
    samples = read_samples(dataset, Size(dataset.Columns, dataset.Rows), wanted)
    return through_table(samples.codes, grey_table(dataset, samples))


def _check(dataset: Dataset) -> None:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise Unreadable("no transfer syntax: the file header is incomplete")
    if "PixelData" not in dataset:
        raise Unreadable("no pixel data: the file is incomplete or holds no image")
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise Unreadable("more than one frame")
    if "PhotometricInterpretation" not in dataset:
        raise Unreadable("no photometric interpretation: black and white cannot be told apart")
    try:
        get_decoder(syntax)
    except NotImplementedError as error:
        raise Unreadable("the transfer syntax is not supported") from error


def _colour(dataset: Dataset) -> Pillow.Image:
    """Decode a colour picture and keep its luminance."""
    pixels, _meta = get_decoder(dataset.file_meta.TransferSyntaxUID).as_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim != 3 or pixels.dtype.kind != "u":
        raise Unreadable("the photometric interpretation is not supported")
    bits = 8 * pixels.dtype.itemsize if dataset.PhotometricInterpretation == "PALETTE COLOR" else dataset.BitsStored
    shown = pixels >> (bits - 8) if bits > 8 else pixels
    return Pillow.fromarray(np.ascontiguousarray(shown[..., :3], np.uint8)).convert("L")
