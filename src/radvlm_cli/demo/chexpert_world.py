"""Phantom CheXpert: the tables of training, validation and test, and the images of all three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radvlm_cli.demo.chexpert_patients import View
from radvlm_cli.demo.findings import chexpert_labels
from radvlm_cli.demo.parts import Part
from radvlm_cli.demo.pictures import save_jpeg
from radvlm_cli.demo.tables import csv_text, write_bytes, write_table
from radvlm_cli.labels import CHEXPERT_ORDER, NO_FINDING

LABELS = (NO_FINDING, *CHEXPERT_ORDER)
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *LABELS)
_SPLIT_NAMES = {"train": "train", "valid": "validation", "test": "test"}


def write_chexpert(folder: Path, views: Sequence[View], *, published: bool) -> Part:
    """Write tables and images; the test table is `test_labels.csv`, or (`published`) `test.csv`.

    The training table says `CheXpert-v1.0-small/` before its paths, the validation table `CheXpert-v1.0/`.
    """
    listed = [view for view in views if view.in_chexpert]
    train, valid, test = ([v for v in listed if v.split == split] for split in _SPLIT_NAMES)
    write_table(folder / "train.csv", _COLUMNS, [_row(view, "CheXpert-v1.0-small") for view in train])
    write_table(folder / "valid.csv", _COLUMNS, [_complete_row(view) for view in valid])
    test_rows = [(view.path, *_complete(view)) for view in test]
    write_table(folder / ("test.csv" if published else "test_labels.csv"), ("Path", *LABELS), test_rows)
    _write_ground_truth(folder / "groundtruth.csv", test)
    for view in views:
        if view.present:
            save_jpeg(view.chest, folder / view.path, lateral=view.lateral)
    return _part(listed)


def _row(view: View, release: str) -> tuple[Any, ...]:
    labels = chexpert_labels(view.findings)
    return (*_description(view, release), *(labels.get(name) for name in LABELS))


def _description(view: View, release: str) -> tuple[Any, ...]:
    side = "Lateral" if view.lateral else "Frontal"
    return f"{release}/{view.path}", view.sex, view.age, side, view.projection


def _complete(view: View) -> list[float]:
    """Every label filled, by radiologists, who are certain."""
    labels = chexpert_labels(view.findings)
    return [max(labels.get(name, 0.0), 0.0) for name in LABELS]


def _complete_row(view: View) -> tuple[Any, ...]:
    return (*_description(view, "CheXpert-v1.0"), *_complete(view))


def _write_ground_truth(path: Path, test: Sequence[View]) -> None:
    """The other file of test labels: by study, whole numbers, no line end after the last row."""
    studies = {f"CheXpert-v1.0/{view.study_path}": [int(value) for value in _complete(view)] for view in test}
    text = csv_text(("Study", *LABELS), [(study, *values) for study, values in studies.items()])
    write_bytes(path, text.removesuffix("\n").encode())


def _part(listed: Sequence[View]) -> Part:
    leak = next(view for view in listed if view.case == "leak_chexpert")
    test_images = [v.path for v in listed if v.split == "test" and v.patient == leak.patient]
    return Part(
        facts={
            "images": len(listed),
            "images_present": sum(view.present for view in listed),
            "images_missing": sum(not view.present for view in listed),
            "images_by_split": dict(sorted(Counter(_SPLIT_NAMES[view.split] for view in listed).items())),
            "frontal_by_split": dict(
                sorted(Counter(_SPLIT_NAMES[view.split] for view in listed if not view.lateral).items())
            ),
            "patients": len({view.patient for view in listed}),
        },
        components={"chexpert-classification": [v.entry() for v in listed if v.split == "train" and not v.lateral]},
        evaluation={"chexpert-classification-test": [v.entry() for v in listed if v.split == "test" and not v.lateral]},
        leaks=(
            {
                "kind": "CheXpert training row of a patient of the test set",
                "cohort": "chexpert",
                "patient": f"patient{leak.patient:05d}",
                "train_images": [leak.path],
                "evaluation_images": test_images,
            },
        ),
        cases={view.case: view.path for view in listed if view.case and not view.lateral},
    )
