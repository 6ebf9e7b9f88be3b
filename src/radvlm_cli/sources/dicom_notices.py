"""What somebody who looks at one DICOM file has to know of it before its pixels; nothing that names a patient."""

from __future__ import annotations

import warnings
from pathlib import Path

from pydicom import dcmread

_PREAMBLE = 128
_RADIOGRAPHS = ("CR", "DX", "RG", "XR")
_MODALITIES = {
    "CT": "a CT slice",
    "MR": "an MR slice",
    "US": "an ultrasound picture",
    "MG": "a mammogram",
    "PT": "a PET slice",
    "NM": "a nuclear medicine picture",
}


def is_dicom(path: Path) -> bool:
    """Whether a file says that it is DICOM, by its content or its name."""
    with path.open("rb") as stream:
        stream.seek(_PREAMBLE)
        return stream.read(4) == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def notices(path: Path) -> list[str]:
    """Sentences on a DICOM file that can be read: burned-in words, and what is no radiograph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each oddity in a header, as in dicom.convert
        header = dcmread(path, specific_tags=["BurnedInAnnotation", "Modality"], stop_before_pixels=True)
        burned_in = str(header.get("BurnedInAnnotation") or "").strip().upper()
        modality = str(header.get("Modality") or "").strip().upper()
    said = []
    if burned_in == "YES":
        said.append(
            "The header says that words are burned into the picture (they may name the patient): the model sees them, "
            "and they stay in what is saved."
        )
    if modality and modality not in _RADIOGRAPHS and modality in _MODALITIES:
        said.append(f"This is {_MODALITIES[modality]}, not a radiograph: the models know chest radiographs.")
    return said
