"""Stores with evaluations whose answers are made up, their numbers and scores computed by the families themselves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from radvlm_cli.metrics.boxes import BoxMatching, Located, RadvlmMap50
from radvlm_cli.metrics.family import Family
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.metrics.statistics import bootstrap, clusters
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

BOX = (0.2, 0.2, 0.6, 0.6)
FAR = (0.7, 0.7, 0.9, 0.9)


class Sample(NamedTuple):
    """A sample of a test set."""

    patient: str | None = None
    sex: str | None = None
    age: int | None = None
    view: str | None = "PA"
    reference: Any = None
    subject: str | None = None


def add_test_set(
    store: Store,
    run: Run,
    name: str,
    task: str,
    samples: Sequence[Sample],
    *,
    expected: int | None = None,
    key: str = "",
) -> int:
    """Write a test set; its id."""
    with store.write() as connection:
        cursor = connection.exec_driver_sql(
            "INSERT INTO test_set (key, name, task, source, options, samples, patients, expected, run_id) "
            "VALUES (?, ?, ?, 'mimic', '[]', ?, ?, ?, ?)",
            (key or name, name, task, len(samples), len({each.patient for each in samples}), expected, run.id),
        )
        test_set = int(cursor.lastrowid)
        for position, each in enumerate(samples):
            connection.exec_driver_sql(
                "INSERT INTO test_sample (test_set_id, position, sample_id, path, patient_id, sex, age, view, subject, "
                "turns, reference) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', ?)",
                (
                    *(test_set, position, f"{name}-{position:04}", f"/data/{position}.jpg", each.patient, each.sex),
                    *(each.age, each.view, each.subject, json.dumps(_reference(task, each.reference))),
                ),
            )
    return test_set


def _reference(task: str, reference: Any) -> dict[str, Any]:
    if task == "classification":
        return {"labels": dict.fromkeys(reference, 1), "positive": list(reference)}
    return {"boxes": [list(box) for box in reference or ()]}


def add_evaluation(
    store: Store,
    run: Run,
    test_set: int,
    model: str,
    answers: Sequence[Any],
    *,
    statuses: Mapping[int, str] | None = None,
    texts: Mapping[int, str] | None = None,
    identity: Mapping[str, Any] | None = None,
    scored: bool = True,
) -> int:
    """Write a model's answers to a test set with their numbers and scores; its id."""
    statuses, texts = statuses or {}, texts or {}
    task, rows = _samples(store, test_set)
    with store.write() as connection:
        cursor = connection.exec_driver_sql(
            "INSERT INTO evaluation (key, test_set_id, model, identity, folder, status, run_id, created_at) VALUES "
            "(hex(randomblob(8)), ?, ?, ?, '/runs', 'complete', ?, '2026-01-01T00:00:00+00:00')",
            (test_set, model, json.dumps(dict(identity or {"model": model})), run.id),
        )
        evaluation = int(cursor.lastrowid)
        for position, answer in enumerate(answers):
            status = statuses.get(position, "ok")
            given = status if status in ("ok", "empty", "truncated", "error") else "ok"
            text = texts.get(position, str(answer))
            connection.exec_driver_sql(
                "INSERT INTO prediction (evaluation_id, position, status, text, prompt, worker, attempt, error, "
                "run_id, at) VALUES (?, ?, ?, ?, 'Where?', 'host:0', 1, ?, ?, '2026-01-01T00:00:00+00:00')",
                (evaluation, position, given, text, "out of memory" if given == "error" else None, run.id),
            )
            connection.exec_driver_sql(
                "INSERT INTO parsed (evaluation_id, position, parser, status, content) "
                "VALUES (?, ?, 'test/1', ?, '{}')",
                (evaluation, position, status),
            )
        if scored:
            for family in _families(task):
                _score(connection, evaluation, family, rows, answers, statuses)
    return evaluation


def _samples(store: Store, test_set: int) -> tuple[str, list[tuple[str, Any]]]:
    task = store.value("SELECT task FROM test_set WHERE id = ?", (test_set,))
    sql = "SELECT coalesce(patient_id, sample_id), reference FROM test_sample WHERE test_set_id = ? ORDER BY position"
    key = "positive" if task == "classification" else "boxes"
    return task, [(patient, json.loads(reference)[key]) for patient, reference in store.rows(sql, (test_set,))]


def _families(task: str) -> list[Family]:
    return [LabelScores()] if task == "classification" else [BoxMatching(), RadvlmMap50()]


def _score(
    connection: Any,
    evaluation: int,
    family: Family,
    rows: Sequence[tuple[str, Any]],
    answers: Sequence[Any],
    statuses: Mapping[int, str],
) -> None:
    nothing: Any = {} if family.name == "labels" else Located()
    read = [each if statuses.get(place, "ok") == "ok" else nothing for place, each in enumerate(answers)]
    table = family.per_sample(read, [reference for _patient, reference in rows])
    for position, row in enumerate(table.tolist()):
        connection.exec_driver_sql(
            "INSERT INTO sample_score (evaluation_id, family, position, version, status, numbers) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (evaluation, family.name, position, family.version, statuses.get(position, "ok"), json.dumps(row)),
        )
    of = clusters([patient for patient, _reference in rows])
    coverage = 1 - sum(status != "ok" for status in statuses.values()) / len(rows)
    for name, found in bootstrap(table, of, family.values).items():
        metric, _slash, label = name.partition("/")
        value, low, high = (None if math.isnan(x) else x for x in found[:3])
        connection.exec_driver_sql(
            "INSERT INTO score (evaluation_id, metric, part, value, low, high, n, clusters, coverage, family, version) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (evaluation, metric, label, value, low, high, len(rows), of.number, coverage, family.name, family.version),
        )


def phrases(count: int, per_patient: int = 2) -> list[Sample]:
    """Samples of phrase grounding with one true box each; men and women in turn by patient."""
    return [
        Sample(
            f"p{number // per_patient}",
            "FM"[number // per_patient % 2],
            30 + number % 50,
            reference=[BOX],
            subject=f"phrase {number}",
        )
        for number in range(count)
    ]
