"""Rows of how numbers came about: the commands that were run, and the conditions under which models answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Table


class Invocation(NamedTuple):
    """A command that was run."""

    run: int
    command: str
    status: str
    started: str
    took_s: float | None
    version: str
    python: str
    commit: str | None
    """With `+` where the checkout had changes that are not committed."""
    arguments: str | None
    """None: not shown."""


class Conditions(NamedTuple):
    """What decided the answers of an evaluation."""

    evaluation: int
    model: str
    test_set: str
    samples_sha256: str
    weights_sha256: str | None
    prompts_sha256: str | None
    decoding: str
    precision: str
    """Data type, device, attention."""
    backend: str
    protocol: str
    parser: str | None
    run: int
    example: str | None
    """A question as it was asked, without report text; None: not shown."""


def invocations_table(rows: Sequence[Invocation]) -> Table:
    """Commands, newest last."""
    columns = [
        Column("run", lambda row: row.run, "count", key=True),
        Column("command", lambda row: row.command, key=True),
        Column("status", lambda row: row.status),
        Column("started (UTC)", lambda row: row.started, name="started"),
        Column("took", lambda row: row.took_s, "seconds", name="took_s"),
        Column("radvlm", lambda row: row.version, name="version"),
        Column("commit", lambda row: row.commit),
        Column("Python", lambda row: row.python, "words", name="python"),
    ]
    if any(row.arguments for row in rows):
        columns.append(Column("arguments", lambda row: row.arguments, "words"))
    note = "+ after a commit: with changes that are not committed."
    return Table("runs", "Commands that made this", tuple(columns), tuple(rows), (note,))


def conditions_table(rows: Sequence[Conditions]) -> Table:
    """One line for each evaluation."""
    columns = [
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("model", lambda row: row.model, key=True),
        Column("test set", lambda row: row.test_set, name="test_set"),
        Column("samples, SHA-256", lambda row: row.samples_sha256, name="samples_sha256"),
        Column("weights, SHA-256", lambda row: row.weights_sha256, name="weights_sha256"),
        Column("prompts, SHA-256", lambda row: row.prompts_sha256, name="prompts_sha256"),
        Column("decoding", lambda row: row.decoding),
        Column("precision", lambda row: row.precision),
        Column("backend", lambda row: row.backend, "words"),
        Column("protocol", lambda row: row.protocol),
        Column("parser", lambda row: row.parser),
        Column("run", lambda row: row.run, "count"),
    ]
    if any(row.example for row in rows):
        columns.append(Column("a question, as asked", lambda row: row.example, "words", name="example"))
    note = "SHA-256 by their first 16 digits; whole in the table evaluation of the store."
    return Table("conditions", "Conditions that decided the answers", tuple(columns), tuple(rows), (note,))
