"""Rows of training runs and their checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.errors import ConfigError
from radvlm_cli.store.engine import Store
from radvlm_cli.store.runs import Run

_MARK = "radvlm_checkpoint.json"
"""In a checkpoint's folder: written last, so it is complete."""


class TrainingRow(NamedTuple):
    """A row of the table `training` with its run."""

    run_id: int
    status: str
    """Of the run."""
    message: str | None
    started_at: str
    folder: Path
    recipe: str
    model: str
    job_id: str | None

    @property
    def unfinished(self) -> bool:
        """Whether it can be gone on with."""
        return self.status in ("interrupted", "failed", "running")


class DatasetRow(NamedTuple):
    """What the store knows of a dataset's file."""

    id: int
    image_root: Path | None


_SELECT = (
    "SELECT run.id, run.status, run.message, run.started_at, training.folder, training.recipe, training.model, "
    "training.job_id FROM training JOIN run ON run.id = training.run_id"
)


def training_rows(store: Store) -> Iterator[TrainingRow]:
    """All training runs, oldest first."""
    for row in store.rows(f"{_SELECT} ORDER BY run.id"):
        run_id, status, message, started_at, folder, recipe, model, job_id = row
        yield TrainingRow(run_id, status, message, started_at, Path(folder), recipe, model, job_id)


def training_row(store: Store, run_id: int) -> TrainingRow:
    """One training run; ConfigError where the store knows none of that number."""
    for row in training_rows(store):
        if row.run_id == run_id:
            return row
    raise ConfigError(f"The store knows no training run {run_id}.", "radvlm train --list")


def dataset_of(store: Store, table: Path) -> DatasetRow | None:
    """The dataset whose Parquet file is `table`, where it was built into this store."""
    found = store.rows(
        "SELECT id, options FROM dataset WHERE status = 'complete' AND output = ? AND name = ? "
        "ORDER BY id DESC LIMIT 1",
        (str(table.parent), table.stem),
    )
    for dataset_id, options in found:
        root = json.loads(options).get("image_root")
        return DatasetRow(dataset_id, None if root is None else Path(root))
    return None


def keep_training(
    run: Run, *, folder: Path, recipe: str, model: Path, dataset: DatasetRow | None, sha256: str, pairs: int
) -> None:
    """Write, or write anew, what the run works on."""
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO training (run_id, folder, recipe, model, dataset_id, data_sha256, pairs, job_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (run_id) DO UPDATE SET folder = excluded.folder, "
            "recipe = excluded.recipe, model = excluded.model, dataset_id = excluded.dataset_id, "
            "data_sha256 = excluded.data_sha256, pairs = excluded.pairs, job_id = NULL",
            (run.id, str(folder), recipe, str(model), dataset.id if dataset else None, sha256, pairs),
        )


def keep_job(run: Run, job_id: str) -> None:
    """Write which SLURM job does the training."""
    with run.store.write() as connection:
        connection.exec_driver_sql("UPDATE training SET job_id = ? WHERE run_id = ?", (job_id, run.id))


def reconcile_checkpoints(store: Store, run_id: int, folder: Path) -> list[Path]:
    """Bring the rows of a run's checkpoints in line with the disk; return those that are complete, oldest first."""
    found = {body["step"]: (path, body) for path, body in _on_disk(folder)}
    with store.write() as connection:
        known = connection.exec_driver_sql("SELECT step, status FROM checkpoint WHERE run_id = ?", (run_id,)).fetchall()
        gone = [(run_id, step) for step, status in known if status == "complete" and step not in found]
        for each in gone:
            connection.exec_driver_sql("UPDATE checkpoint SET status = 'removed' WHERE run_id = ? AND step = ?", each)
        for step, (path, body) in found.items():
            connection.exec_driver_sql(
                "INSERT INTO checkpoint (run_id, step, consumed_samples, path, bytes, status, saved_at) "
                "VALUES (?, ?, ?, ?, ?, 'complete', ?) ON CONFLICT (run_id, step) DO UPDATE SET "
                "consumed_samples = excluded.consumed_samples, path = excluded.path, bytes = excluded.bytes, "
                "status = 'complete', saved_at = excluded.saved_at",
                (run_id, step, body["consumed_samples"], str(path), sum(body["files"].values()), body["saved_at"]),
            )
    return [found[step][0] for step in sorted(found)]


def _on_disk(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Complete checkpoints of a run, as their own manifests describe them."""
    for path in (folder / "checkpoints").glob("checkpoint-*"):
        try:
            body = json.loads((path / _MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not complete, or on its way out
        if body.get("format") == 1:
            yield path, body


def left_out(store: Store, run_id: int) -> dict[str, int]:
    """How many pairs a run has left out, by reason, since it began."""
    found = store.rows("SELECT reason, count(*) FROM dropped_pair WHERE run_id = ? GROUP BY 1 ORDER BY 1", (run_id,))
    return {str(reason): int(count) for reason, count in found}


def last_event(store: Store, run_id: int, kinds: Iterable[str]) -> dict[str, Any] | None:
    """The body of the newest event of one of `kinds` that rank 0 wrote, with its `kind`."""
    newest: tuple[int, str, str] | None = None
    for kind in kinds:
        found = store.rows(
            "SELECT offset, kind, body FROM event WHERE run_id = ? AND kind = ? AND file = 'rank0.spool.jsonl' "
            "ORDER BY offset DESC LIMIT 1",
            (run_id, kind),
        )
        for offset, name, body in found:
            if newest is None or offset > newest[0]:
                newest = (offset, name, body)
    return None if newest is None else {"kind": newest[1], **json.loads(newest[2])}
