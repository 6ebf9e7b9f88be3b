"""Rows of chats."""

from __future__ import annotations

from typing import NamedTuple

from radvlm_cli.store.runs import Run


class ChatRow(NamedTuple):
    """A row of the table `chat_turn`, but for the session; see there."""

    position: int
    dialogue: int
    image: str
    image_sha256: str
    preprocessing: str
    model: str
    weights: str | None
    adapter: str
    task: str
    prompt: str
    status: str
    text: str
    boxes: str | None
    parser: str
    seen_width: int | None
    seen_height: int | None
    tokens_in: int | None
    tokens_out: int | None
    latency_ms: int
    error: str | None
    at: str


def keep_turn(run: Run, row: ChatRow) -> None:
    """Write one question and its answer."""
    values = (run.id, *row)
    columns = ", ".join(("run_id", *ChatRow._fields))
    with run.store.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO chat_turn ({columns}) VALUES ({', '.join('?' * len(values))})", values)
