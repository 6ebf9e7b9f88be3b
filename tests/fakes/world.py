"""Small stores made by hand: Open-i reports to curate, images of MIMIC-CXR and PadChest-GR to talk about."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from tests.stores import empty_store

SENTENCES = (
    "The heart is mildly enlarged.",
    "There is a small left pleural effusion.",
    "The lungs are clear.",
    "No pneumothorax.",
    "Unchanged right basilar atelectasis.",
    "Compared with the prior study, the effusion has increased.",
    "No new focal consolidation.",
    "Degenerative changes of the thoracic spine.",
)


def report_text(number: int) -> str:
    """One of many different reports."""
    first = SENTENCES[number % len(SENTENCES)]
    second = SENTENCES[(number // len(SENTENCES)) % len(SENTENCES)]
    return f"{first} {second} A {number + 2} mm calcified granuloma is in the right lung."


def fill(store: Store, run: Run, number: int) -> None:
    """Put `number` Open-i reports into a store."""
    rows = [("openi", str(n), "en", report_text(n), "published", run.id) for n in range(number)]
    with store.write() as connection:
        for row in rows:
            connection.exec_driver_sql(
                "INSERT INTO report (source, study_id, language, findings, origin, run_id) VALUES (?,?,?,?,?,?)", row
            )


def make_store(path: Path, number: int) -> Path:
    """A store of its own with Open-i reports."""
    from radvlm_cli.store.engine import open_store
    from radvlm_cli.store.runs import open_run

    with open_store(empty_store(path)) as store, open_run(store, "test", {}) as run:
        fill(store, run, number)
    return path


def make_place(tmp_path: Path, number: int = 60, name: str = "work") -> list[str]:
    """A data folder with a store of Open-i reports; the options that name it."""
    data = tmp_path / name
    (data / "Open-i").mkdir(parents=True)
    make_store(data / "radvlm.db", number)
    return ["--source", "openi", "--data-dir", str(data)]


def rows_of(place: list[str], sql: str) -> list[tuple[Any, ...]]:
    """What a query finds in the store of a place."""
    with closing(sqlite3.connect(Path(place[-1]) / "radvlm.db")) as connection:
        return connection.execute(sql).fetchall()


def texts_of(place: list[str]) -> list[tuple[Any, ...]]:
    """Study, text and origin of every curated text of a place."""
    return rows_of(place, "SELECT study_id, text, origin FROM curated_text ORDER BY study_id")


LESIONS = (
    ("Small right pleural effusion.", "Pleural Effusion"),
    ("The heart is mildly enlarged.", "Cardiomegaly"),
    ("Nodule in the left upper lung.", "Lung Opacity"),
    ("Right apical pneumothorax.", "Pneumothorax"),
)
SPLITS = ("train", "train", "train", "validation", "test")


def lesions(number: int) -> tuple[tuple[str, str], ...]:
    """What one of many images shows: one to four things."""
    return tuple(LESIONS[(number + step) % len(LESIONS)] for step in range(1 + number % len(LESIONS)))


def box(number: int, step: int) -> list[float]:
    """The box of one thing on one image; no two are alike, not of 500 images."""
    left = 0.1 + 0.2 * step + number // 50 / 100
    return [left, 0.1 + number % 50 / 100, left + 0.15, 0.8]


def image_text(number: int) -> str:
    """The curated report of one of many images."""
    return " ".join([*(phrase for phrase, _label in lesions(number)), f"A {number + 2} mm granuloma is on the right."])


def fill_images(store: Store, run: Run, number: int) -> None:
    """Put `number` images of MIMIC-CXR with curated reports and of PadChest-GR into a store.

    One view in five is lateral, one image in seven without boxes, one report in six not curated.
    """
    views = ("PA", "AP", "PA", "AP", "LATERAL")
    images, texts, groundings = [], [], []
    for offset, source in enumerate(("mimic", "padchest-gr")):
        annotation = "mscxr" if source == "mimic" else source
        for n in range(number):
            row_id, name = 1 + offset * number + n, f"{source}-{n}{'' if source == 'mimic' else '.png'}"
            split, view = SPLITS[n % len(SPLITS)], views[n // len(SPLITS) % len(views)]
            labels = json.dumps({label: 1 for _phrase, label in lesions(n)} | {"Fracture": 0})
            known = (row_id, source, name, f"p{n}", f"s{n}", split, view, "data", f"{name}.jpg", "F", labels, "present")
            images.append((*known, run.id))
            for step, (phrase, label) in enumerate(lesions(n) if n % 7 else ()):
                boxes = json.dumps([box(n, step)])
                groundings.append((annotation, row_id, step, "phrase", split, label, phrase, boxes, run.id))
            if source == "mimic" and n % 6:
                texts.append((source, f"s{n}", image_text(n), "rules", run.id))
    columns = "id, source, image_id, patient_id, study_id, split, view, root, path, sex, labels, status, run_id"
    _insert(store, "image", columns, images)
    _insert(store, "curated_text", "source, study_id, text, origin, run_id", texts)
    _insert(store, "grounding", "source, image_id, ordinal, kind, split, label, phrase, boxes, run_id", groundings)


def make_image_store(path: Path, number: int) -> Path:
    """A store of its own with images to talk about."""
    from radvlm_cli.store.engine import open_store
    from radvlm_cli.store.runs import open_run

    with open_store(empty_store(path)) as store, open_run(store, "test", {}) as run:
        fill_images(store, run, number)
    return path


def _insert(store: Store, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(columns.split(",")))
    with store.write() as connection:
        for row in rows:
            connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)
