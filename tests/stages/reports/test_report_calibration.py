"""`radvlm report calibration`: shares counted by hand, intervals drawn by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from radvlm_cli.metrics.statistics import wilson
from radvlm_cli.reporting.calibration import Stated
from radvlm_cli.stages.reports.calibration import calibration_view
from radvlm_cli.stages.reports.selection import Wanted
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run
from radvlm_cli.store.snapshot import open_snapshot
from tests.stages.evaluation.evaluated import Sample, add_evaluation, add_test_set, phrases


def _evaluated(
    store: Store,
    run: Run,
    samples: Sequence[Sample],
    said: Sequence[dict[str, int]],
    asked: Sequence[str],
    **given: Any,
) -> None:
    """A model's answers as the parser of labels leaves them."""
    test_set = add_test_set(store, run, "findings", "classification", samples)
    evaluation = add_evaluation(store, run, test_set, "chexagent", [{} for _ in said], **given)
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE test_set SET options = ?", (json.dumps(list(asked)),))
        for position, labels in enumerate(said):
            connection.exec_driver_sql(
                "UPDATE parsed SET content = ?, parser = 'labels/3 plain/1' WHERE evaluation_id = ? AND position = ?",
                (json.dumps({"labels": labels}), evaluation, position),
            )


def _rows(store: Store) -> dict[str, Stated]:
    with open_snapshot(store.path) as snapshot:
        (table,) = calibration_view(snapshot, Wanted()).tables
    return {row.said: row for row in table.rows}


def test_every_finding_that_was_asked_for_is_counted_once_by_what_was_said_of_it(store: Store, run: Run) -> None:
    samples = [
        Sample("p1", reference=["Edema"]),
        Sample("p1", reference=["Edema", "Fracture"]),
        Sample("p2", reference=[]),
        Sample("p3", reference=["Fracture"]),
    ]
    said = [
        {"Edema": 1, "Fracture": 0},
        {"Edema": -1},
        {"Edema": 1, "Fracture": -1, "Pneumonia": 1},  # Pneumonia was not asked for
        {"Edema": 1},
    ]
    _evaluated(store, run, samples, said, ["Edema", "Fracture"], statuses={3: "refused"})
    rows = _rows(store)
    found = {kind: (row.findings, row.present.value, row.present.patients) for kind, row in rows.items()}
    assert found == {
        "affirmed": (2, 0.5, 2),
        "uncertain": (2, 0.5, 2),
        "not mentioned": (1, 1.0, 1),
        "negated": (1, 0.0, 1),
        "answer not read": (2, 0.5, 1),
    }
    assert sum(row.findings for row in rows.values()) == 4 * 2


def test_intervals_are_those_of_patients_drawn_one_by_one(store: Store, run: Run) -> None:
    generator = np.random.default_rng(3)
    truth = np.repeat(generator.random(40) < 0.6, 5)  # the images of a patient are alike
    samples = [Sample(f"p{place // 5}", reference=["Edema"] * int(there)) for place, there in enumerate(truth)]
    _evaluated(store, run, samples, [{"Edema": 1}] * 200, ["Edema"])
    present = _rows(store)["affirmed"].present
    shares = [truth.reshape(40, 5)[generator.integers(0, 40, 40)].mean() for _ in range(4000)]
    assert present.value == truth.mean()
    assert (present.low, present.high) == pytest.approx(np.quantile(shares, [0.025, 0.975]), abs=0.02)
    alone = wilson(truth.sum(), 200)
    assert present.high is not None
    assert present.low is not None
    assert present.high - present.low > 1.5 * (alone.high - alone.low)  # images of one patient are no new evidence


def test_answers_that_no_parser_of_findings_read_are_said_to_be_such(store: Store, run: Run) -> None:
    test_set = add_test_set(store, run, "findings", "classification", [Sample("p1", reference=["Edema"])])
    add_evaluation(store, run, test_set, "chexagent", [{"Edema": 1}])
    with open_snapshot(store.path) as snapshot:
        (table,) = calibration_view(snapshot, Wanted()).tables
    assert table.rows == ()
    assert table.notes == ("evaluation 1: its answers have not been read as findings",)


def test_without_a_classification_the_view_says_why_it_is_empty(store: Store, run: Run) -> None:
    add_evaluation(store, run, add_test_set(store, run, "phrases", "phrase", phrases(4)), "maira2", [[]] * 4)
    with open_snapshot(store.path) as snapshot:
        view = calibration_view(snapshot, Wanted())
    (table,) = view.tables
    assert (table.rows, table.empty) == ((), "no evaluation that was asked for is of the task classification")
    assert any("no model here gives its boxes a score" in note for note in view.notes)
