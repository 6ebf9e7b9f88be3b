"""Rows of evaluations, predictions, and the runs that make them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from radvlm_cli.errors import ConfigError
from radvlm_cli.hashing import canonical_json, content_hash
from radvlm_cli.store.bulk import batched, execute_many
from radvlm_cli.store.engine import Store
from radvlm_cli.store.judgements import JUDGEMENTS, Placed
from radvlm_cli.store.runs import Run
from radvlm_cli.store.spool import Into
from radvlm_cli.store.spool_writer import now

_DERIVED = ("parsed", "sample_score", "score", "judgement")


class EvaluationRow(NamedTuple):
    """A row of the table `evaluation`."""

    id: int
    key: str
    test_set_id: int
    model: str
    weights: str | None
    identity: dict[str, Any]
    adapter: dict[str, Any] | None
    folder: Path
    status: str
    run_id: int


class Remaining(NamedTuple):
    """A sample that has no answer yet, or none but an error."""

    position: int
    attempt: int
    """Which try this will be, from 1."""


class AnsweringRow(NamedTuple):
    """A row of the table `answering` with the status of its run."""

    run_id: int
    folder: Path
    evaluations: tuple[int, ...]
    job_id: str | None
    status: str


# Evaluations

_COLUMNS = "id, key, test_set_id, model, weights, identity, adapter, folder, status, run_id"


def begin_evaluation(
    run: Run, *, test_set_id: int, model: str, weights: str | None, identity: Mapping[str, Any], folder: Path
) -> EvaluationRow:
    """Write the evaluation of an identity, or find it; `model`, `weights` and `folder` are those of the first time."""
    key = content_hash(dict(identity))
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO evaluation (key, test_set_id, model, weights, identity, folder, status, run_id, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'building', ?, ?) ON CONFLICT (key) DO NOTHING",
            (key, test_set_id, model, weights, canonical_json(dict(identity)), str(folder), run.id, now()),
        )
    (found,) = _evaluations(run.store, "key = ?", (key,))
    return found


def evaluation_row(store: Store, evaluation_id: int) -> EvaluationRow:
    """An evaluation by its id; ConfigError where there is none."""
    for row in _evaluations(store, "id = ?", (evaluation_id,)):
        return row
    raise ConfigError(f"The store knows no evaluation {evaluation_id}.", "radvlm eval --list")


def find_evaluation(store: Store, identity: Mapping[str, Any]) -> EvaluationRow | None:
    """The evaluation of an identity, if it was ever begun."""
    return next(_evaluations(store, "key = ?", (content_hash(dict(identity)),)), None)


def evaluation_rows(store: Store) -> list[EvaluationRow]:
    """All evaluations, oldest first."""
    return list(_evaluations(store, "1 ORDER BY id", ()))


def _evaluations(store: Store, where: str, parameters: Sequence[Any]) -> Iterator[EvaluationRow]:
    for row in store.rows(f"SELECT {_COLUMNS} FROM evaluation WHERE {where}", parameters):
        found = EvaluationRow._make(row)
        adapter = None if found.adapter is None else json.loads(row[6])
        yield found._replace(identity=json.loads(row[5]), adapter=adapter, folder=Path(row[7]))


def keep_adapter(run: Run, evaluation_id: int, adapter: Mapping[str, Any]) -> dict[str, Any]:
    """Write what the loaded model says of itself, unless there is something already; return what is there."""
    said = canonical_json(dict(adapter))
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "UPDATE evaluation SET adapter = ? WHERE id = ? AND adapter IS NULL", (said, evaluation_id)
        )
    return evaluation_row(run.store, evaluation_id).adapter or {}


def remaining(store: Store, evaluation: EvaluationRow) -> list[Remaining]:
    """Samples without a prediction, and those whose prediction is an error, by position."""
    rows = store.rows(
        "SELECT s.position, coalesce(p.attempt, 0) + 1 FROM test_sample s LEFT JOIN prediction p "
        "ON p.evaluation_id = ? AND p.position = s.position WHERE s.test_set_id = ? "
        "AND (p.position IS NULL OR p.status = 'error') ORDER BY s.position",
        (evaluation.id, evaluation.test_set_id),
    )
    return [Remaining._make(row) for row in rows]


class Asked(Placed, Protocol):
    """A sample that was to be asked."""

    @property
    def attempt(self) -> int: ...


A = TypeVar("A", bound=Asked)


def unanswered(store: Store, asked: Iterable[A]) -> list[A]:
    """Those that this attempt, or a later one, has brought no prediction for."""
    asked = list(asked)
    reached: dict[tuple[int, int], int] = {}
    for evaluation in {each.evaluation_id for each in asked}:
        rows = store.rows("SELECT position, attempt FROM prediction WHERE evaluation_id = ?", (evaluation,))
        reached |= {(evaluation, position): attempt for position, attempt in rows}
    return [each for each in asked if reached.get((each.evaluation_id, each.position), 0) < each.attempt]


def counts(store: Store, evaluation_id: int) -> dict[str, int]:
    """Predictions by status."""
    return dict(
        store.rows(
            "SELECT status, count(*) FROM prediction WHERE evaluation_id = ? GROUP BY status ORDER BY status",
            (evaluation_id,),
        )
    )


def mark_complete(run: Run, evaluation: EvaluationRow) -> bool:
    """Set the status by whether every sample has a prediction; return whether it is complete."""
    with run.store.write() as connection:
        missing = connection.exec_driver_sql(
            "SELECT count(*) FROM test_sample s WHERE s.test_set_id = ? AND NOT EXISTS (SELECT 1 FROM prediction p "
            "WHERE p.evaluation_id = ? AND p.position = s.position)",
            (evaluation.test_set_id, evaluation.id),
        ).scalar_one()
        status = "building" if missing else "complete"
        connection.exec_driver_sql("UPDATE evaluation SET status = ? WHERE id = ?", (status, evaluation.id))
    return not missing


def forget_predictions(run: Run, evaluation_id: int) -> None:
    """Remove an evaluation's predictions and all that came of them: it begins anew."""
    with run.store.write() as connection:
        for table in ("prediction", *_DERIVED):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE evaluation_id = ?", (evaluation_id,))
        connection.exec_driver_sql(
            "UPDATE evaluation SET status = 'building', adapter = NULL WHERE id = ?", (evaluation_id,)
        )


# Predictions

_PREDICTION = (
    *("evaluation_id", "position", "status", "text", "prompt", "seen_width", "seen_height", "tokens_in", "tokens_out"),
    *("latency_ms", "worker", "attempt", "error", "run_id", "at"),
)
_NEEDED = ("evaluation_id", "position", "status", "text", "prompt", "worker", "attempt", "at")
# A later attempt takes the place of an earlier one whatever the order in which they come, and a line read twice
# changes nothing. A line of an evaluation that is gone is passed over.
_PREDICTION_SQL = (
    f"INSERT INTO prediction ({', '.join(_PREDICTION)}) SELECT {', '.join('?' * len(_PREDICTION))} "
    "WHERE EXISTS (SELECT 1 FROM evaluation WHERE id = ?) ON CONFLICT (evaluation_id, position) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _PREDICTION[2:])
    + " WHERE excluded.attempt > prediction.attempt"
)
_STATUSES = ("ok", "empty", "truncated", "refused", "error")


def _prediction(run_id: int, body: dict[str, Any]) -> tuple[Any, ...]:
    lacking = [name for name in _NEEDED if body.get(name) is None]
    if lacking or body["status"] not in _STATUSES:
        raise ValueError("no answer as workers write them")
    values = {**body, "run_id": run_id}
    return (*(values.get(name) for name in _PREDICTION), body["evaluation_id"])


ANSWERS: Mapping[str, Into] = {"answer": Into(_PREDICTION_SQL, _prediction), "judgement": JUDGEMENTS}
"""How the lines of workers become predictions and judgements (for spool.take_in)."""


def keep_answers(run: Run, bodies: Iterable[dict[str, Any]]) -> None:
    """Write answers that come from no worker, in the same form."""
    for batch in batched(_prediction(run.id, body) for body in bodies):
        with run.store.write() as connection:
            execute_many(connection, _PREDICTION_SQL, batch)


# Runs


def keep_answering(run: Run, folder: Path, evaluations: Sequence[int]) -> None:
    """Write, or write anew, what the run works on."""
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO answering (run_id, folder, evaluations, job_id) VALUES (?, ?, ?, NULL) ON CONFLICT (run_id) "
            "DO UPDATE SET folder = excluded.folder, evaluations = excluded.evaluations, job_id = NULL",
            (run.id, str(folder), canonical_json(sorted(evaluations))),
        )


def keep_answering_job(run: Run, job_id: str) -> None:
    """Write which SLURM job answers."""
    with run.store.write() as connection:
        connection.exec_driver_sql("UPDATE answering SET job_id = ? WHERE run_id = ?", (job_id, run.id))


def answering_rows(store: Store) -> list[AnsweringRow]:
    """All runs that answered, or were to, oldest first."""
    rows = store.rows(
        "SELECT run_id, folder, evaluations, job_id, run.status FROM answering JOIN run ON run.id = run_id "
        "ORDER BY run_id"
    )
    return [
        AnsweringRow(run_id, Path(folder), tuple(json.loads(evaluations)), job_id, status)
        for run_id, folder, evaluations, job_id, status in rows
    ]


def answering_row(store: Store, run_id: int) -> AnsweringRow:
    """One run; ConfigError where the store knows no evaluation run of that number."""
    for row in answering_rows(store):
        if row.run_id == run_id:
            return row
    known = ", ".join(str(row.run_id) for row in answering_rows(store)) or "none"
    raise ConfigError(f"The store knows no evaluation run {run_id} (there are: {known}).", "radvlm eval --list")
