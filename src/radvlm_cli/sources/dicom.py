"""Original images to 8-bit grey JPEG: VinDr-CXR's DICOM files, and PadChest-GR's PNG files through the same door.

Most files are uncompressed with 16 bits a pixel: all that the header says about showing them becomes one table with
an entry for each possible word, and the pixels pass through it once. JPEG 2000 is decoded at half size as often as
the JPEG stays smaller; where there is neither window nor VOI table, the darkest and the brightest pixel of that
smaller picture then span the grey levels, so that single outlying pixels count for less.
"""

from __future__ import annotations

import io
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from radvlm_cli.files import atomic_write
from radvlm_cli.sources import jpeg2000
from radvlm_cli.sources.pixels import Grey, Unreadable, Words, look_up, output_size, resize
from radvlm_cli.sources.png16 import open_png, png_to_grey
from radvlm_cli.sources.voi import Encoding, encoding_of, grey_levels, grey_table, is_signed

_WAVELET = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_DECODERS = {
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    RLELossless: "pydicom",
    **dict.fromkeys(_WAVELET, "pylibjpeg"),
}
"""Where there is a choice, not pydicom's: gdcm ends the process at some damaged files, and so does Rust's RLE."""
_QUALITY = 95
_MOST_PIXELS = 100_000_000
"""Several times the largest radiograph: a damaged header must not fill the memory."""


class Converted(NamedTuple):
    """What became of one original file."""

    width: int | None
    """True size of the original, from its header; None where that cannot be read."""
    height: int | None
    sha256: str | None
    """Of the JPEG; None, like `bytes`, where there is none."""
    bytes: int | None
    problem: str | None
    """Why there is no JPEG: one sentence that does not name the file."""


class _Stored(NamedTuple):
    words: Words
    encoding: Encoding
    halvings: int
    """How often the picture was halved in decoding."""


class _Decoded(NamedTuple):
    grey: Grey
    halvings: int


def convert(source: Path, target: Path, *, size: int = 1024, square: bool = False) -> Converted:
    """Write a DICOM or PNG file as an 8-bit grey JPEG, `size` pixels on the longest side and never enlarged.

    `square` squeezes it to size x size. A file that gives no picture is told in `problem`, never raised; DataError
    where the JPEG cannot be written.
    """
    width = height = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each oddity in a header; what matters becomes the problem
            if source.suffix.lower() == ".png":
                with open_png(source) as picture:
                    width, height = picture.size
                    decoded = _Decoded(png_to_grey(picture), 0)
            else:
                header = _read_header(source)
                width, height = _size_of(header)
                decoded = _read_grey(source, header, output_size(width, height, size=size, square=square))
        wanted = output_size(width, height, size=size, square=square)
        jpeg = _encode(resize(decoded.grey, wanted, (width, height), decoded.halvings))
    except Exception as error:  # decoders raise anything, and one bad file must not end the run
        return Converted(width, height, None, None, _explain(error))
    with atomic_write(target, "wb", sync=False) as stream:
        stream.write(jpeg)
    return Converted(width, height, sha256(jpeg).hexdigest(), len(jpeg), None)


def read_size(source: Path) -> tuple[int, int] | str:
    """Read (width, height) in pixels from the header of a DICOM or PNG file; a sentence where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if source.suffix.lower() == ".png":
                with open_png(source) as picture:
                    return picture.size
            return _size_of(_read_header(source))
    except Exception as error:  # as in convert
        return _explain(error)


def _read_header(source: Path) -> FileDataset:
    if source.stat().st_size == 0:
        raise Unreadable("the file is empty")
    return dcmread(source, stop_before_pixels=True)


def _size_of(header: FileDataset) -> tuple[int, int]:
    width, height = header.get("Columns"), header.get("Rows")
    if not isinstance(width, int) or not isinstance(height, int):
        raise Unreadable("the header has no image size")
    if width == 0 or height == 0:
        raise Unreadable("the image has no pixels: its width or height is zero")
    return width, height


def _read_grey(source: Path, header: FileDataset, wanted: tuple[int, int]) -> _Decoded:
    """Decode the one frame of a file and show it as the header says."""
    syntax = _syntax_of(header)
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise Unreadable("the file holds several frames")
    if header.Rows * header.Columns > _MOST_PIXELS:
        raise Unreadable("the image is too large to be a radiograph")
    dataset = dcmread(source)
    if not dataset.get("PixelData"):
        raise Unreadable("no PixelData element, or an empty one")
    if "PhotometricInterpretation" not in header:
        raise Unreadable("the header has no PhotometricInterpretation: black and white cannot be told apart")
    samples = header.get("SamplesPerPixel", 1)
    if header.PhotometricInterpretation in _COLOUR and samples == 3:
        return _Decoded(_colour_to_grey(dataset, syntax), 0)
    if header.PhotometricInterpretation not in _MONOCHROME or samples != 1:
        raise Unreadable(
            f"the photometric interpretation {header.PhotometricInterpretation} with {samples} samples is not supported"
        )
    stored = _from_wavelet(dataset, wanted) if syntax in _WAVELET else _from_bytes(dataset, syntax)
    if stored is not None:
        return _Decoded(look_up(grey_table(header, stored.encoding, stored.words), stored.words), stored.halvings)
    values = _decode(dataset, syntax)
    if values.itemsize > 2:
        return _Decoded(grey_levels(header, values.astype(np.float64), lambda: np.ones(values.shape, bool)), 0)
    words = values.view(f"u{values.itemsize}")
    bits = values.itemsize * 8
    encoding = Encoding(bits, bits, 0, values.dtype.kind == "i")
    return _Decoded(look_up(grey_table(header, encoding, words), words), 0)


def _syntax_of(header: FileDataset) -> UID:
    syntax = header.file_meta.get("TransferSyntaxUID")
    if not syntax:
        raise Unreadable("the header has no TransferSyntaxUID")
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise Unreadable(f"the transfer syntax {syntax} is not supported")
    return UID(syntax)


def _from_wavelet(dataset: FileDataset, wanted: tuple[int, int]) -> _Stored | None:
    """Words of a JPEG 2000 frame, halved; None for what Pillow's decoder would not give back exactly."""
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    stream = jpeg2000.read_codestream(frame)
    if stream is None or stream.components != 1 or stream.precision > 16 or stream.signed != is_signed(dataset):
        return None
    if (stream.width, stream.height) != (dataset.Columns, dataset.Rows):
        raise _other_size()
    halvings = jpeg2000.halvings(stream, wanted)
    words = jpeg2000.decode(frame, stream, halvings)
    return _Stored(words, Encoding(words.itemsize * 8, stream.precision, 0, stream.signed), halvings)


def _from_bytes(dataset: FileDataset, syntax: UID) -> _Stored | None:
    """Words of uncompressed pixels, without copying them; None for compressed ones and for other than 8 or 16 bits."""
    bits = dataset.BitsAllocated
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    if syntax.is_compressed or bits not in (8, 16) or (bits == 8 and order == ">"):
        return None
    count = dataset.Rows * dataset.Columns
    if len(dataset.PixelData) < count * bits // 8:
        raise Unreadable("the pixel data is cut short")
    words = np.frombuffer(dataset.PixelData, f"{order}u{bits // 8}", count)
    return _Stored(words.reshape(dataset.Rows, dataset.Columns), encoding_of(dataset), 0)


def _decode(dataset: FileDataset, syntax: UID) -> NDArray[Any]:
    """Decode with whichever library knows the syntax; colours come as RGB."""
    try:
        if syntax in _WAVELET:
            frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
            if jpeg2000.read_size(frame) not in (None, (dataset.Columns, dataset.Rows)):
                raise _other_size()
        return pixel_array(dataset, decoding_plugin=_DECODERS.get(syntax, ""))
    except (MemoryError, Unreadable):
        raise
    except Exception as error:
        raise Unreadable(f"{syntax.name}: the pixel data is damaged, or of a kind that no decoder knows") from error


def _other_size() -> Unreadable:
    return Unreadable("the pixel data is not of the size that the header says")


def _colour_to_grey(dataset: FileDataset, syntax: UID) -> Grey:
    """The luma of an RGB or YBR picture; there is no window for colours."""
    values = _decode(dataset, syntax)
    eight_bits = (values >> max(0, dataset.BitsStored - 8)).astype(np.uint8)
    return np.asarray(Image.fromarray(eight_bits).convert("L"))


def _encode(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _explain(error: Exception) -> str:
    """Say why a file gives no picture, without its name and without quoting from it."""
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, InvalidDicomError):
        return "not a DICOM file"
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than there is"
    if isinstance(error, EOFError):
        return "the file is cut short"
    if isinstance(error, OSError) and error.strerror:
        return f"the file cannot be read: {error.strerror}"
    return "the file is damaged: its header or its pixel data cannot be read"
