"""Phantom PadChest: the one big table, with reports in stemmed Spanish. Its own images are not written."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radvlm_cli.demo.findings import KINDS
from radvlm_cli.demo.padchest_patients import Exposure
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.sentences import sentence_es
from radvlm_cli.demo.tables import write_table

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"

COLUMNS = (
    "",
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "Pediatric",
    "Modality_DICOM",
    "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM",
    "PixelRepresentation_DICOM",
    "PixelAspectRatio_DICOM",
    "SpatialResolution_DICOM",
    "BitsStored_DICOM",
    "WindowCenter_DICOM",
    "WindowWidth_DICOM",
    "Rows_DICOM",
    "Columns_DICOM",
    "XRayTubeCurrent_DICOM",
    "Exposure_DICOM",
    "ExposureInuAs_DICOM",
    "ExposureTime",
    "RelativeXRayExposure_DICOM",
    "ReportID",
    "Report",
    "MethodLabel",
    "Labels",
    "Localizations",
    "LabelsLocalizationsBySentence",
    "labelCUIS",
    "LocalizationsCUIS",
)
_POSITIONS = {"PA": "POSTEROANTERIOR", "AP": "ANTEROPOSTERIOR", "L": "LATERAL"}


def write_padchest(folder: Path, exposures: Sequence[Exposure]) -> Part:
    """Write the table, the images of PadChest-GR among its rows."""
    write_table(folder / TABLE, COLUMNS, [_row(position, exposure) for position, exposure in enumerate(exposures)])
    reports = {exposure.study_id: _report(exposure) for exposure in exposures}
    return Part(
        facts={
            "images": len(exposures),
            "images_present": 0,
            "images_by_projection": dict(sorted(Counter(exposure.projection for exposure in exposures).items())),
            "patients": len({exposure.patient_id for exposure in exposures}),
            "studies": len(reports),
            "reports_with_text": sum(bool(text) for text in reports.values()),
            "note": "PadChest's own images are not part of the world; those of PadChest-GR are.",
        },
        cases={exposure.case: exposure.image_id for exposure in exposures if exposure.case},
    )


def birth_year(exposure: Exposure) -> int:
    """The patient's year of birth."""
    return 1930 + exposure.number % 50


def window(exposure: Exposure) -> tuple[int, int]:
    """Significant bits of the image and the middle of their range."""
    bits = 10 if exposure.number % 4 == 3 else 12
    return bits, 1 << (bits - 1)


def _row(position: int, exposure: Exposure) -> list[Any]:
    bits, middle = window(exposure)
    described: dict[str, Any] = {
        "": position,
        "ImageID": exposure.image_id,
        "ImageDir": position % 3,
        "StudyDate_DICOM": 20140101 + position % 28,
        "StudyID": exposure.study_id,
        "PatientID": exposure.patient_id,
        "PatientBirth": float(birth_year(exposure)),
        "PatientSex_DICOM": exposure.sex,
        "ViewPosition_DICOM": _POSITIONS.get(exposure.projection),
        "Projection": exposure.projection,
        "MethodProjection": "Manual review of DICOM fields",
        "Pediatric": "No",
        "Modality_DICOM": "CR",
        "Manufacturer_DICOM": "Phantom",
        "PhotometricInterpretation_DICOM": "MONOCHROME2",
        "PixelRepresentation_DICOM": 0,
        "PixelAspectRatio_DICOM": "None",
        "SpatialResolution_DICOM": "None",
        "BitsStored_DICOM": bits,
        "WindowCenter_DICOM": middle,
        "WindowWidth_DICOM": 2 * middle,
        "Rows_DICOM": exposure.chest.height,
        "Columns_DICOM": exposure.chest.width,
        "ReportID": 4_000_000 + position,
        "Report": _report(exposure),
        "MethodLabel": "Physician" if position % 4 == 0 else "RNN_model",
        "Localizations": "[]",
        "labelCUIS": "[]",
        "LocalizationsCUIS": "[]",
    }
    if exposure.case != "blank_report":
        # A leading space in some labels is how the real table has them.
        names = [" " * (place % 2) + KINDS[f.kind].padchest for place, f in enumerate(exposure.findings)] or ["normal"]
        described["Labels"] = repr(names)
        described["LabelsLocalizationsBySentence"] = repr([[name] for name in names])
    return [described.get(column) for column in COLUMNS]


def _report(exposure: Exposure) -> str | None:
    if exposure.case == "blank_report":
        return None
    said = [sentence_es(finding) for finding in exposure.findings] or ["Sin hallazgos patológicos."]
    return "".join(f" {_stemmed(text)} ." for text in said)


def _stemmed(text: str) -> str:
    """Lower case, without accents and endings, as the reports of the real table."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    return " ".join(re.sub(r"(ad[oa]|ion|[aeio]s?)$", "", word) if len(word) > 4 else word for word in words)
