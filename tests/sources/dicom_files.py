"""Small DICOM files, written tag by tag."""

from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

COMPRESSED = [JPEG2000Lossless, JPEGLSLossless, RLELossless]
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    *COMPRESSED,
]


def slope(bits: int = 12, *, signed: bool = False, rows: int = 72, columns: int = 100) -> np.ndarray:
    """Values that rise from the upper left to the lower right corner over the whole range."""
    y, x = np.mgrid[:rows, :columns]
    values = (x + y) / (rows + columns - 2) * ((1 << bits) - 1) - ((1 << (bits - 1)) if signed else 0)
    return values.astype(np.int16 if signed else np.uint8 if bits <= 8 else np.uint16)


def dataset_of(values: np.ndarray, bits: int = 12, **tags: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, "1.2.3"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.dtype.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def write(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    if syntax in COMPRESSED:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, dataset, enforce_file_format=True)
    return path
