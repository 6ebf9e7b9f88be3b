"""What a DICOM header says about showing its pixels: modality transform, window or VOI table, inversion.

The chain is that of DICOM PS3.3 C.11: stored value -> modality value -> display value. Window and VOI table apply to
modality values. A VOI table goes before a window, and the first of several of either counts. Where there is neither,
the picture is stretched from the smallest to the largest value that occurs, padding left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from radvlm_cli.sources.pixels import Grey, Unreadable, Values, Words, histogram, quantise, stretch


class Encoding(NamedTuple):
    """Where the value lies in a stored word."""

    allocated: int
    """Bits of a word: 8 or 16."""
    stored: int
    """Bits of the value; the others may hold anything (an overlay, rubbish)."""
    low_bit: int
    """Position of the value's lowest bit."""
    signed: bool

    def values(self) -> NDArray[np.int64]:
        """The value of every possible word, in order."""
        words = np.arange(1 << self.allocated)
        values = (words >> self.low_bit) & ((1 << self.stored) - 1)
        if self.signed:
            values -= (values >> (self.stored - 1)) << self.stored
        return values


def encoding_of(header: Dataset) -> Encoding:
    """Read how uncompressed 8- or 16-bit words hold their values; Unreadable where the header contradicts itself."""
    allocated = int(header.BitsAllocated)
    stored = int(header.get("BitsStored") or allocated)
    high_bit = header.get("HighBit")
    low_bit = 0 if high_bit is None else int(high_bit) + 1 - stored
    if not 0 <= low_bit <= allocated - stored:
        raise Unreadable("the header's bit numbers contradict one another")
    return Encoding(allocated, stored, low_bit, is_signed(header))


def is_signed(header: Dataset) -> bool:
    """Tell whether stored values are signed."""
    return bool(header.get("PixelRepresentation"))


def grey_table(header: Dataset, encoding: Encoding, words: Words) -> Grey:
    """Build the table from stored word to grey, shape (2 ** allocated,); `words` are looked at for their range only."""
    values = encoding.values().astype(np.float64)
    return grey_levels(header, values, lambda: histogram(words, values.size) > 0)


def grey_levels(header: Dataset, values: Values, occurring: Callable[[], NDArray[np.bool_]]) -> Grey:
    """Turn stored `values` of any shape into grey; `occurring` says which of them count for the range, if it is needed.

    Raises Unreadable where the header's transforms cannot be applied.
    """
    modality = _to_modality(header, values)
    shown = _through_voi_table(header, modality)
    if shown is None:
        shown = _through_window(header, modality)
    if shown is None:
        shown = stretch(modality, *_range(modality, occurring(), _is_padding(header, values)))
    if header.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    return quantise(shown)


def _to_modality(header: Dataset, values: Values) -> Values:
    item = _first_item(header, "ModalityLUTSequence")
    if item is not None:
        return _through_table(item, values)[0]
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    return values if slope in (None, 0) or intercept is None else values * slope + intercept


def _through_voi_table(header: Dataset, modality: Values) -> Values | None:
    item = _first_item(header, "VOILUTSequence")
    if item is None:
        return None
    entries, bits = _through_table(item, modality)
    return stretch(entries, 0, (1 << bits) - 1)


def _through_window(header: Dataset, modality: Values) -> Values | None:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3; None without a window, or with one whose width is not allowed."""
    center, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        steepness: Values = np.exp((-4 * (modality - center) / width).clip(-500, 500))
        return 1 / (1 + steepness)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (modality > center).astype(np.float64)
    return stretch(modality, center - width / 2, center + width / 2)


def _range(modality: Values, occurring: NDArray[np.bool_], padding: NDArray[np.bool_] | None) -> tuple[float, float]:
    """Smallest and largest of the values that occur; all of them count where everything is padding."""
    if padding is not None and (occurring & ~padding).any():
        occurring = occurring & ~padding
    counted = modality[occurring]
    return float(counted.min()), float(counted.max())


def _is_padding(header: Dataset, values: Values) -> NDArray[np.bool_] | None:
    padding, limit = _number(header, "PixelPaddingValue"), _number(header, "PixelPaddingRangeLimit")
    if padding is None:
        return None
    low, high = sorted((padding, padding if limit is None else limit))
    return (values >= low) & (values <= high)


def _through_table(item: Dataset, values: Values) -> tuple[Values, int]:
    """Look values up in a modality or VOI table; return the entries and how many bits an entry has."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = _entries(item.LUTData, count or 1 << 16)
    if entries.size == 0:
        raise Unreadable("a lookup table in the header is empty")
    index = np.rint(values - first).clip(0, entries.size - 1).astype(np.int64)
    return entries[index].astype(np.float64), max(bits, int(entries.max()).bit_length())


def _entries(data: Any, count: int) -> NDArray[np.int64]:
    """The entries of a table, which a header holds as numbers or as bytes, one or two (little endian) each."""
    if isinstance(data, bytes):
        size = "<u1" if len(data) < 2 * count else "<u2"
        return np.frombuffer(data, size, count=min(count, len(data) // int(size[-1]))).astype(np.int64)
    return np.atleast_1d(np.asarray(data, np.int64))


def _first_item(header: Dataset, keyword: str) -> Dataset | None:
    sequence = header.get(keyword)
    return sequence[0] if sequence else None


def _number(header: Dataset, keyword: str) -> float | None:
    """The first value of an element; None where it is absent, blank or not finite."""
    value = header.get(keyword)
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    if value is None or value == "":
        return None
    number = float(value)
    return number if math.isfinite(number) else None
