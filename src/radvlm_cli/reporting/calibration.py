"""Rows of calibration: how often a finding was there, by how surely an answer said so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.reporting.tables import Column, Estimate, Table

STATED = ("affirmed", "uncertain", "not mentioned", "negated")
"""What an answer can say of a finding, from the surest yes to the surest no."""
UNREAD = "answer not read"
"""The answer failed, or nothing could be read from it."""


class Stated(NamedTuple):
    """The findings of which an evaluation's answers said one thing."""

    evaluation: int
    model: str
    said: str
    """One of STATED, or UNREAD."""
    findings: int
    """Pairs of a sample and a finding that was asked for."""
    present: Estimate
    """Share of them in which the finding is there. n: such pairs; patients: those whom they are of."""


_COLUMNS = (
    Column("model", lambda row: row.model, key=True),
    Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
    Column("finding is", lambda row: row.said, key=True, name="said"),
    Column("n", lambda row: row.findings, "count", name="findings"),
    Column("patients", lambda row: row.present.patients, "count"),
    Column("share present", lambda row: row.present, "number", name="present"),
)


def calibration_table(test_set: SampleSet, rows: Sequence[Stated], notes: Sequence[str] = ()) -> Table:
    """What answers say and how often it is so, the models below one another."""
    return Table(test_set.name, test_set.title, _COLUMNS, tuple(rows), tuple(notes), "no answer was read as findings")


def nothing_calibrated(why: str) -> Table:
    """The table where there is no test set to calibrate on."""
    return Table("none", "Classification test sets", _COLUMNS, (), empty=why)
