"""PadChest: 160,861 chest X-rays of San Juan Hospital with labels and stemmed Spanish reports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import NO_FINDING
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import read_table

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = (
    "ImageID",
    "ImageDir",
    "StudyID",
    "PatientID",
    "StudyDate_DICOM",
    "PatientBirth",
    "PatientSex_DICOM",
    "Projection",
    "Rows_DICOM",
    "Columns_DICOM",
    "Labels",
)
SEX: dict[str | None, Literal["F", "M"]] = {"F": "F", "M": "M"}

_COUNTERPARTS = {
    "Atelectasis": (
        "atelectasis", "laminar atelectasis", "lobar atelectasis", "segmental atelectasis", "total atelectasis",
        "round atelectasis", "atelectasis basal",
    ),
    "Cardiomegaly": ("cardiomegaly",),
    "Consolidation": ("consolidation",),
    "Edema": ("pulmonary edema",),
    "Enlarged Cardiomediastinum": ("mediastinal enlargement", "superior mediastinal enlargement"),
    "Fracture": (
        "fracture", "rib fracture", "callus rib fracture", "clavicle fracture", "humeral fracture",
        "vertebral fracture",
    ),
    "Lung Lesion": ("nodule", "multiple nodules", "pulmonary mass", "mass", "lung metastasis"),
    "Lung Opacity": (
        "infiltrates", "interstitial pattern", "reticular interstitial pattern", "reticulonodular interstitial pattern",
        "alveolar pattern", "ground glass pattern", "increased density", "consolidation",
    ),
    NO_FINDING: ("normal",),
    "Pleural Effusion": ("pleural effusion", "loculated pleural effusion", "loculated fissural effusion"),
    "Pleural Other": (
        "pleural thickening", "apical pleural thickening", "calcified pleural thickening", "pleural plaques",
        "calcified pleural plaques", "pleural mass",
    ),
    "Pneumonia": ("pneumonia", "atypical pneumonia"),
    "Pneumothorax": ("pneumothorax", "hydropneumothorax"),
    "Support Devices": (
        "NSG tube", "endotracheal tube", "tracheostomy tube", "chest drain tube", "gastrostomy tube", "catheter",
        "central venous catheter", "central venous catheter via jugular vein",
        "central venous catheter via subclavian vein", "central venous catheter via umbilical vein",
        "reservoir central venous catheter", "pacemaker", "dual chamber device", "single chamber device",
        "electrical device", "dai", "ventriculoperitoneal drain tube",
    ),
}  # fmt: skip
"""PadChest labels with a clear counterpart among the fourteen findings. All others stay unknown, as do findings that
PadChest does not name: it lists what is present, never what is absent."""

_FINDING_OF: dict[str, list[str]] = {}
for _finding, _names in _COUNTERPARTS.items():
    for _name in _names:
        _FINDING_OF.setdefault(_name, []).append(_finding)

INFO = Info(
    name="padchest",
    title="PadChest",
    folders=("PadChest", "BIMCV-PadChest", "PADCHEST"),
    obtain="https://bimcv.cipf.es/bimcv-projects/padchest/",
    licence="PadChest Dataset Research Use Agreement",
    credentialed=True,
    requirements=(
        Requirement("table", (TABLE,), "label table"),
        Requirement("images", ("images", "0"), "image folders", needed=False),
    ),
)


class PadChest(Source):
    """Images, labels and reports. The files are 16-bit PNG; only PadChest-GR converts its own to 8 bit."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every row of the table."""
        layout.require()
        folder = layout.home / "images" if (layout.home / "images").is_dir() else layout.home
        base = layout.relative(folder)
        seen: set[str] = set()
        for number, row in enumerate(read_table(layout.path("table"), COLUMNS), 1):
            name, directory, study, patient, date, birth, sex, view, rows, columns, labels = row
            if name is None or name in seen:
                reason = "the ImageID is blank" if name is None else "listed twice; the first row counts"
                yield Outcome(name or f"row {number}", "failed" if name is None else "skipped", reason)
                continue
            seen.add(name)
            findings = _findings(labels) if labels else None
            if labels and findings is None:
                yield Outcome(name, "skipped", "the Labels cell is not a list; the labels are unknown")
            status, reason_ = presence(Path(folder, directory or "", name), options)
            yield Image(
                source="padchest",
                image_id=name,
                patient_id=patient,
                study_id=study,
                split=None,
                view=view,
                root="data",
                path=f"{base}/{directory}/{name}",
                width=_whole(columns),
                height=_whole(rows),
                sex=SEX.get(sex),
                age=age_in_years(date, birth),
                labels=findings,
                status=status,
                reason=reason_,
            )

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """One report a study: stemmed Spanish without accents, as PadChest has it."""
        layout.require()
        seen: set[str] = set()
        for study, patient, text in read_table(layout.path("table"), ["StudyID", "PatientID", "Report"]):
            if study is None or study in seen:
                continue
            seen.add(study)
            if text is None or not text.strip():
                yield Outcome(study, "skipped", "the report is blank")
                continue
            yield Report(
                source="padchest",
                study_id=study,
                patient_id=patient,
                split=None,
                language="es",
                findings=None,
                impression=None,
                last_paragraph=None,
                comparison=None,
                history=None,
                text=text.strip(),
                origin="published",
            )


def age_in_years(study_date: str | None, birth_year: str | None) -> int | None:
    """Age from a date `20140915` and a year `1930.0`, to the year; None if either is unknown."""
    if not study_date or not birth_year or not study_date[:4].isdigit():
        return None
    try:
        age = int(study_date[:4]) - int(float(birth_year))
    except ValueError:
        return None
    return age if 0 <= age <= 120 else None


@lru_cache(maxsize=1 << 14)
def _findings(labels: str) -> str | None:
    """Canonical JSON of the findings in a cell like "['normal', ' nodule']"; None if it is not a list."""
    try:
        names = ast.literal_eval(labels)
        found = {finding: 1 for name in names for finding in _FINDING_OF.get(name.strip(), ())}
    except (ValueError, SyntaxError, TypeError, AttributeError):
        return None
    return canonical_json(found)


def _whole(cell: str | None) -> int | None:
    return int(float(cell)) if cell and cell.replace(".", "", 1).isdigit() else None
