"""A small store of Open-i reports to curate."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

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


def fill_images(store: Store, run: Run, number: int) -> None:
    """Put `number` MIMIC-CXR images with curated reports into a store, to talk about."""
    with store.write() as connection:
        for n in range(number):
            connection.exec_driver_sql(
                "INSERT INTO image (source, image_id, study_id, split, view, root, path, status, run_id) "
                "VALUES ('mimic', ?, ?, 'train', 'PA', 'data', ?, 'present', ?)",
                (f"image-{n}", f"s{n}", f"MIMIC-CXR/image-{n}.jpg", run.id),
            )
            connection.exec_driver_sql(
                "INSERT INTO curated_text (source, study_id, text, origin, run_id) VALUES ('mimic', ?, ?, 'rules', ?)",
                (f"s{n}", report_text(n), run.id),
            )


def make_store(path: Path, number: int) -> Path:
    """A store of its own with Open-i reports."""
    from radvlm_cli.store.engine import open_store
    from radvlm_cli.store.runs import open_run

    with open_store(path) as store, open_run(store, "test", {}) as run:
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
