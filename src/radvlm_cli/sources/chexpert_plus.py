"""CheXpert Plus: the reports of CheXpert's images, in sections, with labels read from them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from radvlm_cli.errors import DataError
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome, Report, Split
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.cells import years
from radvlm_cli.sources.chexpert import INFO as CHEXPERT
from radvlm_cli.sources.chexpert import SEX, ImageFiles, patient_of
from radvlm_cli.sources.labels import labels_json
from radvlm_cli.sources.layout import Info, Layout, Requirement, locate
from radvlm_cli.sources.presence import Presence, presence
from radvlm_cli.sources.tables import Row, read_table

_SPLITS: dict[str | None, Split] = {"train": "train", "valid": "validation"}
_PNG_TREES = ("PNG", "PNG/PNG")
_COLUMNS = ("path_to_image", "frontal_lateral", "ap_pa", "age", "sex", "split")
_SECTIONS = (
    "path_to_image",
    "split",
    "section_findings",
    "section_impression",
    "section_comparison",
    "section_clinical_history",
    "section_history",
)

INFO = Info(
    name="chexpert-plus",
    title="CheXpert Plus",
    folders=("CheXpertPlus", "CheXpert-Plus", "CheXpert_Plus", "CheXpert"),
    obtain="https://stanfordaimi.azurewebsites.net/datasets/5158c524-d3ab-4e02-96e9-6ee9efc110a1",
    licence="Stanford University Dataset Research Use Agreement",
    credentialed=True,
    requirements=(
        Requirement("reports", ("df_chexpert_plus_240401.csv",), "report table"),
        Requirement(
            "labels",
            ("chexbert_labels/report_fixed.json", "report_fixed.json"),
            "CheXbert labels of the whole reports",
            needed=False,
        ),
    ),
)


class CheXpertPlus(Source):
    """Images (CheXpert's JPEG, else CheXpert Plus's PNG), and one report a study.

    The patient is that of the path, as in CheXpert, whose patients these are.
    """

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every row of the report table."""
        layout.require()
        labels: dict[str, str] = {}
        if "labels" in layout.found:
            yield from _read_labels(layout.path("labels"), labels)
        places = _Places(layout, options)
        seen: set[str] = set()
        unlabelled = 0
        for number, row in enumerate(read_table(layout.path("reports"), _COLUMNS), 1):
            problem = _problem(number, row[0], row[-1])
            if problem is None and row[0] in seen:
                problem = Outcome(str(row[0]), "skipped", "listed twice; the first row counts")
            if problem is not None:
                yield problem
                continue
            seen.add(str(row[0]))
            age = row[_COLUMNS.index("age")]
            if age and years(age) is None:
                yield Outcome(f"{row[0]} age", "skipped", "the age is not a number of years; it is unknown")
            values = labels.pop(str(row[0]), None)
            unlabelled += values is None
            yield _image(row, places, values)
        if unlabelled and "labels" in layout.found:
            yield Outcome("images", "skipped", f"{unlabelled:,} images have no row in the label file: labels unknown")
        if labels:
            yield Outcome("labels", "skipped", f"{len(labels):,} label rows name no image of the report table")

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """One report a study, from the first of its rows: all rows of a study carry the same text."""
        layout.require()
        seen: set[str] = set()
        for number, (path, split, *sections) in enumerate(read_table(layout.path("reports"), _SECTIONS), 1):
            if path is None or _problem(number, path, split) is not None:
                continue  # told among the images
            study = path.rsplit("/", 1)[0]
            if study in seen:
                continue
            seen.add(study)
            findings, impression, comparison, clinical_history, history = (_text(section) for section in sections)
            if findings is None and impression is None:
                yield Outcome(study, "skipped", "the report has neither findings nor impression")
            yield Report(
                source="chexpert-plus",
                study_id=study,
                patient_id=patient_of(path),
                split=_SPLITS[split],
                language="en",
                findings=findings,
                impression=impression,
                last_paragraph=None,
                comparison=comparison,
                history=clinical_history or history,
                text=None,
                origin="published",
            )


class _Places:
    """Where the image files are: CheXpert v1.0's JPEG where that is there, else CheXpert Plus's PNG."""

    def __init__(self, layout: Layout, options: Options) -> None:
        self._options, self._home = options, layout.relative(layout.home)
        self._data_dir = layout.data_dir.as_posix()
        homes = (locate(CHEXPERT, layout.data_dir), layout)
        jpeg = [(split, ImageFiles(home, split)) for home in homes for split in _SPLITS.values()]
        self._jpeg = {split: files for split, files in reversed(jpeg) if files.found}
        trees = (folder / tree for folder in layout.folders for tree in _PNG_TREES)
        self._png = [layout.relative(tree) for tree in trees if any((tree / name).is_dir() for name in _SPLITS if name)]

    def find(self, name: str, split: Split) -> tuple[str, Presence]:
        """The path of `train/patient1/study1/view1_frontal.jpg` below the data folder, and whether it is there."""
        candidates = [f"{tree}/{name.removesuffix('.jpg')}.png" for tree in self._png]
        if split in self._jpeg:
            candidates.insert(0, self._jpeg[split].prefix + self._jpeg[split].path(name))
        candidates = candidates or [f"{self._home}/{name}"]
        for path in candidates:
            found = presence(f"{self._data_dir}/{path}", self._options)
            if found.status != "missing":
                return path, found
        return candidates[0], found


def _problem(number: int, path: str | None, split: str | None) -> Outcome | None:
    if path is None:
        return Outcome(f"row {number}", "failed", "the path_to_image cell is blank")
    if patient_of(path) is None:
        return Outcome(path, "failed", "the path is not split/patient/study/view")
    if split not in _SPLITS:
        return Outcome(path, "failed", "the split is neither train nor valid")
    return None


def _image(row: Row, places: _Places, labels: str | None) -> Image:
    name, side, projection, age, sex, split = row
    assert name is not None
    path, (status, reason) = places.find(name, _SPLITS[split])
    return Image(
        source="chexpert-plus",
        image_id=name.removesuffix(".jpg"),
        patient_id=patient_of(name),
        study_id=name.rsplit("/", 1)[0],
        split=_SPLITS[split],
        view="LATERAL" if side == "Lateral" else projection or "FRONTAL",
        root="data",
        path=path,
        width=None,
        height=None,
        sex=SEX.get(sex),
        age=years(age),
        labels=labels,
        status=status,
        reason=reason,
    )


def _read_labels(path: Path, labels: dict[str, str]) -> Iterator[Outcome]:
    """Fill `labels`: path_to_image -> canonical JSON. The file is JSON Lines, whatever its suffix says."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                problem = _read_label_line(line, labels)
                if problem is not None:
                    yield Outcome(f"{path.name} line {number}", "failed", problem)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", f"Obtain it again from {INFO.obtain}, or mend its permissions."
        ) from error


def _read_label_line(line: bytes, labels: dict[str, str]) -> str | None:
    """Enter one line into `labels`; what is wrong with it, if anything."""
    if line.isspace():
        return None
    try:
        row = json.loads(line)
        name = row["path_to_image"]
        cells = tuple(None if row.get(finding) is None else str(row[finding]) for finding in FINDINGS)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "the line is not a row of labels"
    if not isinstance(name, str):
        return "the line is not a row of labels"
    if name in labels:
        return "listed twice; the first line counts"
    values = labels_json(FINDINGS, cells)
    if values is None:
        return "a label is none of 1, 0, -1 and null"
    labels[name] = values
    return None


def _text(section: str | None) -> str | None:
    return (section.strip() or None) if section else None
