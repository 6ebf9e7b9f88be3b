"""Calls to language models in the store: looked up by key, written by one thread, never made twice."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from radvlm_cli.hashing import canonical_json
from radvlm_cli.records import Answer, Usage
from radvlm_cli.store.engine import Store

_LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 6, 13, 6
"""Of zlib. A report fits a window of 8 KiB; setting up the default one of 32 KiB takes ten times as long as packing."""

_OUTCOME = (
    *("status", "answer", *(f"{name}_tokens" for name in Usage._fields), "cost", "model", "fingerprint", "request_id"),
    *("finish_reason", "error", "http_status", "latency_ms", "attempts", "tier"),
)
"""The columns of an Answer, in its order."""
_ALL = ("key", "prompt_id", "asked", "provider", "host", "batch_id", "answered_at", "run_id", *_OUTCOME)
CALL_SQL = (
    f"INSERT INTO llm_call ({', '.join(_ALL)}) VALUES ({', '.join('?' * len(_ALL))}) ON CONFLICT (key) DO UPDATE SET "
    + ", ".join(f"{name}=excluded.{name}" for name in _ALL if name not in ("key", "attempts"))
    + ", attempts = llm_call.attempts + excluded.attempts WHERE llm_call.status = 'failed'"
)
"""A failed call is replaced by what came of it later; anything else stays as it was first answered."""


class Asked(NamedTuple):
    """Who was asked, for a call's row."""

    provider: str
    host: str
    run_id: int


def pack(value: Any) -> bytes:
    """JSON or text, compressed."""
    text = value if isinstance(value, str) else canonical_json(value)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packer.compress(text.encode()) + packer.flush()


def unpack(packed: bytes) -> str:
    """The text that `pack` was given."""
    return zlib.decompress(packed).decode()


def register_prompt(
    store: Store,
    run_id: int,
    *,
    digest: bytes,
    name: str,
    model: str,
    parameters: Any,
    schema: Any,
    messages: Any,
) -> int:
    """The row id of a prompt, written if it is new."""
    with store.write() as connection:
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO prompt (hash, name, model, parameters, answer_schema, messages, run_id) "
            "VALUES (?,?,?,?,?,?,?)",
            (
                digest,
                name,
                model,
                canonical_json(parameters),
                None if schema is None else canonical_json(schema),
                pack(messages),
                run_id,
            ),
        )
    return int(store.value("SELECT id FROM prompt WHERE hash = ?", (digest,)))


def answered_keys(store: Store, prompts: Iterable[int]) -> set[bytes]:
    """Keys of the calls of these prompts that have an answer."""
    ids = ", ".join(map(str, prompts)) or "NULL"
    return {key for (key,) in store.rows(f"SELECT key FROM llm_call WHERE prompt_id IN ({ids}) AND status <> 'failed'")}


def find_answer(store: Store, key: bytes) -> Answer | None:
    """How a call ended; None if it was never answered."""
    sql = f"SELECT {', '.join(_OUTCOME)} FROM llm_call WHERE key = ? AND status <> 'failed'"
    row = next(store.rows(sql, (key,)), None)
    if row is None:
        return None
    status, packed, *rest = row
    counts, others = rest[: len(Usage._fields)], rest[len(Usage._fields) :]
    return Answer(status, None if packed is None else unpack(packed), Usage(*counts), *others)


def call_row(
    key: bytes, prompt_id: int, asked: bytes, who: Asked, answer: Answer, batch_id: int | None = None
) -> Sequence[Any]:
    """The parameters of CALL_SQL; `asked` is packed already."""
    status, text, usage, *others = answer
    packed = None if text is None else pack(text)
    return (
        *(key, prompt_id, asked, who.provider, who.host, batch_id, now(), who.run_id),
        *(status, packed, *usage, *others),
    )


def spent(store: Store, run_id: int) -> float:
    """US dollars that the calls of a run cost."""
    return float(store.value("SELECT coalesce(sum(cost), 0) FROM llm_call WHERE run_id = ?", (run_id,)))


def asked_messages(packed: bytes) -> list[dict[str, str]]:
    """The messages of a call after its prompt's own."""
    messages: list[dict[str, str]] = json.loads(unpack(packed))
    return messages


def now() -> str:
    """The time as the store writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
