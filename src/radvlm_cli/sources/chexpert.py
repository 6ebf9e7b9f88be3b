"""CheXpert v1.0: frontal and lateral chest X-rays with labels read from the reports (train) or by radiologists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from radvlm_cli.hashing import canonical_json
from radvlm_cli.labels import ALIASES, FINDINGS
from radvlm_cli.records import Image, Outcome, Split
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import read_header, read_table

_RELEASE = re.compile(r"^CheXpert-v1\.0(-small)?/")
_PATIENT = re.compile(r"patient\d+")
_LABEL_VALUES = {"1.0": 1, "1": 1, "0.0": 0, "0": 0, "-1.0": -1, "-1": -1}
SEX: dict[str | None, Literal["F", "M"]] = {"Female": "F", "Male": "M"}

INFO = Info(
    name="chexpert",
    title="CheXpert",
    folders=("CheXpert", "CheXpert-v1.0", "CheXpert-v1.0-small", "chexpertchestxrays-u20210408"),
    obtain="https://stanfordaimi.azurewebsites.net/datasets/8cbd9ed4-2eb9-4565-affc-111cf4f7ebe2",
    licence="Stanford University Dataset Research Use Agreement",
    credentialed=True,
    requirements=(
        Requirement("train", ("train.csv", "CheXpert-v1.0/train.csv", "CheXpert-v1.0-small/train.csv"), "train labels"),
        Requirement(
            "valid",
            ("valid.csv", "val_labels.csv", "CheXpert-v1.0/valid.csv", "CheXpert-v1.0-small/valid.csv"),
            "validation labels",
            needed=False,
        ),
        Requirement(
            "test",
            ("test_labels.csv", "test.csv", "CheXpert/test_labels.csv", "groundtruth.csv"),
            "test labels (in the CheXlocalize download)",
            needed=False,
        ),
    ),
)


class CheXpert(Source):
    """Images and labels of train, validation and test."""

    info = INFO

    def images(self, layout: Layout, options: Options) -> Iterator[Image | Outcome]:
        """Every row of the three tables; validation and test where they are there."""
        layout.require()
        splits: tuple[tuple[str, Split], ...] = (("train", "train"), ("valid", "validation"), ("test", "test"))
        for name, split in splits:
            if name in layout.found:
                yield from _read_split(layout, layout.path(name), split, options)


def strip_release(path: str) -> str:
    """`CheXpert-v1.0-small/train/patient1/study1/view1_frontal.jpg` -> `train/patient1/...`; test has no prefix."""
    return _RELEASE.sub("", path)


def patient_of(path: str) -> str | None:
    """The patient of `train/patient00001/study1/view1_frontal.jpg`; None for a path of another shape."""
    patient = _PATIENT.search(path)
    return patient.group() if patient is not None and path.count("/") == 3 else None


def _read_split(layout: Layout, table: Path, split: Split, options: Options) -> Iterator[Image | Outcome]:
    header = read_header(table)
    if "Study" in header and "Path" not in header:
        yield Outcome(table.name, "skipped", "study-level labels without image paths; use test_labels.csv")
        return
    names = [name for name in header if ALIASES.get(name, name) in FINDINGS]
    findings = [ALIASES.get(name, name) for name in names]
    folder = _image_folder(layout, split)
    base = layout.relative(folder)
    seen: set[str] = set()
    for row in read_table(table, ["Path", *names], optional=["Sex", "Age", "AP/PA", "Frontal/Lateral"]):
        path, *cells = row
        if path is None:
            yield Outcome(f"{table.name} without path", "failed", "the Path cell is blank")
            continue
        path = strip_release(path)
        patient = patient_of(path)
        if patient is None:
            yield Outcome(path, "failed", "the path is not split/patient/study/view")
            continue
        if path in seen:
            yield Outcome(path, "skipped", "listed twice; the first row counts")
            continue
        seen.add(path)
        values, (sex, age, projection, side) = cells[: len(names)], cells[len(names) :]
        labels = {finding: _LABEL_VALUES.get(value) for finding, value in zip(findings, values, strict=True) if value}
        if None in labels.values():
            yield Outcome(path, "failed", "a label is none of 1, 0, -1 and blank")
            continue
        relative = _relocated(path, split, folder)
        status, reason = presence(folder / relative, options)
        yield Image(
            source="chexpert",
            image_id=path.removesuffix(".jpg"),
            patient_id=patient,
            study_id=path.rsplit("/", 1)[0],
            split=split,
            view=_view(path, side, projection),
            root="data",
            path=f"{base}/{relative}" if base != "." else relative,
            width=None,
            height=None,
            sex=SEX.get(sex),
            age=int(float(age)) if age and float(age) > 0 else None,
            labels=canonical_json(labels),
            status=status,
            reason=reason,
        )


def _view(path: str, side: str | None, projection: str | None) -> str:
    if side == "Lateral" or (side is None and not path.endswith("frontal.jpg")):
        return "LATERAL"
    return projection or "FRONTAL"


def _image_folder(layout: Layout, split: Split) -> Path:
    """The folder that holds `train/`, `valid/` and `test/`."""
    names = {"train": ("train",), "validation": ("valid", "val"), "test": ("test",)}[split]
    for folder in layout.folders:
        for inner in ("", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert"):
            if any((folder / inner / name).is_dir() for name in names):
                return folder / inner
    return layout.home


def _relocated(path: str, split: Split, folder: Path) -> str:
    """CheXlocalize calls the folder `val/` where the tables say `valid/`, or the other way round."""
    if split == "validation":
        here, there = ("valid/", "val/") if path.startswith("valid/") else ("val/", "valid/")
        if not (folder / here).is_dir() and (folder / there).is_dir():
            return there + path.removeprefix(here)
    return path
