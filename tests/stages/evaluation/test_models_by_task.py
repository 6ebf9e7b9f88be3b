"""The models x tasks table, cell by cell: each model on a tiny checkpoint of its own layout, over small test sets.

The workers' code runs in this process: what it takes to start them is tested with the scripted model.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from radvlm_cli.adapters import CARDS
from radvlm_cli.adapters.protocol import Task
from radvlm_cli.demo.tiny_model import write_tiny_model
from radvlm_cli.errors import ConfigError
from radvlm_cli.stages.answering import passes, worker
from radvlm_cli.stages.answering.job import Job
from radvlm_cli.stages.evaluation.models import TASKS, task_row
from radvlm_cli.store.engine import open_store
from radvlm_cli.training.launch import Started
from tests.stages.evaluation.evaluating import TURNS, Bench, build_dataset, make_bench, rows, run_eval

GenerationMixin = pytest.importorskip("transformers").GenerationMixin

TABLE = {
    "llavaov": {"report", "conversation"},
    "llavamed": {"report", "conversation"},
    "radialog": {"report", "classification", "conversation"},
    "chexagent": {"report", "classification", "grounding"},
    "maira2": {"report", "grounding"},
    "radvlm": {"report", "classification", "grounding", "conversation", "detection"},
}
"""What each model can do."""
REFUSED = [(model, task) for model, able in TABLE.items() for task in TASKS if task not in able]
RECIPE = """
name: table
components:
  - {name: reports, task: report, source: mimic, split: test}
  - {name: findings, task: classification, source: mimic, split: test}
  - {name: regions, task: region-grounding, source: imagenome, split: test}
  - {name: abnormalities, task: abnormality-grounding, source: vindr, split: test}
  - {name: phrases, task: phrase-grounding, source: mscxr, split: test}
  - {name: boxes, task: abnormality-detection, source: vindr, split: test}
  - {name: talks, task: conversation, source: mimic, split: test}
"""
IMAGES = 2
OPTIONS = {"dataset": "table", "gpus": 0, "max_new_tokens": 6, "dtype": "float32"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Two samples of every task."""
    made = make_bench(tmp_path_factory.mktemp("table") / "bench", IMAGES)
    rng = np.random.default_rng(0)
    for path in sorted(made.data.rglob("*.jpg")):  # black ones would be answered alike
        with Image.open(path) as picture:
            width, height = picture.size
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(path)
    with closing(sqlite3.connect(made.path)) as connection, connection:
        connection.execute(
            "INSERT INTO grounding (source, image_id, ordinal, kind, split, label, boxes, run_id) "
            "SELECT 'imagenome', id, 0, 'region', 'test', NULL, ?, run_id FROM image WHERE source = 'mimic'",
            (json.dumps({"right lung": [[0.1, 0.1, 0.4, 0.8]]}),),
        )
    with open_store(made.path) as store:
        build_dataset(made, store, "table", RECIPE)
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """Folders of a model's tiny weights, written when first asked for."""
    place = tmp_path_factory.mktemp("weights")
    written: dict[str, list[Path]] = {}

    def folders(model: str) -> list[Path]:
        if model not in written:
            written[model] = _write(model, place / model)
        return written[model]

    return folders


def _write(model: str, folder: Path) -> list[Path]:
    from tests.adapters.tiny_chexagent import write_tiny_chexagent
    from tests.adapters.tiny_llavamed import write_llavamed
    from tests.adapters.tiny_maira2 import write_tiny_maira2
    from tests.adapters.tiny_radialog import write_radialog

    if model == "radialog":
        folder.mkdir()
        return [*write_radialog(folder)]
    if model in ("radvlm", "llavaov"):
        return [write_tiny_model(folder, [text for _role, text in TURNS])]
    write = {"chexagent": write_tiny_chexagent, "llavamed": write_llavamed, "maira2": write_tiny_maira2}[model]
    return [write(folder)]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One worker, here."""

    def work(manifest: Path, _job: Job, _node: int) -> Sequence[Started]:
        worker.run_worker(manifest, 0)
        return []

    monkeypatch.setattr(passes, "start_workers", work)
    monkeypatch.setattr(passes, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def test_the_cards_say_what_the_table_says() -> None:
    assert {name: {task for task, able in task_row(CARDS[name]).items() if able == "yes"} for name in TABLE} == TABLE
    assert {name: {task for task, able in task_row(CARDS[name]).items() if able != "no"} for name in TABLE} == TABLE


@pytest.mark.parametrize("model", TABLE)
def test_a_model_answers_each_task_that_it_can_do_and_is_scored(
    bench: Bench, weights: Callable[[str], list[Path]], model: str
) -> None:
    done = run_eval(bench, model=model, weights=weights(model), batch="2", **OPTIONS)
    able = [task for group in TASKS.values() for task in group if task in CARDS[model].tasks]
    assert [line["task"] for line in done.lines] == able
    assert {(line["samples"], line["answered"], line["error"], line["refused"]) for line in done.lines} == {
        (IMAGES, IMAGES, 0, 0)
    }
    found = rows(
        bench,
        "SELECT task, count(parsed_status), min(tokens_in > 0 AND tokens_out > 0) FROM prediction_view "
        f"WHERE model = '{model}' GROUP BY task",
    )
    assert sorted(found) == sorted((task, IMAGES, 1) for task in able)
    talks = rows(bench, f"SELECT text FROM prediction_view WHERE model = '{model}' AND task = 'conversation'")
    assert all(len(json.loads(text)) == len(TURNS) / 2 for (text,) in talks)
    for line in done.lines:
        whole = [row for row in done.scores if row["evaluation"] == line["evaluation"] and row["part"] == ""]
        assert {row["n"] for row in whole} == {IMAGES}, line["task"]
        # A metric that needs weights says so; the others have a value.
        assert any(row["value"] is not None for row in whole) or line["task"] == "conversation"
        assert all(row["value"] is not None or row["remark"] for row in whole)


@pytest.mark.parametrize("model", TABLE)
def test_a_batch_of_two_is_answered_as_one_after_the_other(
    bench: Bench, weights: Callable[[str], list[Path]], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radvlm_cli.stages.evaluation.scoring.score", lambda _run, _evaluation, _choice: [])
    together: list[int] = []
    generate = GenerationMixin.generate

    def counting(*args: Any, **inputs: Any) -> Any:
        together.append(len(inputs["attention_mask"]))
        return generate(*args, **inputs)

    monkeypatch.setattr(GenerationMixin, "generate", counting)
    answers = []
    for batch in ("2", "1"):
        together.clear()
        done = run_eval(bench, model=model, weights=weights(model), batch=batch, again=True, **OPTIONS)
        assert set(together) == {int(batch)}
        numbers = ", ".join(str(line["evaluation"]) for line in done.lines)
        answers.append(
            rows(
                bench,
                "SELECT test_set, position, status, text, tokens_in, tokens_out FROM prediction_view "
                f"WHERE evaluation_id IN ({numbers}) ORDER BY test_set, position",
            )
        )
    assert answers[0] == answers[1]
    assert len({text for _set, _position, _status, text, *_tokens in answers[0]}) > 1


@pytest.mark.parametrize(("model", "task"), REFUSED)
def test_a_task_that_a_model_cannot_do_is_refused_with_its_row(bench: Bench, model: str, task: str) -> None:
    # Before anybody is sent to get weights.
    with pytest.raises(ConfigError) as refused:
        run_eval(bench, model=model, task=["report", task], dataset="table", gpus=0)
    can, cannot = (", ".join(each for each in TASKS if (each in TABLE[model]) is able) for able in (True, False))
    assert f"{model} cannot do {task}. It can do {can}; it cannot do {cannot}." in refused.value.message
    assert rows(bench, f"SELECT * FROM evaluation WHERE model = '{model}' AND status <> 'complete'") == []


def test_every_task_of_the_protocol_is_in_the_table() -> None:
    assert {task for group in TASKS.values() for task in group} == set(get_args(Task))
