"""PadChest: 160,861 chest X-rays of San Juan Hospital with labels and stemmed Spanish reports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import NO_FINDING
from radvlm_cli.records import Image, Outcome, Report
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.cells import junk, whole
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
PadChest does not name: it lists what is present, never what is absent. An image with no counterpart at all has no
labels: for all we know it is abnormal. `normal` counts only where nothing but it and what is in `_NEUTRAL` is said."""

_NEUTRAL = frozenset(("normal", "", "unchanged", *_COUNTERPARTS["Support Devices"]))
"""Beside `normal`, what makes a chest no less so; 214 of the 232 rows that add something else add an abnormality."""

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
        place = _ImageFiles(layout)
        seen: set[str] = set()
        for number, row in enumerate(read_table(layout.path("table"), COLUMNS), 1):
            name, directory, study, patient, date, birth, sex, view, rows, columns, labels = row
            problem = _problem(number, name, directory, seen)
            if problem is not None:
                yield problem
                continue
            assert name is not None
            seen.add(name)
            names = _label_names(labels) if labels else frozenset[str]()
            if names is None:
                yield Outcome(name, "skipped", "the Labels cell is not a list; the labels are unknown")
            width, height, age = whole(columns), whole(rows), age_in_years(date, birth)
            if None in (width, height, age):
                year = date[:4] if date else None
                yield from junk(name, {"width": columns, "height": rows, "birth year": birth, "study year": year})
            path = place.path(directory, name)
            status, reason = presence(layout.data_dir / path, options)
            yield Image(
                source="padchest",
                image_id=name,
                patient_id=patient,
                study_id=study,
                split=None,
                view=view,
                root="data",
                path=path,
                width=width,
                height=height,
                sex=SEX.get(sex),
                age=age,
                labels=_findings(names or frozenset()),
                status=status,
                reason=reason,
            )

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """One report a study: stemmed Spanish without accents, as PadChest has it."""
        layout.require()
        seen: set[str] = set()
        rows = read_table(layout.path("table"), ["StudyID", "PatientID", "Report"])
        for number, (study, patient, text) in enumerate(rows, 1):
            if study is None:
                yield Outcome(f"row {number}", "failed", "the StudyID is blank")
                continue
            if study in seen:
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
    studied, born = whole(study_date[:4]) if study_date else None, whole(birth_year)
    if studied is None or born is None:
        return None
    return studied - born if 0 <= studied - born <= 120 else None


class _ImageFiles:
    """Where the images lie: in folders with numbers for names, which may lie in one called `images`."""

    def __init__(self, layout: Layout) -> None:
        found = (folder / "images" for folder in layout.folders)
        self._base = layout.relative(next((folder for folder in found if folder.is_dir()), layout.home))

    def path(self, directory: str | None, name: str) -> str:
        """The path below the data folder."""
        return f"{self._base}/{directory}/{name}" if directory else f"{self._base}/{name}"


def _problem(number: int, name: str | None, directory: str | None, seen: set[str]) -> Outcome | None:
    if name is None:
        return Outcome(f"row {number}", "failed", "the ImageID is blank")
    if name in seen:
        return Outcome(name, "skipped", "listed twice; the first row counts")
    if "/" in name or "/" in (directory or ""):
        return Outcome(name, "failed", "the ImageID or ImageDir is not a plain name")
    return None


@lru_cache(maxsize=1 << 14)
def _label_names(cell: str) -> frozenset[str] | None:
    """The names in a cell like "['normal', ' nodule']"; None if it is no list of names."""
    try:
        names = ast.literal_eval(cell)
        return frozenset(name.strip() for name in names) if isinstance(names, list) else None
    except (ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=1 << 14)
def _findings(names: frozenset[str]) -> str | None:
    """Canonical JSON of finding -> 1; None where no name has a counterpart."""
    known = names if names <= _NEUTRAL else names - {"normal"}
    found = {finding: 1 for name in known for finding in _FINDING_OF.get(name, ())}
    return canonical_json(found) if found else None
