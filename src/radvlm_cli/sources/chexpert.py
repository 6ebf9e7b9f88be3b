"""CheXpert v1.0: frontal and lateral chest X-rays with labels read from the reports (train) or by radiologists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from radvlm_cli.records import Image, Outcome, Split
from radvlm_cli.sources import Options, Source
from radvlm_cli.sources.cells import years
from radvlm_cli.sources.labels import label_columns, labels_json
from radvlm_cli.sources.layout import Info, Layout, Requirement
from radvlm_cli.sources.presence import presence
from radvlm_cli.sources.tables import read_header, read_table

_RELEASE = re.compile(r"^CheXpert-v1\.0(-small)?/")
_IMAGE = re.compile(r"[a-z]+/(patient[0-9]+)/study[0-9]+/[^/]+")
_DEMOGRAPHICS = ("Sex", "Age", "AP/PA", "Frontal/Lateral")
_INNER = ("", "CheXpert-v1.0", "CheXpert-v1.0-small", "CheXpert")
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
    match = _IMAGE.fullmatch(path)
    return match[1] if match is not None else None


def _read_split(layout: Layout, table: Path, split: Split, options: Options) -> Iterator[Image | Outcome]:
    header = read_header(table)
    if "Study" in header and "Path" not in header:
        yield Outcome(table.name, "skipped", "study-level labels without image paths; use test_labels.csv")
        return
    columns = tuple(label_columns(header))
    needed, rest = (_DEMOGRAPHICS, ()) if split == "train" else ((), _DEMOGRAPHICS)  # test labels come without
    place = ImageFiles(layout, split)
    seen: set[str] = set()
    for number, row in enumerate(read_table(table, ("Path", *columns, *needed), optional=rest), 1):
        path = strip_release(row[0]) if row[0] else None
        labels = labels_json(columns, row[1 : len(columns) + 1])
        problem = _problem(f"{table.name} row {number}", path, labels, seen)
        if problem is not None:
            yield problem
            continue
        assert path is not None
        seen.add(path)
        sex, age, projection, side = row[len(columns) + 1 :]
        if age and years(age) is None:
            yield Outcome(f"{path} age", "skipped", "the age is not a number of years; it is unknown")
        file = place.path(path)
        status, reason = presence(f"{place.folder}/{file}", options)
        yield Image(
            source="chexpert",
            image_id=path.removesuffix(".jpg"),
            patient_id=patient_of(path),
            study_id=path.rsplit("/", 1)[0],
            split=split,
            view=_view(path, side, projection),
            root="data",
            path=f"{place.prefix}{file}",
            width=None,
            height=None,
            sex=SEX.get(sex),
            age=years(age) or None,  # 0 is CheXpert's unknown
            labels=labels,
            status=status,
            reason=reason,
        )


def _problem(row: str, path: str | None, labels: str | None, seen: set[str]) -> Outcome | None:
    if path is None:
        return Outcome(row, "failed", "the Path cell is blank")
    if patient_of(path) is None:
        return Outcome(path, "failed", "the path is not split/patient/study/view")
    if path in seen:
        return Outcome(path, "skipped", "listed twice; the first row counts")
    if labels is None:
        return Outcome(path, "failed", "a label is none of 1, 0, -1 and blank")
    return None


def _view(path: str, side: str | None, projection: str | None) -> str:
    if side == "Lateral" or (side is None and not path.endswith("frontal.jpg")):
        return "LATERAL"
    return projection or "FRONTAL"


class ImageFiles:
    """Where the images of a split lie: the folder that holds `train/`, `valid/` and `test/`, under some name."""

    def __init__(self, layout: Layout, split: Split) -> None:
        self._names = {"train": ("train",), "validation": ("valid", "val"), "test": ("test",)}[split]
        folders = [folder / inner for folder in layout.folders for inner in _INNER]
        found = ((folder, name) for folder in folders for name in self._names if (folder / name).is_dir())
        folder, self._name = next(found, (layout.home, ""))
        self.found = bool(self._name)
        """Whether there is such a folder; if not, the images are expected in the dataset's own."""
        self.folder = folder.as_posix()
        base = layout.relative(folder)
        self.prefix = "" if base == "." else f"{base}/"

    def path(self, path: str) -> str:
        """The file of a table's path: CheXlocalize calls the folder `val/` where the tables say `valid/`."""
        first, _, rest = path.partition("/")
        return f"{self._name}/{rest}" if self._name and first in self._names else path
