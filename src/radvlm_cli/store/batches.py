"""Batches in the store: each step is a row before or as soon as it is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from radvlm_cli.records import Answer
from radvlm_cli.store.bulk import batched, execute_many
from radvlm_cli.store.calls import CALL_SQL, Asked, call_row, now
from radvlm_cli.store.engine import Store

_COLUMNS = "id, intent, status, input_file, remote_id, output_file, error_file"


class StoredBatch(NamedTuple):
    """One row of `batch`."""

    id: int
    intent: str
    status: str
    input_file: str | None
    remote_id: str | None
    output_file: str | None
    error_file: str | None


class Line(NamedTuple):
    """One call of a batch, as batch_line keeps it."""

    key: bytes
    prompt_id: int
    asked: bytes


def open_batches(store: Store, stage: str, host: str) -> list[StoredBatch]:
    """Batches that are neither done with nor given up."""
    still = "status NOT IN ('deleted', 'abandoned')"
    sql = f"SELECT {_COLUMNS} FROM batch WHERE stage = ? AND host = ? AND {still} ORDER BY id"
    return [StoredBatch._make(row) for row in store.rows(sql, (stage, host))]


def at_work(store: Store, stage: str) -> list[tuple[str, int]]:
    """Hosts that may be at work on batches of a stage, with how many requests."""
    sql = (
        "SELECT host, sum(requests) FROM batch WHERE stage = ? AND (remote_id IS NOT NULL OR input_file IS NOT NULL) "
        "AND status NOT IN ('deleted', 'abandoned', 'collected') GROUP BY host ORDER BY host"
    )
    return [(str(host), int(requests)) for host, requests in store.rows(sql, (stage,))]


def abandon(store: Store, stage: str) -> None:
    """Give up every open batch of a stage; what its lines ask may be asked again."""
    open_ones = "stage = ? AND status NOT IN ('deleted', 'abandoned')"
    with store.write() as connection:
        connection.exec_driver_sql(
            f"DELETE FROM batch_line WHERE batch_id IN (SELECT id FROM batch WHERE {open_ones})", (stage,)
        )
        connection.exec_driver_sql(
            f"UPDATE batch SET status = 'abandoned', updated_at = ? WHERE {open_ones}", (now(), stage)
        )


def let_go_unsent(store: Store, stage: str, host: str) -> None:
    """Free the requests of batches that never went up to another host; its next run still looks for their files."""
    with store.write() as connection:
        connection.exec_driver_sql(
            "DELETE FROM batch_line WHERE batch_id IN (SELECT id FROM batch WHERE stage = ? AND host <> ? "
            "AND status = 'intended' AND remote_id IS NULL AND input_file IS NULL)",
            (stage, host),
        )


def intend(
    store: Store, lines: Sequence[Line], *, intent: str, stage: str, host: str, model: str, tokens: int, run: int
) -> StoredBatch:
    """Write down what is about to be sent."""
    at = now()
    with store.write() as connection:
        cursor = connection.exec_driver_sql(
            "INSERT INTO batch (intent, stage, host, model, status, requests, tokens, created_at, updated_at, run_id) "
            "VALUES (?,?,?,?,'intended',?,?,?,?,?)",
            (intent, stage, host, model, len(lines), tokens, at, at, run),
        )
        batch_id = int(cursor.lastrowid)
        rows = [(line.key, batch_id, line.prompt_id, line.asked) for line in lines]
        execute_many(connection, "INSERT INTO batch_line (key, batch_id, prompt_id, asked) VALUES (?,?,?,?)", rows)
    return StoredBatch(batch_id, intent, "intended", None, None, None, None)


def advance(store: Store, batch_id: int, status: str, **columns: str | None) -> None:
    """Set a batch's status and what became known with it."""
    assignments = "".join(f", {name} = ?" for name in columns)
    with store.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE batch SET status = ?, updated_at = ?{assignments} WHERE id = ?",
            (status, now(), *columns.values(), batch_id),
        )
        if status in ("collected", "abandoned"):  # what is answered is a call now, the rest is to be asked again
            connection.exec_driver_sql("DELETE FROM batch_line WHERE batch_id = ?", (batch_id,))


def record_answers(
    store: Store, batch_id: int, who: Asked, answers: Iterator[tuple[bytes, Answer]]
) -> Iterator[Answer]:
    """Keep the answers of a batch as calls; yields each once it is durable. Doing so twice changes nothing."""
    lines = {
        key: (prompt_id, asked)
        for key, prompt_id, asked in store.rows(
            "SELECT key, prompt_id, asked FROM batch_line WHERE batch_id = ?", (batch_id,)
        )
    }
    for part in batched(((key, answer) for key, answer in answers if key in lines), 2000):
        rows: list[Sequence[Any]] = [call_row(key, *lines[key], who, answer, batch_id) for key, answer in part]
        with store.write() as connection:
            execute_many(connection, CALL_SQL, rows)
        yield from (answer for _key, answer in part)
