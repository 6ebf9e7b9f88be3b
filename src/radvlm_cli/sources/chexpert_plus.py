"""CheXpert Plus: the reports of CheXpert's images, in sections, with labels read from them again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import FINDINGS
from radvlm_cli.records import Image, Outcome, Report, Split
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.chexpert import SEX, patient_of
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import Row, read_table

_SPLITS: dict[str | None, Split] = {"train": "train", "valid": "validation"}
_PNG_TREES = ("PNG", "PNG/PNG")
_COLUMNS = ("path_to_image", "frontal_lateral", "ap_pa", "deid_patient_id", "age", "sex", "split")
_SECTIONS = (
    "path_to_image",
    "deid_patient_id",
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
    """Images (CheXpert's JPEG, else CheXpert Plus's PNG), and one report a study."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every row of the report table."""
        layout.require()
        labels: dict[str, str] = {}
        if "labels" in layout.found:
            yield from _read_labels(layout.path("labels"), labels)
        place = _ImageFiles(layout)
        seen: set[str] = set()
        for row in read_table(layout.path("reports"), _COLUMNS):
            problem = _problem(row[0], row[-1])
            if problem is None and row[0] in seen:
                problem = Outcome(str(row[0]), "skipped", "listed twice; the first row counts")
            if problem is not None:
                yield problem
                continue
            seen.add(str(row[0]))
            yield _image(row, place, labels, options)

    def reports(self, layout: Layout, options: Options) -> Iterator[Report | Outcome]:
        """One report a study, from the first of its rows: all rows of a study carry the same text."""
        layout.require()
        seen: set[str] = set()
        for path, patient, split, *sections in read_table(layout.path("reports"), _SECTIONS):
            if path is None or _problem(path, split) is not None:
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
                patient_id=patient,
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


class _ImageFiles:
    """Where the image files are: CheXpert v1.0's JPEG where that is there, else the PNG tree."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._jpeg = next((f for f in _chexpert_folders(layout) if (f / "train").is_dir()), None)
        trees = (folder / tree for folder in layout.folders for tree in _PNG_TREES)
        self._png = next((tree for tree in trees if (tree / "train").is_dir()), None)

    def path(self, name: str) -> Path:
        """The file of `train/patient1/study1/view1_frontal.jpg`."""
        if self._jpeg is None and self._png is not None:
            return self._png / f"{name.removesuffix('.jpg')}.png"
        return (self._jpeg or self._layout.home) / name

    def relative(self, path: Path) -> str:
        """The path as it is stored."""
        return self._layout.relative(path)


def _chexpert_folders(layout: Layout) -> Iterator[Path]:
    names = ("CheXpert", "CheXpert-v1.0", "CheXpert-v1.0-small")
    for folder in (*layout.folders, *(layout.data_dir / name for name in names)):
        for inner in ("", "CheXpert-v1.0", "CheXpert-v1.0-small"):
            yield folder / inner


def _problem(path: str | None, split: str | None) -> Outcome | None:
    if path is None:
        return Outcome("row without path", "failed", "the path_to_image cell is blank")
    if patient_of(path) is None:
        return Outcome(path, "failed", "the path is not split/patient/study/view")
    if split not in _SPLITS:
        return Outcome(path, "failed", "the split is neither train nor valid")
    return None


def _image(row: Row, place: _ImageFiles, labels: dict[str, str], options: Options) -> Image:
    name, side, projection, patient, age, sex, split = row
    assert name is not None
    path = place.path(name)
    status, reason = presence(path, options)
    return Image(
        source="chexpert-plus",
        image_id=name.removesuffix(".jpg"),
        patient_id=patient or patient_of(name),
        study_id=name.rsplit("/", 1)[0],
        split=_SPLITS[split],
        view="LATERAL" if side == "Lateral" else projection or "FRONTAL",
        root="data",
        path=place.relative(path),
        width=None,
        height=None,
        sex=SEX.get(sex),
        age=int(float(age)) if age else None,
        labels=labels.get(name),
        status=status,
        reason=reason,
    )


def _read_labels(path: Path, labels: dict[str, str]) -> Iterator[Outcome]:
    """Fill `labels`: path_to_image -> canonical JSON. The file is JSON Lines, whatever its suffix says."""
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                values = {f: int(row[f]) for f in FINDINGS if row.get(f) is not None}
                labels[row["path_to_image"]] = canonical_json(values)
            except (ValueError, TypeError, KeyError, AttributeError):
                yield Outcome(f"{path.name} line {number}", "failed", "the line is not a row of labels")


def _text(section: str | None) -> str | None:
    return (section.strip() or None) if section else None
