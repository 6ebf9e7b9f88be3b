"""MIMIC-CXR: chest X-rays (MIMIC-CXR-JPG) with labels read from the reports, and the reports (MIMIC-CXR)."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Literal

from radvlm_cli.errors import DataError
from radvlm_cli.files import atomic_write
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome, Report, Split
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.cells import MOST
from radvlm_cli.sources.labels import labels_json
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.mimic_reports import SECTION_COLUMNS, SPLITS, read_reports
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import Row, read_table

_SEXES: dict[str | None, Sex] = {"F": "F", "M": "M"}
_NO_SPLIT = "the split is none of train, validate and test"
_METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Columns", "Rows")
_LOOKS = 500
"""Folders to look into before believing that none holds an image."""

Sex = Literal["F", "M"]
Entry = Split | Literal["taken", "unusable"]
"""What is known of an id of the split table: its split, or that its image was met, or that the split is no good."""

INFO = Info(
    name="mimic",
    title="MIMIC-CXR",
    folders=("MIMIC-CXR-JPG", "MIMIC-CXR"),
    obtain="https://physionet.org/content/mimic-cxr-jpg/ (reports: https://physionet.org/content/mimic-cxr/)",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    credentialed=True,
    requirements=(
        Requirement("metadata", ("mimic-cxr-2.0.0-metadata.csv",), "image metadata"),
        Requirement("split", ("mimic-cxr-2.0.0-split.csv",), "official split"),
        Requirement("chexpert", ("mimic-cxr-2.0.0-chexpert.csv",), "CheXpert labels"),
        Requirement("images", ("files",), "folder of JPEG images", needed=False),
        Requirement(
            "reports",
            (
                "mimic-cxr-reports.zip",
                "mimic-cxr-reports",
                "files/p10/p10000032/s50414267.txt",
                "reports.csv",
                "mimic_cxr_sectioned.csv",
            ),
            "reports",
            needed=False,
        ),
        Requirement(
            "sex",
            (
                "../CHEST_IMA/utils/cxr-study-list_v2.csv",
                "../[Cc]hest[-_][Ii]ma[Gg]enome*/utils/cxr-study-list_v2.csv",
                "../[Cc]hest[-_][Ii]ma[Gg]enome*/*/utils/cxr-study-list_v2.csv",
                "genders.json",
            ),
            "patients' sex (the study list of Chest ImaGenome, or genders.json)",
            needed=False,
        ),
    ),
)


class Mimic(Source):
    """Images, labels, split and reports; sex from Chest ImaGenome's study list where that is there."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every row of the metadata table that has a split, in the table's order."""
        layout.require()
        splits: dict[str, Entry] = {}
        labels: dict[str, str] = {}
        yield from _read_splits(layout.path("split"), splits)
        yield from _read_labels(layout.path("chexpert"), labels)
        table, join = layout.path("metadata"), _Join(layout, options, splits, labels)
        for number, row in enumerate(read_table(table, _METADATA), 1):
            if row[0] is None:
                yield Outcome(f"{table.name} row {number}", "failed", "the dicom_id is blank")
                continue
            image = join.image(row[0], row)
            yield image
            if isinstance(image, Image) and image.width is None:
                yield Outcome(
                    image.image_id, "failed", "Columns or Rows is not a number of pixels; the size is unknown"
                )
        for dicom, split in splits.items():
            if split != "taken" and split != "unusable":
                yield Outcome(dicom, "skipped", "in the split table but not in the metadata table")

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """One report for each study that has one, by patient and study; see mimic_reports."""
        layout.require()
        return read_reports(layout, options)


def write_reports_csv(path: Path, reports: Iterable[Report]) -> int:
    """Write the sections of `reports` as the official `mimic_cxr_sectioned.csv` has them; return the number of rows.

    Rows come in the order given; `Mimic.reports` gives them by patient and study, as the official program does but for
    the studies of one patient, whose order there depends on the file system.
    """
    rows = 0
    with atomic_write(path) as stream:
        writer = csv.writer(stream)
        writer.writerow(SECTION_COLUMNS)
        for report in reports:
            sections = (report.impression, report.findings, report.last_paragraph, report.comparison)
            writer.writerow((f"s{report.study_id}", *sections))
            rows += 1
    return rows


class _Join:
    """The tables that say more about a metadata row; the entry in `splits` of an image that was met becomes `taken`."""

    def __init__(self, layout: Layout, options: Options, splits: dict[str, Entry], labels: dict[str, str]) -> None:
        self._splits, self._labels, self._options = splits, labels, options
        self._sex = _sexes(layout)
        folder = _image_folder(layout)
        self._root, base = os.fspath(folder), layout.relative(folder)
        self._prefix = "" if base == "." else f"{base}/"

    def image(self, dicom: str, row: Row) -> Image | Outcome:
        """The image of a metadata row, or why there is none."""
        _, subject, study, view, columns, rows = row
        split = self._splits.get(dicom)
        if split is None:
            return Outcome(dicom, "skipped", "in the metadata table but not in the split table")
        if split == "taken":
            return Outcome(dicom, "skipped", "listed twice in the metadata table; the first row counts")
        if split == "unusable":
            return Outcome(dicom, "failed", _NO_SPLIT)
        self._splits[dicom] = "taken"
        if subject is None or study is None or not (subject.isdecimal() and study.isdecimal()):
            return Outcome(dicom, "failed", "subject_id or study_id is not a number")
        if not dicom.replace("-", "").isalnum():
            return Outcome(dicom, "failed", "the dicom_id is not made of letters, digits and hyphens")
        width, height = _pixels(columns), _pixels(rows)
        if width is None or height is None:
            width = height = None
        path = f"files/p{subject[:2]}/p{subject}/s{study}/{dicom}.jpg"
        status, reason = presence(f"{self._root}/{path}", self._options)
        sex = self._sex(dicom, study)
        labels = self._labels.get(study)
        path = self._prefix + path
        # By position, in the order of records.Image: a third of the time of keywords, which shows at 377,110 images.
        return Image(
            "mimic", dicom, subject, study, split, view, "data", path, width, height, sex, None, labels, status, reason
        )


def _read_splits(table: Path, splits: dict[str, Entry]) -> Iterator[Outcome]:
    """Fill `splits`: DICOM id -> split."""
    for number, (dicom, name) in enumerate(read_table(table, ["dicom_id", "split"]), 1):
        split = SPLITS.get(name)
        if dicom is None:
            yield Outcome(f"{table.name} row {number}", "failed", "the dicom_id is blank")
        elif dicom in splits:
            yield Outcome(dicom, "skipped", "listed twice in the split table; the first row counts")
        elif split is None:
            splits[dicom] = "unusable"
            yield Outcome(dicom, "failed", _NO_SPLIT)
        else:
            splits[dicom] = split


def _read_labels(table: Path, labels: dict[str, str]) -> Iterator[Outcome]:
    """Fill `labels`: study -> canonical JSON."""
    for number, row in enumerate(read_table(table, ["study_id", *FINDINGS]), 1):
        study, text = row[0], labels_json(FINDINGS, row[1:])
        if study is None:
            yield Outcome(f"{table.name} row {number}", "failed", "the study_id is blank")
        elif study in labels:
            yield Outcome(f"study {study}", "skipped", "labels listed twice; the first row counts")
        elif text is None:
            yield Outcome(f"study {study}", "failed", "a label is none of 1, 0, -1 and blank")
        else:
            labels[study] = text


@lru_cache(maxsize=8192)
def _pixels(cell: str | None) -> int | None:
    """A positive whole number of pixels (also `2544.0`, as pandas writes a column with gaps), else None."""
    try:
        number = float(cell or "")
    except ValueError:
        return None
    return int(number) if number.is_integer() and 0 < number <= MOST else None


def _sexes(layout: Layout) -> Callable[[str, str], Sex | None]:
    """A function of DICOM id and study that tells the patient's sex."""
    table = layout.found.get("sex")
    if table is None:
        return lambda dicom, study: None
    if table.suffix == ".json":
        by_image = _read_genders(table)
        return lambda dicom, study: by_image.get(dicom)
    rows = read_table(table, ["study_id", "gender"])
    by_study = {study: _SEXES[sex] for study, sex in rows if study is not None and sex in _SEXES}
    return lambda dicom, study: by_study.get(study)


def _read_genders(path: Path) -> dict[str, Sex]:
    """Read genders.json, an undocumented file of the published code: DICOM id -> `F` or `M`."""
    try:
        genders = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON.", f"Restore or remove it: mv {path} {path}.damaged") from error
    if not isinstance(genders, dict):
        raise DataError(f"{path} is not a JSON object of DICOM ids.", f"Remove it: mv {path} {path}.damaged")
    return {dicom: _SEXES[sex] for dicom, sex in genders.items() if isinstance(sex, str) and sex in _SEXES}


def _image_folder(layout: Layout) -> Path:
    """The folder whose `files/` holds JPEG images (MIMIC-CXR's own holds reports or DICOM), else the tables' folder."""
    for folder in layout.folders:
        names = (name for _, _, names in islice(os.walk(folder / "files"), _LOOKS) for name in names)
        if any(name.endswith(".jpg") for name in names):
            return folder
    return layout.path("metadata").parent
