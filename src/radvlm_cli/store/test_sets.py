"""Rows of test sets and their samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.hashing import canonical_json
from radvlm_cli.store.bulk import execute_many
from radvlm_cli.store.clusters import cluster_of
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run


class SetRow(NamedTuple):
    """A row of the table `test_set`."""

    id: int
    key: str
    name: str
    task: str
    source: str
    options: tuple[str, ...]
    samples: int
    patients: int
    expected: int | None


class SampleRow(NamedTuple):
    """A row of the table `test_sample`, but for the test set."""

    position: int
    sample_id: str
    image_id: int | None
    path: Path
    patient_id: str | None
    study_id: str | None
    sex: str | None
    age: int | None
    view: str | None
    width: int | None
    height: int | None
    subject: str | None
    indication: str | None
    turns: tuple[str, ...]
    reference: dict[str, Any]


def keep_test_set(
    run: Run,
    *,
    key: str,
    name: str,
    task: str,
    source: str,
    dataset_id: int,
    options: Sequence[str],
    expected: int | None,
    samples: Sequence[SampleRow],
) -> int:
    """Write a test set, or find the one of the same key and bring the places of its files up to date; return its id."""
    patients = len({cluster_of(each.patient_id, each.study_id, each.image_id, each.sample_id) for each in samples})
    values = (key, name, task, source, dataset_id, canonical_json(list(options)), len(samples), patients, expected)
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO test_set (key, name, task, source, dataset_id, options, samples, patients, expected, run_id) "
            "VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET dataset_id = excluded.dataset_id, "
            "patients = excluded.patients, expected = excluded.expected",
            (*values, run.id),
        )
        found = connection.exec_driver_sql("SELECT id FROM test_set WHERE key = ?", (key,)).scalar_one()
        rows = [(found, *_sample_values(sample)) for sample in samples]
        execute_many(
            connection,
            f"INSERT INTO test_sample VALUES ({', '.join('?' * 16)}) ON CONFLICT (test_set_id, position) DO UPDATE "
            "SET image_id = excluded.image_id, path = excluded.path, width = coalesce(excluded.width, width), "
            "height = coalesce(excluded.height, height)",
            rows,
        )
    return int(found)


def _sample_values(sample: SampleRow) -> tuple[Any, ...]:
    turns, reference = canonical_json(list(sample.turns)), canonical_json(sample.reference)
    return tuple(sample._replace(path=str(sample.path), turns=turns, reference=reference))  # type: ignore[arg-type]


def set_row(store: Store, test_set_id: int) -> SetRow:
    """A test set by its id, which must be one."""
    columns = "id, key, name, task, source, options, samples, patients, expected"
    (row,) = store.rows(f"SELECT {columns} FROM test_set WHERE id = ?", (test_set_id,))
    found = SetRow._make(row)
    return found._replace(options=tuple(json.loads(row[5])))


def samples_of(store: Store, test_set_id: int) -> Iterator[SampleRow]:
    """The samples of a test set in order, streamed."""
    columns = ", ".join(SampleRow._fields)
    for row in store.rows(f"SELECT {columns} FROM test_sample WHERE test_set_id = ? ORDER BY position", (test_set_id,)):
        sample = SampleRow._make(row)
        turns, reference = json.loads(row[13]), json.loads(row[14])
        yield sample._replace(path=Path(row[3]), turns=tuple(turns), reference=reference)
