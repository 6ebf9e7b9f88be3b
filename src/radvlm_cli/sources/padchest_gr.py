"""PadChest-GR: 4,555 PadChest images whose findings are written sentence by sentence and boxed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import DataError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Box, Grounding, Image, Outcome, Split
from radvlm_cli.sources import Conversion, Images, Options, Source
from radvlm_cli.sources.boxes import encode_boxes, normalise
from radvlm_cli.sources.cells import junk, whole
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.padchest import SEX, TABLE, age_in_years
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import read_table

_SPLITS: dict[str | None, Split] = {"train": "train", "validation": "validation", "test": "test"}
_FOLDERS = ("Padchest_GR_files/PadChest_GR", "PadChest_GR", "images_grounding")
CONVERTED = "images_grounding_jpg"
"""Folder of the 8-bit JPEGs, below the dataset's derived folder. Not a name of the official release."""
_DETAIL = ("abnormal", "labels", "locations", "progression", "sentence_es", "extra_boxes")
_FAR_OUTSIDE = 2.0
"""Corners are shares of the image. One beyond this is none: clipping it would give a box that nobody drew."""

INFO = Info(
    name="padchest-gr",
    title="PadChest-GR",
    folders=("PadChest", "PadChest-GR", "PadChest_GR", "BIMCV-PadChest-GR"),
    obtain="https://bimcv.cipf.es/bimcv-projects/padchest-gr/",
    licence="PadChest-GR Research Use Agreement",
    credentialed=True,
    requirements=(
        Requirement("findings", ("grounded_reports_20240819.json",), "grounded reports"),
        Requirement("master", ("master_table.csv", "master_table.csv.zip"), "master table"),
        Requirement(
            "padchest", (TABLE, f"../PadChest/{TABLE}"), "PadChest's label table (for the projection)", needed=False
        ),
        Requirement("images", _FOLDERS, "16-bit PNG images", needed=False),
    ),
)


class _Row(NamedTuple):
    study: str | None
    patient: str | None
    split: Split
    birth: str | None
    sex: str | None
    date: str | None


class PadChestGr(Source):
    """Images (converted to 8 bit) and findings with their boxes."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """The images of the master table, by its first row for each."""
        layout.require()
        master: dict[str, _Row] = {}
        yield from _read_master(layout.path("master"), master)
        known = _projections(layout, set(master))
        if not known:
            yield Outcome(TABLE, "skipped", "PadChest's label table is not there: the projection is unknown")
        for name, row in master.items():
            target = _target(layout, name)
            status, reason = presence(target, options)
            if status == "missing":
                reason = "not converted yet" if _original(layout, name) else "image file not found"
            if known and name not in known:
                yield Outcome(f"{name} projection", "skipped", "PadChest's label table lacks it: no projection")
            view, columns, rows = known.get(name, (None, None, None))
            yield from junk(name, {"width": columns, "height": rows, "birth year": row.birth})
            yield Image(
                source="padchest-gr",
                image_id=name,
                patient_id=row.patient,
                study_id=row.study,
                split=row.split,
                view=view,
                root="derived",
                path=layout.relative_derived(target),
                width=whole(columns),
                height=whole(rows),
                sex=SEX.get(row.sex),
                age=age_in_years(row.date, row.birth),
                labels=None,
                status=status,
                reason=reason,
            )

    def conversions(self, layout: Layout, options: Options) -> Iterator[Conversion]:
        """Every image of the master table whose PNG is there."""
        for name in _told_master(layout):
            original = _original(layout, name)
            if original is not None:
                yield Conversion(name, original, _target(layout, name))

    def groundings(self, layout: Layout, options: Options, images: Images) -> Iterator[Grounding | Outcome]:
        """One per finding sentence; those without a box too (boxes `[]`): a dialogue wants the normal ones as well."""
        layout.require()
        master = {name: row for name, row in _told_master(layout).items() if name in images}
        seen: set[str] = set()
        for number, record in enumerate(_read_findings(layout.path("findings")), 1):
            name = record.get("ImageID") if isinstance(record, dict) else None
            problem = _problem(name, record, master, seen)
            if problem is not None:
                yield Outcome(name if isinstance(name, str) and name else f"record {number}", "failed", problem)
                continue
            seen.add(str(name))
            yield from _ground(str(name), record["findings"], master[str(name)].split)
        for name in sorted(master.keys() - seen):
            yield Outcome(name, "skipped", "the image has no grounded report")


def _problem(name: Any, record: Any, master: dict[str, _Row], seen: set[str]) -> str | None:
    if not name or not isinstance(name, str):
        return "the record has no ImageID"
    if name not in master:
        return "the image is not in the master table"
    if name in seen:
        return "listed twice; the first record counts"
    findings = record.get("findings")
    if not isinstance(findings, list) or not all(isinstance(finding, dict) for finding in findings):
        return "the record's findings are not a list of objects"
    return None


def _ground(name: str, findings: list[dict[str, Any]], split: Split) -> Iterator[Grounding | Outcome]:
    ordinal = 0
    for number, finding in enumerate(findings):
        item = f"{name} finding {number}"
        detail = {key: finding[key] for key in _DETAIL if finding.get(key) not in (None, [])}
        phrase, labels, problem = _wording(finding, detail)
        if problem is not None:
            yield Outcome(item, "failed" if phrase else "skipped", problem)
            continue
        boxes: list[Box] = []
        for place, corners in enumerate(finding.get("boxes") or []):
            made = _box(corners)
            if isinstance(made, str):
                yield Outcome(f"{item} box {place}", "skipped", f"box {made}")
            else:
                boxes.append(made)
        yield Grounding(
            source="padchest-gr",
            image_source="padchest-gr",
            image_id=name,
            kind="phrase",
            ordinal=ordinal,
            split=split,
            label=labels[0] if labels else None,
            phrase=phrase,
            boxes=encode_boxes(boxes),
            detail=canonical_json(detail),
        )
        ordinal += 1


def _wording(finding: dict[str, Any], detail: dict[str, Any]) -> tuple[str, list[str], str | None]:
    """Sentence and labels of a finding, and what is wrong with it."""
    sentence, labels, boxes = (finding.get(key) for key in ("sentence_en", "labels", "boxes"))
    phrase = sentence.strip() if isinstance(sentence, str) else ""
    if not phrase:
        return "", [], "the English sentence is blank"
    if not isinstance(boxes or [], list):
        return phrase, [], "the boxes are not a list"
    if not isinstance(labels or [], list) or not all(isinstance(label, str) for label in labels or []):
        return phrase, [], "the labels are not a list of names"
    try:
        canonical_json([phrase, detail]).encode()
    except ValueError:  # the store takes neither
        return phrase, [], "it holds NaN, or text that is not Unicode"
    return phrase, labels or [], None


def _box(corners: Any) -> Box | str:
    """A valid box, or what is wrong with it. PadChest-GR's corners are 0-1 already."""
    numbers = isinstance(corners, list) and all(type(corner) in (int, float) for corner in corners)
    if not numbers or len(corners) != 4:
        return "not four numbers"
    x_min, y_min, x_max, y_max = corners
    if max(map(abs, corners)) > _FAR_OUTSIDE:
        return "in pixels, or far outside the image"
    made = normalise(x_min, y_min, x_max, y_max, 1, 1)
    return made.box if made.box is not None else str(made.problem)


def _told_master(layout: Layout) -> dict[str, _Row]:
    """The master table; what is wrong with it is told among the images."""
    master: dict[str, _Row] = {}
    for _ in _read_master(layout.path("master"), master):
        continue
    return master


def _read_master(path: Path, master: dict[str, _Row]) -> Iterator[Outcome]:
    """Fill `master`: image id -> row. The table has a row for each label of an image; they agree but for the label."""
    columns = ("ImageID", "StudyID", "PatientID", "split", "PatientBirth", "PatientSex_DICOM", "StudyDate_DICOM")
    for number, (name, study, patient, split, birth, sex, date) in enumerate(read_table(path, columns), 1):
        if name is None:
            yield Outcome(f"{path.name} row {number}", "failed", "the ImageID is blank")
        elif "/" in name:
            yield Outcome(name, "failed", "the ImageID is not a plain name")
        elif split not in _SPLITS:
            yield Outcome(name, "failed", "the split is none of train, validation and test")
        elif name not in master:
            master[name] = _Row(study, patient, _SPLITS[split], birth, sex, date)
        elif master[name].split != _SPLITS[split]:
            yield Outcome(name, "failed", "listed in two splits; the first row counts")


def _projections(layout: Layout, wanted: set[str]) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Projection, columns and rows, as cells, of the wanted images from PadChest's own table, where that is there."""
    if "padchest" not in layout.found:
        return {}
    rows = read_table(layout.path("padchest"), ["ImageID", "Projection", "Columns_DICOM", "Rows_DICOM"])
    return {name: (view, columns, height) for name, view, columns, height in rows if name in wanted}


def _read_findings(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as JSON; it may be cut short.", f"Obtain it again from {INFO.obtain}"
        ) from error
    if not isinstance(records, list):
        raise DataError(f"{path} is not a list of reports.", f"Obtain it again from {INFO.obtain}")
    return records


def _original(layout: Layout, name: str) -> Path | None:
    return next((path for f in layout.folders for g in _FOLDERS if (path := f / g / name).is_file()), None)


def _target(layout: Layout, name: str) -> Path:
    return layout.derived / CONVERTED / f"{Path(name).stem}.jpg"
