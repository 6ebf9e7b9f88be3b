"""Write drawn chests as DICOM files, in any transfer syntax that VinDr-CXR or its like may come in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radvlm_cli.demo.anatomy import Field
from radvlm_cli.demo.jpeg_lossless import encode_lossless

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "jpeg2000": JPEG2000Lossless,
    "jpegls": JPEGLSLossless,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-baseline": JPEGBaseline8Bit,
    "rle": RLELossless,
}
"""Transfer syntaxes by short name; `jpeg-baseline` takes 8 bits and loses a little, the others up to 16 and nothing."""

Samples = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]
"""Pixel values, shape (rows, columns)."""

_ROOT = "1.2.826.0.1.3680043.10.1338"


class Form(NamedTuple):
    """How the pixels are kept."""

    syntax: str = "explicit"
    """A key of SYNTAXES."""
    bits: int = 12
    """BitsStored."""
    inverted: bool = False
    """MONOCHROME1: the smallest value is white."""
    signed: bool = False
    """PixelRepresentation 1: values around zero, and a rescale intercept that lifts them."""
    windowed: bool = True
    """Whether WindowCenter and WindowWidth are there, over the whole range."""


def write_dicom(path: Path, picture: Field, form: Form, *, number: int, pixels: bool = True) -> None:
    """Write a grey picture (0-1, bright is dense) as one DICOM file; without `pixels` it lacks the PixelData element.

    `number` tells the files of one world apart in their UIDs.
    """
    values = stored_values(picture, form)
    dataset = _header(values.shape, form, number)
    if pixels:
        _add_pixels(dataset, values, form)
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)


def stored_values(picture: Field, form: Form) -> Samples:
    """The values as the file keeps them."""
    top = (1 << form.bits) - 1
    values = np.rint((1 - picture if form.inverted else picture) * top).astype(np.int32)
    if form.signed:
        return (values - (1 << (form.bits - 1))).astype(np.int16)
    return values.astype(np.uint8) if form.bits <= 8 else values.astype(np.uint16)


def _header(shape: tuple[int, ...], form: Form, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{_ROOT}.1.{number}")
    # The syntax of the bare header; compressing the pixels changes it.
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = f"{_ROOT}.1.{number}"
    dataset.StudyInstanceUID = f"{_ROOT}.2.{number}"
    dataset.SeriesInstanceUID = f"{_ROOT}.3.{number}"
    dataset.Modality = "DX"
    dataset.PatientID = dataset.PatientName = ""
    dataset.ViewPosition = ""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if form.inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated = 8 if form.bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = form.bits, form.bits - 1
    dataset.PixelRepresentation = int(form.signed)
    half = 1 << (form.bits - 1)
    if form.signed:
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = half, 1, "US"
    if form.windowed:
        dataset.WindowCenter, dataset.WindowWidth = half, 2 * half
    return dataset


def _add_pixels(dataset: Dataset, values: Samples, form: Form) -> None:
    syntax = SYNTAXES[form.syntax]
    if form.syntax in ("jpeg-baseline", "jpeg-lossless"):
        frame = (
            _baseline(values)
            if form.syntax == "jpeg-baseline"
            else encode_lossless(values.astype(np.uint16), form.bits)
        )
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        return
    dataset.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW" if form.bits > 8 else "OB"
    if form.syntax in ("jpeg2000", "jpegls", "rle"):
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax


def _baseline(values: Samples) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(values.astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()
