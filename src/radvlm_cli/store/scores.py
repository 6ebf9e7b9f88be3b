"""Rows of what was read from predictions, and of scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from radvlm_cli.store.bulk import batched, execute_many
from radvlm_cli.store.clusters import cluster_of
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run


class Answered(NamedTuple):
    """A sample with its prediction; a sample that was never asked has the status `error`."""

    position: int
    sample_id: str
    cluster: str
    """What it is drawn with: see clusters.cluster_of."""
    size: tuple[int, int]
    """Width and height of the original image, pixels; (1, 1) where unknown."""
    reference: dict[str, Any]
    status: str
    text: str
    seen: tuple[int, int] | None


class ScoreRow(NamedTuple):
    """A row of the table `score`, but for the evaluation."""

    metric: str
    part: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    coverage: float | None
    family: str
    version: int
    remark: str | None


def answered(store: Store, evaluation_id: int) -> Iterator[Answered]:
    """All samples of an evaluation's test set with what was said, by position."""
    rows = store.rows(
        "SELECT s.position, s.sample_id, s.patient_id, s.study_id, s.image_id, s.width, s.height, s.reference, "
        "p.status, p.text, p.seen_width, p.seen_height FROM evaluation e "
        "JOIN test_sample s ON s.test_set_id = e.test_set_id "
        "LEFT JOIN prediction p ON p.evaluation_id = e.id AND p.position = s.position WHERE e.id = ? "
        "ORDER BY s.position",
        (evaluation_id,),
    )
    for position, sample_id, patient, study, image, width, height, reference, status, text, *of_picture in rows:
        seen = None if None in of_picture else (of_picture[0], of_picture[1])
        cluster, size = cluster_of(patient, study, image, sample_id), (width or 1, height or 1)
        yield Answered(position, sample_id, cluster, size, json.loads(reference), status or "error", text or "", seen)


def keep_parsed(run: Run, evaluation_id: int, rows: Sequence[tuple[int, str, str, str]]) -> bool:
    """Write (position, parser, status, content) in place of what was read from these answers before.

    Returns whether it is the same. If not, the scores that came of it go with it, and what was judged of an answer that
    is another one now: a process that dies before the new scores leaves none that belong to other answers.
    """
    before = [
        tuple(row)
        for row in run.store.rows(
            "SELECT position, parser, status, content FROM parsed WHERE evaluation_id = ? ORDER BY position",
            (evaluation_id,),
        )
    ]
    if before == list(rows):
        return True
    now = {position: said for position, _parser, *said in rows}
    others = [(evaluation_id, position) for position, _parser, *said in before if now.get(position) != said]
    with run.store.write() as connection:
        for table in ("parsed", "sample_score", "score"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE evaluation_id = ?", (evaluation_id,))
        execute_many(connection, "DELETE FROM judgement WHERE evaluation_id = ? AND position = ?", others)
        sql = "INSERT INTO parsed (evaluation_id, position, parser, status, content) VALUES (?, ?, ?, ?, ?)"
        for batch in batched((evaluation_id, *row) for row in rows):
            execute_many(connection, sql, batch)
    return False


def keep_scores(
    run: Run,
    evaluation_id: int,
    family: str,
    version: int,
    samples: Iterable[tuple[int, str, str]],
    scores: Sequence[ScoreRow],
) -> None:
    """Write a family's rows, per sample (position, status, numbers) and in all, in place of its earlier ones."""
    with run.store.write() as connection:
        for table in ("sample_score", "score"):
            connection.exec_driver_sql(
                f"DELETE FROM {table} WHERE evaluation_id = ? AND family = ?", (evaluation_id, family)
            )
        for batch in batched((evaluation_id, family, version, *row) for row in samples):
            columns = "evaluation_id, family, version, position, status, numbers"
            execute_many(connection, f"INSERT INTO sample_score ({columns}) VALUES (?, ?, ?, ?, ?, ?)", batch)
        columns = ", ".join(ScoreRow._fields)
        marks = ", ".join("?" * len(ScoreRow._fields))
        rows = [(evaluation_id, *score) for score in scores]
        execute_many(connection, f"INSERT INTO score (evaluation_id, {columns}) VALUES (?, {marks})", rows)


def forget_scores_but(run: Run, evaluation_id: int, families: Sequence[str]) -> None:
    """Remove scores of families that are not computed any more."""
    marks = ", ".join("?" * len(families))
    with run.store.write() as connection:
        for table in ("sample_score", "score"):
            connection.exec_driver_sql(
                f"DELETE FROM {table} WHERE evaluation_id = ? AND family NOT IN ({marks})", (evaluation_id, *families)
            )


def score_rows(store: Store, evaluation_id: int) -> list[ScoreRow]:
    """An evaluation's scores, families in the order in which they were written."""
    columns = ", ".join(ScoreRow._fields)
    found = store.rows(f"SELECT {columns} FROM score WHERE evaluation_id = ?", (evaluation_id,))
    return [ScoreRow._make(row) for row in found]


def scored_families(store: Store, evaluation_id: int) -> dict[str, int]:
    """Families that have a row for each sample, with their version."""
    return dict(
        store.rows(
            "SELECT f.family, max(f.version) FROM sample_score f WHERE f.evaluation_id = ? GROUP BY f.family "
            "HAVING count(*) = (SELECT count(*) FROM prediction p WHERE p.evaluation_id = f.evaluation_id)",
            (evaluation_id,),
        )
    )
