"""The reports of MIMIC-CXR: raw, cut into sections here, or adopted from a table of sections made earlier.

The raw reports win where both are there, because the official table lacks the 54 studies that `sections` recovers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.records import Outcome, Report, Split
from radvlm_cli.sources import Options
from radvlm_cli.sources.archive import File, read_files
from radvlm_cli.sources.layout import Layout
from radvlm_cli.sources.sections import extract, is_custom
from radvlm_cli.sources.tables import read_table

SPLITS: dict[str | None, Split] = {"train": "train", "validate": "validation", "test": "test"}
"""The names of the official split table and ours."""
SECTION_COLUMNS = ("study", "impression", "findings", "last_paragraph", "comparison")
"""Header of the official section table."""

_REPORT_NAME = re.compile(r"(?:^|/)p(\d+)/s(\d+)\.txt$")
_STUDY = re.compile(r"s?(\d+)")
_LOOKS = 500
"""Folders to look into before believing that none holds a report."""
_ABSENT = "there is neither mimic-cxr-reports.zip nor its folder nor a table of sections"


class _Study(NamedTuple):
    """What the split table says of a study."""

    patient: str | None
    split: Split | None


_UNLISTED = _Study(None, None)


def read_reports(layout: Layout, options: Options) -> Iterator[Report | Outcome]:
    """One report for each study that has one, raw reports by patient and study, adopted ones in the table's order.

    A report whose study is not in the split table is kept, without a split. A study of the table without a report
    is an Outcome, and so are the 54 custom-rule studies where the user asked for the official selection. Raises
    DataError where the place of the reports holds none.
    """
    place = _report_place(layout)
    if place is None:
        yield Outcome("reports", "skipped", _ABSENT)
        return
    waiting = _read_studies(layout.path("split"))
    read = _read_adopted if ".csv" in place.suffixes else _read_raw
    done: set[str] = set()
    for report in read(place, waiting, done):
        if options.official_sections and isinstance(report, Report) and is_custom(f"s{report.study_id}"):
            yield Outcome(f"study {report.study_id}", "skipped", "left out as in the official section table")
        else:
            yield report
    if not done:
        raise DataError(f"{place} holds no report.", f"Obtain it again from {layout.info.obtain}")
    for study in waiting:
        if study not in done:
            yield Outcome(f"study {study}", "skipped", "no report")


def _report_place(layout: Layout) -> Path | None:
    """The archive, folder or table that the reports are in."""
    found = layout.found.get("reports")
    if found is not None and (found.suffix == ".zip" or found.is_dir()):
        return found
    if found is not None and found.suffix == ".txt":
        return found.parents[2]
    for folder in layout.folders:
        names = (name for _, _, names in islice(os.walk(folder / "files"), _LOOKS) for name in names)
        if any(_REPORT_NAME.search(f"/p0/{name}") for name in names):
            return folder / "files"
    return found


def _read_studies(table: Path) -> dict[str, _Study]:
    """Patient and split of each study; studies share the tuples of their patient."""
    studies: dict[str, _Study] = {}
    shared: dict[_Study, _Study] = {}
    for study, patient, split in read_table(table, ["study_id", "subject_id", "split"]):
        if study is not None and study not in studies:
            entry = _Study(patient, SPLITS.get(split))
            studies[study] = shared.setdefault(entry, entry)
    return studies


def _read_raw(place: Path, studies: dict[str, _Study], done: set[str]) -> Iterator[Report | Outcome]:
    # `files/` may hold a folder of images beside each report: do not look into 227,835 of them.
    for file in read_files(place, _REPORT_NAME, depth=2 if place.name == "files" else 3):
        match = _REPORT_NAME.search(file.name)
        assert match is not None
        patient, study = match.groups()
        known = studies.get(study, _UNLISTED)
        if study in done:
            yield Outcome(f"study {study}", "skipped", "two reports; the first one counts")
            continue
        done.add(study)
        if known.patient is not None and known.patient != patient:
            yield Outcome(f"study {study}", "failed", "the report lies in another patient's folder than the tables say")
            continue
        text, problem = _text(file)
        if problem is not None:
            yield Outcome(f"study {study}", "failed", problem)
            continue
        if not text.strip():
            yield Outcome(f"study {study}", "skipped", "the report is empty; it is kept without sections")
        found = extract(f"s{study}", text)
        yield Report(
            source="mimic",
            study_id=study,
            patient_id=patient,
            split=known.split,
            language="en",
            findings=found.findings,
            impression=found.impression,
            last_paragraph=found.last_paragraph,
            comparison=found.comparison,
            history=found.history,
            text=None,
            origin=found.origin,
        )


def _text(file: File) -> tuple[str, str | None]:
    """The report as text with universal newlines, as the official program reads it; and what is wrong with the file."""
    if file.problem is not None:
        return "", file.problem
    if b"\0" in file.content:
        return "", "the report holds zero bytes: a part of it is lost"
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError:
        return "", "the report is not UTF-8 text"
    return (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text), None


def _read_adopted(table: Path, studies: dict[str, _Study], done: set[str]) -> Iterator[Report | Outcome]:
    # `None` and `NaN` are blanks in a table of numbers, but words in a report.
    for number, row in enumerate(read_table(table, SECTION_COLUMNS, blanks=("",)), 1):
        name, impression, findings, last_paragraph, comparison = row
        match = _STUDY.fullmatch(name or "")
        if match is None:
            yield Outcome(f"{table.name} row {number}", "failed", "the study is not s and a number")
            continue
        study = match.group(1)
        if study in done:
            yield Outcome(f"study {study}", "skipped", "two reports; the first one counts")
            continue
        done.add(study)
        known = studies.get(study, _UNLISTED)
        yield Report(
            source="mimic",
            study_id=study,
            patient_id=known.patient,
            split=known.split,
            language="en",
            findings=findings,
            impression=impression,
            last_paragraph=last_paragraph,
            comparison=comparison,
            history=None,
            text=None,
            origin="adopted",
        )
