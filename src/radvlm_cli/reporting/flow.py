"""Rows of who was asked what: from the published test set to the answers that could be scored; and who they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.reporting.tables import Column, Table

OUTCOMES = ("ok", "truncated", "empty", "unparsable", "refused", "error", "unasked")
"""In the order in which they are shown; all but the first count as wrong."""


class Answers(NamedTuple):
    """How the answers of one evaluation came out."""

    evaluation: int
    model: str
    asked: int
    outcomes: Mapping[str, int]


class Flow(NamedTuple):
    """The samples of a test set on their way, and the answers of each model to them."""

    test_set: SampleSet
    named: bool
    """Whether the source names patients; else studies or images count in their place."""
    found: int | None
    """Records in the store that qualify; None: the dataset is not known any more."""
    unusable: int | None
    """Of these, left out for want of a readable image."""
    removed: int | None
    """Of these, left out by the leakage check."""
    answers: Sequence[Answers]


class Population(NamedTuple):
    """Whose images a test set has."""

    test_set: SampleSet
    images: int
    female: int
    male: int
    age_low: float | None
    """First quartile, years."""
    age: float | None
    """Median."""
    age_high: float | None
    """Third quartile."""
    aged: int
    """Samples whose age is known."""
    views: str
    """Each with its number."""


def flow_table(rows: Sequence[Flow]) -> Table:
    """One line for each evaluation."""
    lines = tuple((row, answers) for row in rows for answers in row.answers)
    columns = [
        Column("test set", lambda line: line[0].test_set.name, key=True, name="test_set"),
        Column("model", lambda line: line[1].model, key=True),
        Column("#", lambda line: line[1].evaluation, "count", key=True, name="evaluation"),
        Column("published", lambda line: line[0].test_set.expected, "count", name="expected"),
        Column("eligible", lambda line: line[0].found, "count", name="found"),
        Column("no image", lambda line: line[0].unusable, "count", name="unusable"),
        Column("leaks removed", lambda line: line[0].removed, "count", name="removed"),
        Column("samples", lambda line: line[0].test_set.samples, "count"),
        Column("patients", lambda line: line[0].test_set.patients, "count"),
        Column("asked", lambda line: line[1].asked, "count"),
    ]
    columns += [_outcome(status) for status in OUTCOMES if any(line[1].outcomes.get(status) for line in lines)]
    return Table("flow", "Flow of samples", tuple(columns), lines)


def _outcome(status: str) -> Column:
    return Column(status, lambda line: line[1].outcomes.get(status, 0), "count")


def population_table(rows: Sequence[Population]) -> Table:
    """Sex, age and view by test set."""
    columns = (
        Column("test set", lambda row: row.test_set.name, key=True, name="test_set"),
        Column("samples", lambda row: row.test_set.samples, "count"),
        Column("images", lambda row: row.images, "count"),
        Column("patients", lambda row: row.test_set.patients, "count"),
        Column("F", lambda row: row.female, "count", name="female"),
        Column("M", lambda row: row.male, "count", name="male"),
        Column("age, median (quartiles)", _ages, name="age"),
        Column("age known", lambda row: row.aged, "count", name="aged"),
        Column("views", lambda row: row.views, "words"),
    )
    note = (
        "Counted by sample; sex, age and view where the source tells them. A source without patients counts studies or "
        "images."
    )
    return Table("population", "Whose images the test sets have", columns, tuple(rows), (note,))


def _ages(row: Population) -> str | None:
    if row.age is None or row.age_low is None or row.age_high is None:
        return None
    return f"{row.age:.0f} ({row.age_low:.0f} to {row.age_high:.0f})"
