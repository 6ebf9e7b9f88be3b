"""Write many rows at once: SQL made from the tables, tuples straight to SQLite's executemany."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlmodel import SQLModel

from radvlm_cli.store.engine import Store

T = TypeVar("T")

OUTCOME_SQL = (
    "INSERT OR REPLACE INTO outcome (stage, subject, step, item, status, reason, run_id) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
"""Tells of an item of a stage; what was told of it before in the same step is replaced."""

DERIVED_FILE_SQL = (
    "INSERT INTO artifact (root, path, kind, origin, key, sha256, bytes, mtime_ns, run_id) "
    "VALUES ('derived', ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET origin=excluded.origin, "
    "key=excluded.key, sha256=excluded.sha256, bytes=excluded.bytes, mtime_ns=excluded.mtime_ns, run_id=excluded.run_id"
)
"""Keeps a file below the derived folder."""

OUTPUT_FILE_SQL = (
    "INSERT INTO artifact (root, path, kind, origin, sha256, bytes, mtime_ns, key, run_id) "
    "VALUES ('output', ?, ?, 'written', ?, ?, ?, ?, ?) ON CONFLICT (root, path) DO UPDATE SET kind=excluded.kind, "
    "sha256=excluded.sha256, bytes=excluded.bytes, mtime_ns=excluded.mtime_ns, key=excluded.key, "
    "run_id=excluded.run_id"
)
"""Keeps a file that lies outside the data folders, by its absolute path."""

BATCH = 20_000
"""Rows per transaction: large enough for speed, small enough that a kill loses a second's work."""


def batched(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Cut a stream into lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def upsert_sql(
    table: type[SQLModel], columns: Sequence[str], key: Sequence[str], *, keep: Mapping[str, str] | None = None
) -> str:
    """SQL that inserts a row, or updates it only where its content differs (so `run_id` tells who changed it last).

    `keep` names columns that stay as they are where an SQL condition on the two rows holds.
    """
    name = table.__tablename__
    values = [c for c in columns if c not in key]
    new = {c: f"excluded.{c}" for c in values}
    new |= {c: f"iif({when}, {name}.{c}, excluded.{c})" for c, when in (keep or {}).items()}
    assignments = ", ".join(f"{c} = {new[c]}" for c in values)
    differs = " OR ".join(f"{name}.{c} IS NOT {new[c]}" for c in values if c != "run_id")
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assignments} WHERE {differs}"
    )


def execute_many(connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run `sql` for every row; return how many rows of the table it changed."""
    if not rows:
        return 0
    raw = connection.connection.driver_connection
    assert raw is not None
    before = raw.total_changes
    cursor = raw.cursor()
    try:
        cursor.executemany(sql, rows)
    finally:
        cursor.close()
    changed: int = raw.total_changes - before
    return changed


def execute_grouped(connection: Connection, statements: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Run (SQL, parameters) pairs, those of one SQL together, in the order in which each SQL comes first."""
    rows_of: dict[str, list[Sequence[Any]]] = {}
    for sql, row in statements:
        rows_of.setdefault(sql, []).append(row)
    for sql, rows in rows_of.items():
        execute_many(connection, sql, rows)


def remove_rows(store: Store, table: str, source: str, key: str, values: Iterable[str]) -> None:
    """Remove the rows of a source whose `key` is among `values`, and of images also what lies on them."""
    with store.write(foreign_keys=False) as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE gone (value TEXT PRIMARY KEY)")
        execute_many(connection, "INSERT INTO gone VALUES (?)", [(value,) for value in values])
        which = f"source = ? AND {key} IN (SELECT value FROM gone)"
        if table == "image":
            images = f"SELECT id FROM image WHERE {which}"
            # Their files count as new again: the next look says that the image is gone, or finds it back.
            files = f"SELECT artifact_id FROM conversation WHERE image_id IN ({images})"
            connection.exec_driver_sql(f"DELETE FROM artifact WHERE id IN ({files})", (source,))
            for dependant in ("grounding", "conversation"):
                connection.exec_driver_sql(f"DELETE FROM {dependant} WHERE image_id IN ({images})", (source,))
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE {which}", (source,))
        connection.exec_driver_sql("DROP TABLE gone")
