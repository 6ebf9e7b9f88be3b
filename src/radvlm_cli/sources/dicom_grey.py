"""From stored values to grey levels: rescale, window, polarity, as one table.

A picture without a usable window or VOI LUT is stretched between its smallest and its largest value, pixel padding
left out. On a JPEG 2000 file decoded at a reduced size these are the extremes of the reduced picture, in which single
bright or dark pixels (markers, dead pixels) are averaged with their neighbours: the contrast may come out a little
higher than on the full picture.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from radvlm_cli.sources.dicom_pixels import Samples

Shares = NDArray[np.float64]
"""Brightness from 0 (black) to 1 (white), one per code."""


def grey_table(dataset: Dataset, samples: Samples) -> NDArray[np.uint8]:
    """Give the grey level of every code, 0 black to 255 white, as the file wants to be shown."""
    values = apply_modality_lut(samples.values, dataset).astype(np.float64)
    shares = _voi_lut(values, dataset)
    if shares is None:
        shares = _window(values, dataset)
    if shares is None:
        shares = _stretched(values, _present(dataset, samples))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    return np.rint(shares * 255).astype(np.uint8)


def _voi_lut(values: Shares, dataset: Dataset) -> Shares | None:
    items = dataset.get("VOILUTSequence")
    if not items or "LUTDescriptor" not in items[0] or "LUTData" not in items[0]:
        return None
    entries = apply_voi(np.rint(values).astype(np.int64), dataset)
    bits = cast(list[int], items[0].LUTDescriptor)[2]
    return np.clip(entries / ((1 << bits) - 1), 0, 1)


def _window(values: Shares, dataset: Dataset) -> Shares | None:
    """Apply the first window (PS3.3 C.11.2.1.2); None without one, or with a width that means nothing."""
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if center is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function == "LINEAR":
        # LINEAR reaches from the centre of the first value to the centre of the last.
        center, width = center - 0.5, max(width - 1, 1e-6)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _first(value: Any) -> float | None:
    if isinstance(value, MultiValue):
        value = value[0] if value else None
    return None if value is None or value == "" else float(value)


def _stretched(values: Shares, present: NDArray[np.bool_]) -> Shares:
    """Map the smallest to the largest value that is present to 0-1; a constant picture becomes mid grey."""
    if not present.any():
        return np.full(len(values), 0.5)
    low, high = values[present].min(), values[present].max()
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.full(len(values), 0.5)


def _present(dataset: Dataset, samples: Samples) -> NDArray[np.bool_]:
    """Tell which codes occur in the picture and are not pixel padding."""
    present: NDArray[np.bool_] = np.bincount(samples.codes.ravel(), minlength=len(samples.values)) > 0
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return present
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((padding, padding if limit is None else limit))
    present &= (samples.values < low) | (samples.values > high)
    return present
