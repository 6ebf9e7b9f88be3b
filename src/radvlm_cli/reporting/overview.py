"""Rows of the overview: what is there, what is running, what is to be mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Table


class Holding(NamedTuple):
    """One kind of thing that the store has."""

    stage: str
    what: str
    number: int
    wanting: int | None
    """Of these, or beside them: missing, failed, quarantined, or not finished."""
    remark: str | None
    last_run: str | None
    """When the stage last began, UTC."""


class AtWork(NamedTuple):
    """A run that is at work, as far as its heartbeat says."""

    run: int
    command: str
    started: str
    heartbeat_s: float
    """Since its last sign of life."""
    host: str
    progress: str | None


class ToMend(NamedTuple):
    """Something that did not come out as wished, and the command that mends it."""

    what: str
    since: str | None
    why: str | None
    command: str


def holdings_table(rows: Sequence[Holding]) -> Table:
    """What is there."""
    columns = (
        Column("stage", lambda row: row.stage, key=True),
        Column("what", lambda row: row.what, key=True),
        Column("count", lambda row: row.number, "count"),
        Column("wanting", lambda row: row.wanting, "count"),
        Column("last run (UTC)", lambda row: row.last_run, name="last_run"),
        Column("remark", lambda row: row.remark, "words"),
    )
    return Table("there", "What is there", columns, tuple(rows), empty="nothing yet: radvlm prepare --source all")


def at_work_table(rows: Sequence[AtWork]) -> Table:
    """What is running."""
    columns = (
        Column("run", lambda row: row.run, "count", key=True),
        Column("command", lambda row: row.command, key=True),
        Column("started (UTC)", lambda row: row.started, name="started"),
        Column("last sign of life", lambda row: row.heartbeat_s, "seconds", name="heartbeat_s"),
        Column("host", lambda row: row.host),
        Column("progress", lambda row: row.progress, "words"),
    )
    return Table("running", "What is running", columns, tuple(rows), empty="nothing")


def to_mend_table(rows: Sequence[ToMend]) -> Table:
    """What failed, and what mends it."""
    columns = (
        Column("what", lambda row: row.what, "words", key=True),
        Column("since (UTC)", lambda row: row.since, name="since"),
        Column("why", lambda row: row.why, "words"),
        Column("what mends it", lambda row: row.command, "words", name="command"),
    )
    return Table("failed", "What failed, and what mends it", columns, tuple(rows), empty="nothing")
