"""A small store with a built evaluation dataset, and how to evaluate over it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from radvlm_cli.recipes import parse_recipe
from radvlm_cli.stages.datasets.build import BuildOptions, build
from radvlm_cli.stages.evaluation.evaluate import Evaluated, evaluate
from radvlm_cli.stages.evaluation.request import MACHINES, Asked, make_request
from radvlm_cli.store.engine import Store, open_store
from radvlm_cli.store.runs import open_run
from tests.stores import empty_store

RECIPE = """
name: test
components:
  - {name: reports, task: report, source: mimic, split: test, expected: 3314}
  - {name: findings, task: classification, source: mimic, split: test}
  - {name: phrases, task: phrase-grounding, source: mscxr, split: test, expected: 189}
  - {name: boxes, task: abnormality-detection, source: vindr, split: test}
  - {name: talks, task: conversation, source: mimic, split: test}
"""
TURNS = [["human", "What is seen?"], ["gpt", "Edema."], ["human", "Where?"], ["gpt", "Left."]]


class Bench(NamedTuple):
    """A store and the folders around it."""

    folder: Path

    @property
    def path(self) -> Path:
        """Of the store."""
        return self.folder / "radvlm.db"

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"


def make_bench(folder: Path, images: int = 5) -> Bench:
    """Images of MIMIC and VinDr with all that can be asked about them, prepared and built."""
    bench = Bench(folder)
    (bench.data / "mimic").mkdir(parents=True)
    with open_store(empty_store(bench.path)) as store, open_run(store, "prepare", {}) as run:
        with closing(sqlite3.connect(bench.path)) as connection, connection:
            for number in range(images):
                _add_image(connection, bench, number, run.id)
        build_dataset(bench, store)
    return bench


def _add_image(connection: sqlite3.Connection, bench: Bench, number: int, run_id: int) -> None:
    for source in ("mimic", "vindr"):
        path = f"{source}/{number}.jpg"
        (bench.data / path).parent.mkdir(exist_ok=True)
        Image.new("L", (60 + number, 80)).save(bench.data / path)
        connection.execute(
            "INSERT INTO image (source, image_id, patient_id, study_id, split, view, root, path, sex, age, labels, "
            "status, run_id) VALUES (?, ?, ?, ?, 'test', 'PA', 'data', ?, 'F', 60, ?, 'present', ?)",
            (source, f"i{number}", f"p{number // 2}", f"s{number}", path, '{"Edema":1,"Fracture":0}', run_id),
        )
        image = connection.execute("SELECT last_insert_rowid()").fetchone()[0]
        grounding = (
            "INSERT INTO grounding (source, image_id, ordinal, kind, split, label, phrase, boxes, run_id) VALUES "
        )
        if source == "vindr":
            boxes = json.dumps([[0.1, 0.2, 0.3, 0.4]])
            values = ("vindr", image, 0, "abnormality", "test", "Nodule/Mass", None, boxes, run_id)
            connection.execute(f"{grounding} (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            continue
        values = ("mscxr", image, 0, "phrase", "test", "Edema", f"edema {number}", "[[0.5,0.5,0.75,0.75]]", run_id)
        connection.execute(f"{grounding} (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        connection.execute(
            "INSERT INTO curated_text (source, study_id, text, origin, run_id) VALUES ('mimic', ?, ?, 'rules', ?)",
            (f"s{number}", f"Report number {number}.", run_id),
        )
        connection.execute(
            "INSERT INTO report (source, study_id, split, language, history, origin, run_id) "
            "VALUES ('mimic', ?, 'test', 'en', 'Cough.', 'sections', ?)",
            (f"s{number}", run_id),
        )
        connection.execute(
            "INSERT INTO conversation (source, image_id, kind, split, turns, origin, run_id) "
            "VALUES ('mimic', ?, 'standard', 'test', ?, 'rules', ?)",
            (image, json.dumps(TURNS), run_id),
        )


def build_dataset(bench: Bench, store: Store, output: str = "test", recipe: str = RECIPE) -> None:
    """Build the evaluation dataset."""
    with open_run(store, "build", {}) as run:
        build(
            run,
            recipe=parse_recipe(recipe, "test"),
            evaluation=None,
            output=bench.folder / "datasets" / output,
            data_dir=bench.data,
            derived_dir=bench.data,
            options=BuildOptions(seed=0),
        )


def script(bench: Bench, name: str = "script.json", **content: Any) -> str:
    """Name of a scripted model."""
    path = bench.folder / name
    path.write_text(json.dumps(content))
    return f"scripted:{path}"


def run_eval(bench: Bench, **asked: Any) -> Evaluated:
    """`radvlm eval` without the command line."""
    request = make_request(bench.path, Asked(**{"model": "scripted", **asked}), say=lambda _words: None)
    with (
        open_store(bench.path) as store,
        open_run(
            *(store, "eval", request.arguments),
            resume=request.run_id is not None,
            side_by_side=True,
            run_id=request.run_id,
            may_change=MACHINES,
        ) as run,
    ):
        return evaluate(run, request, data_dir=bench.data, derived_dir=bench.data)


def rows(bench: Bench, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    with closing(sqlite3.connect(bench.path)) as connection:
        return connection.execute(sql).fetchall()


def texts(bench: Bench) -> list[tuple[Any, ...]]:
    """Test set, sample and text of all predictions."""
    return rows(bench, "SELECT test_set, sample_id, status, text FROM prediction_view ORDER BY test_set, position")
