"""Test sets, evaluations and predictions in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import (
    ANSWERS,
    EvaluationRow,
    begin_evaluation,
    counts,
    forget_predictions,
    keep_adapter,
    mark_complete,
    remaining,
)
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import take_in
from radvlm_cli.store.spool_writer import SUFFIX, SpoolWriter
from radvlm_cli.store.test_sets import SampleRow, keep_test_set, samples_of, set_row


def sample(position: int, patient: str | None = "p1", path: str = "/data/a.jpg") -> SampleRow:
    """A report sample."""
    return SampleRow(
        *(position, f"s-{position}", None, Path(path), patient, "st", "F", 61, "PA", 100, 120, None, None),
        turns=("Describe it.",),
        reference={"text": "Clear."},
    )


def keep(run: Run, samples: list[SampleRow], key: str = "k") -> int:
    """Write a test set of reports."""
    return keep_test_set(
        run,
        key=key,
        name="reports",
        task="report",
        source="mimic",
        dataset_id=dataset(run),
        options=("Edema",),
        expected=3314,
        samples=samples,
    )


def dataset(run: Run) -> int:
    """A dataset's row."""
    with run.store.write() as connection:
        return int(
            connection.exec_driver_sql(
                "INSERT INTO dataset (name, output, recipe, options, status, run_id) "
                "VALUES ('test', '/x', '{}', '{}', 'complete', ?)",
                (run.id,),
            ).lastrowid
        )


def begin(run: Run, samples: int = 3, **identity: Any) -> EvaluationRow:
    """An evaluation of so many samples."""
    test_set = keep(run, [sample(n) for n in range(samples)])
    return begin_evaluation(
        run, test_set_id=test_set, model="m", weights=None, identity={"model": "m", **identity}, folder=Path("/e")
    )


def answer(evaluation: EvaluationRow, position: int, text: str = "Clear.", **changed: Any) -> dict[str, Any]:
    """A worker's line."""
    body = {
        "evaluation_id": evaluation.id,
        "position": position,
        "status": "ok",
        "text": text,
        "prompt": "Describe it.",
    }
    return {**body, "worker": "w", "attempt": 1, "at": "2026-01-01", **changed}


def take(run: Run, folder: Path, *bodies: dict[str, Any]) -> int:
    """Append lines to a spool and take them in; rows changed."""
    worker = SpoolWriter(folder, "rank0")
    for body in bodies:
        worker.append("answer", **body)
    worker.close()
    return take_in(run.store, run.id, folder, ANSWERS).rows


def texts(store: Store) -> dict[int, str]:
    """Position -> text."""
    return dict(store.rows("SELECT position, text FROM prediction"))


def test_a_test_set_of_the_same_key_is_the_same_and_its_files_may_move(run: Run) -> None:
    first = keep(run, [sample(0), sample(1, "p2"), sample(2, None)])
    again = keep(run, [sample(n, patient, path="/moved/a.jpg") for n, patient in enumerate(("p1", "p2", None))])
    assert first == again
    row = set_row(run.store, first)
    assert (row.samples, row.patients, row.options, row.expected) == (3, 3, ("Edema",), 3314)
    found = list(samples_of(run.store, first))
    assert [each.path for each in found] == [Path("/moved/a.jpg")] * 3
    assert found[0].reference == {"text": "Clear."}
    assert found[0].turns == ("Describe it.",)


def test_an_identity_is_one_evaluation_and_another_identity_another(run: Run) -> None:
    first = begin(run)
    assert begin(run).id == first.id
    assert begin(run, dtype="float16").id != first.id


def test_answers_come_in_as_predictions_and_not_as_events(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run)
    assert take(run, tmp_path, answer(evaluation, 0), answer(evaluation, 1, seen_width=384)) == 2
    assert run.store.value("SELECT count(*) FROM event") == 0
    assert run.store.value("SELECT seen_width FROM prediction WHERE position = 1") == 384
    assert [each.position for each in remaining(run.store, evaluation)] == [2]


def test_a_line_read_twice_changes_nothing(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run)
    take(run, tmp_path, answer(evaluation, 0))
    with run.store.write() as connection:
        connection.exec_driver_sql("DELETE FROM spool")
    assert take_in(run.store, run.id, tmp_path, ANSWERS).rows == 0


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_later_attempt_counts_whatever_the_order(run: Run, tmp_path: Path, order: tuple[int, int]) -> None:
    evaluation = begin(run)
    take(run, tmp_path, *(answer(evaluation, 0, f"try {attempt}", attempt=attempt) for attempt in order))
    assert texts(run.store) == {0: "try 2"}


def test_an_error_is_asked_again_and_other_failures_are_not(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run)
    failures = [("error", "no picture"), ("empty", None), ("truncated", None)]
    take(run, tmp_path, *(answer(evaluation, n, status=s, error=e) for n, (s, e) in enumerate(failures)))
    assert [tuple(each) for each in remaining(run.store, evaluation)] == [(0, 2)]
    assert counts(run.store, evaluation.id) == {"empty": 1, "error": 1, "truncated": 1}


def test_an_evaluation_is_complete_when_every_sample_has_a_row(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run, samples=2)
    take(run, tmp_path, answer(evaluation, 0))
    assert not mark_complete(run, evaluation)
    take(run, tmp_path, answer(evaluation, 1, status="error"))
    assert mark_complete(run, evaluation)
    assert run.store.value("SELECT status FROM evaluation") == "complete"
    forget_predictions(run, evaluation.id)
    assert len(remaining(run.store, evaluation)) == 2


def test_a_torn_answer_waits_and_one_that_lacks_something_is_passed_over(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run)
    take(run, tmp_path, answer(evaluation, 0), {"evaluation_id": evaluation.id, "position": 1})
    spool = tmp_path / f"rank0{SUFFIX}"
    with spool.open("a") as stream:
        stream.write('{"kind":"answer","evaluation_id":1,"posi')
    taken = take_in(run.store, run.id, tmp_path, ANSWERS)
    assert (taken.rows, taken.damaged) == (0, 0)
    assert take(run, tmp_path, answer(evaluation, 2)) == 1
    assert set(texts(run.store)) == {0, 2}


def test_an_answer_to_an_evaluation_that_is_gone_is_passed_over(run: Run, tmp_path: Path) -> None:
    evaluation = begin(run)
    assert take(run, tmp_path, answer(evaluation, 0, evaluation_id=evaluation.id + 7)) == 0


def test_what_a_model_first_said_of_itself_stays(run: Run) -> None:
    evaluation = begin(run)
    assert keep_adapter(run, evaluation.id, {"dtype": "float32", "size": (1, 2)}) == {
        "dtype": "float32",
        "size": [1, 2],
    }
    assert keep_adapter(run, evaluation.id, {"dtype": "float16"}) == {"dtype": "float32", "size": [1, 2]}
