"""Rows of a dataset while it is built and when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from radvlm_cli.hashing import canonical_json
from radvlm_cli.store.bulk import OUTPUT_FILE_SQL, execute_many
from radvlm_cli.store.components import Candidate
from radvlm_cli.store.runs import Run


class ComponentRow(NamedTuple):
    """A row of the table `component`, but for the dataset."""

    position: int
    name: str
    task: str
    source: str
    splits: Sequence[str]
    repeat: int
    record_limit: int | None
    expected: int | None
    found: int
    unusable: int
    leaked: int
    removed: int
    pairs: int
    remark: str


class LeakRow(NamedTuple):
    """A row of the table `leak`, but for dataset and component."""

    image: int
    level: str
    shared: str
    evaluation: str


def begin_dataset(run: Run, name: str, output: Path, recipe: str, options: str) -> int:
    """Make the row of a dataset that is being built, in place of one that a killed run left; return its id."""
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "DELETE FROM dataset WHERE status = 'building' AND name = ? AND output = ?", (name, str(output))
        )
        cursor = connection.exec_driver_sql(
            "INSERT INTO dataset (name, output, recipe, options, status, run_id) VALUES (?, ?, ?, ?, 'building', ?)",
            (name, str(output), recipe, options, run.id),
        )
        return int(cursor.lastrowid)


@contextmanager
def abandoned_on_error(run: Run, dataset_id: int) -> Iterator[None]:
    """Remove the rows of a dataset whose building stops in the body."""
    try:
        yield
    except BaseException:
        with run.store.write() as connection:
            connection.exec_driver_sql("DELETE FROM dataset WHERE id = ?", (dataset_id,))
        raise


def write_component(run: Run, dataset_id: int, component: ComponentRow, leaks: Iterable[LeakRow]) -> None:
    """Keep a component's counts and the leaks that were found in it."""
    row = (dataset_id, *component._replace(splits=canonical_json(component.splits)))
    with run.store.write() as connection:
        execute_many(connection, f"INSERT INTO component VALUES ({', '.join('?' * len(row))})", [row])
        found = [(dataset_id, component.position, *leak) for leak in leaks]
        execute_many(connection, "INSERT INTO leak VALUES (?, ?, ?, ?, ?, ?)", found)
    names = ("found", "unusable", "leaked", "removed", "pairs")
    run.tally(component.name, {name: getattr(component, name) for name in names})


class PairRow(Protocol):
    """What a pair knows that the store keeps (stages make it)."""

    @property
    def pair_id(self) -> str: ...

    @property
    def record(self) -> Candidate: ...

    @property
    def grounding(self) -> int | None: ...


def write_pairs(run: Run, dataset_id: int, component: int, position: int, pairs: Sequence[PairRow]) -> None:
    """Keep where pairs come from; the first of them stands at `position` in the files."""
    rows = [
        (
            dataset_id,
            place,
            pair.pair_id,
            component,
            (record := pair.record).image,
            record.report,
            record.curated_text,
            pair.grounding,
            record.conversation,
        )
        for place, pair in enumerate(pairs, position)
    ]
    with run.store.write() as connection:
        execute_many(connection, "INSERT INTO pair VALUES (?,?,?,?,?,?,?,?,?)", rows)


def complete_dataset(
    run: Run, dataset_id: int, output: Path, key: str, sha256: str, pairs: int, files: Mapping[Path, str]
) -> None:
    """Mark a dataset as complete, in place of the one built to the same files before, and keep its files' hashes."""
    artifacts = []
    for path, digest in files.items():
        state = path.stat()
        artifacts.append((str(path), "dataset", digest, state.st_size, state.st_mtime_ns, key, run.id))
    with run.store.write() as connection:
        connection.exec_driver_sql(
            "DELETE FROM dataset WHERE id <> ? AND output = ? AND name = (SELECT name FROM dataset WHERE id = ?)",
            (dataset_id, str(output), dataset_id),
        )
        connection.exec_driver_sql(
            "UPDATE dataset SET key = ?, sha256 = ?, pairs = ?, status = 'complete' WHERE id = ?",
            (key, sha256, pairs, dataset_id),
        )
        execute_many(connection, OUTPUT_FILE_SQL, artifacts)
