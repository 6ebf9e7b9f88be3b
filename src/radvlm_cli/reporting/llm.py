"""Rows of calls to language models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Table


class Spending(NamedTuple):
    """Calls with one prompt to one model."""

    prompt: str
    model: str
    provider: str
    tier: str
    calls: int
    ok: int
    other: str | None
    """How the others ended, with counts."""
    attempts: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    dollars: float | None
    """None: no price is known for any of them."""
    unpriced: int
    """Calls without a known price."""
    latency_s: float | None


class Quarantined(NamedTuple):
    """Generated texts that wait for a person."""

    stage: str
    source: str
    step: str
    reason: str | None
    texts: int


class OpenBatch(NamedTuple):
    """A batch that has not been collected."""

    batch: int
    stage: str
    model: str
    status: str
    requests: int
    since: str


def spending_table(rows: Sequence[Spending]) -> Table:
    """Calls, tokens and dollars by prompt and model, dearest first."""
    columns = (
        Column("prompt", lambda row: row.prompt, key=True),
        Column("model", lambda row: row.model, key=True),
        Column("provider", lambda row: row.provider),
        Column("tier", lambda row: row.tier),
        Column("calls", lambda row: row.calls, "count"),
        Column("ok", lambda row: row.ok / row.calls, "share", name="ok_share"),
        Column("others", lambda row: row.other, "words"),
        Column("requests", lambda row: row.attempts, "count"),
        Column("tokens in", lambda row: row.input_tokens, "count", name="input_tokens"),
        Column("from cache", lambda row: row.cached_tokens, "count", name="cached_tokens"),
        Column("tokens out", lambda row: row.output_tokens, "count", name="output_tokens"),
        Column("reasoning", lambda row: row.reasoning_tokens, "count", name="reasoning_tokens"),
        Column("dollars", lambda row: row.dollars, "dollars"),
        Column("unpriced", lambda row: row.unpriced or None, "count"),
        Column("latency", lambda row: row.latency_s, "seconds", name="latency_s"),
    )
    known = [row.dollars for row in rows if row.dollars is not None]
    calls, tokens = sum(row.calls for row in rows), sum(row.input_tokens + row.output_tokens for row in rows)
    total = f"In all {calls:,} calls, {tokens:,} tokens, ${sum(known):,.2f}."
    return Table("calls", "Calls by prompt and model", columns, tuple(rows), (total,) if rows else ())


def quarantine_table(rows: Sequence[Quarantined]) -> Table:
    """Texts that did not pass the checks."""
    columns = (
        Column("stage", lambda row: row.stage, key=True),
        Column("source", lambda row: row.source, key=True),
        Column("step", lambda row: row.step),
        Column("reason", lambda row: row.reason, "words"),
        Column("texts", lambda row: row.texts, "count"),
    )
    note = "Look at them: radvlm STAGE --source SOURCE --show failed"
    return Table("quarantine", "Quarantined texts", columns, tuple(rows), (note,) if rows else ())


def batches_table(rows: Sequence[OpenBatch]) -> Table:
    """Batches that are with the provider."""
    columns = (
        Column("batch", lambda row: row.batch, "count", key=True),
        Column("stage", lambda row: row.stage),
        Column("model", lambda row: row.model),
        Column("status", lambda row: row.status),
        Column("requests", lambda row: row.requests, "count"),
        Column("since (UTC)", lambda row: row.since, name="since"),
    )
    return Table("batches", "Batches that are not collected", columns, tuple(rows))
