"""Rows of the comparison of two models, and of their failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.reporting.evaluation import Metric, SampleSet
from radvlm_cli.reporting.tables import Column, Estimate, Table

SIGNIFICANT = 0.05


class RightOrWrong(NamedTuple):
    """McNemar's exact test of a metric that is 1 or 0 of each sample, one sample a patient."""

    only_first: int
    """Samples that the first alone has right."""
    only_second: int
    p: float


class Compared(NamedTuple):
    """A metric of two models on the samples that both answered."""

    metric: Metric
    n: int
    patients: int
    first: Estimate
    second: Estimate
    difference: Estimate
    """First minus second, with the interval of the paired cluster bootstrap."""
    p: float | None
    """Of the exchange of models patient by patient, two-sided."""
    p_adjusted: float | None
    """After Holm, over the metrics of the table."""
    detectable: float | None
    """The smallest true difference that would be found with 80 % power. None where the difference never varies."""
    wins: int
    """Samples in which the first is better, by the metric of the sample alone."""
    ties: int
    losses: int
    mcnemar: RightOrWrong | None = None
    """None where the test is not valid."""

    @property
    def winner(self) -> str | None:
        """first or second; None: the data do not tell. The interval must leave out 0, and p after Holm be small."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None or low <= 0 <= high or not self.metric.better:
            return None
        if self.p_adjusted is None or self.p_adjusted >= SIGNIFICANT:
            return None
        return "first" if (low > 0) == (self.metric.better == "higher") else "second"


class Cause(NamedTuple):
    """How often answers of an evaluation came out in one way that counts as wrong."""

    evaluation: int
    model: str
    test_set: str
    status: str
    reason: str | None
    answers: int
    samples: int

    @property
    def share(self) -> float:
        """Of all samples."""
        return self.answers / self.samples if self.samples else 0.0


class Failure(NamedTuple):
    """A sample with the answer as the model gave it."""

    evaluation: int
    model: str
    test_set: str
    position: int
    sample: str
    status: str
    score: float | None
    """The main metric, of this sample alone."""
    metric: str | None
    subject: str | None
    text: str
    """Raw."""
    reference: str
    """What is right; JSON, or the report's text."""
    error: str | None
    path: str


class Problem(NamedTuple):
    """Items that a stage before evaluation skipped or failed."""

    stage: str
    subject: str
    step: str
    status: str
    reason: str
    items: int


def comparison_table(
    test_set: SampleSet, names: tuple[str, str], rows: Sequence[Compared], notes: Sequence[str]
) -> Table:
    """Metrics of two models on one test set. The better value is strong where the data tell."""
    first, second = names
    columns = (
        Column("metric", lambda row: _title(row.metric), key=True, name="metric"),
        Column("n", lambda row: row.n, "count"),
        Column("patients", lambda row: row.patients, "count"),
        Column(first, lambda row: row.first._replace(strong=row.winner == "first"), "number", name="first"),
        Column(second, lambda row: row.second._replace(strong=row.winner == "second"), "number", name="second"),
        Column("difference", lambda row: row.difference, "number"),
        Column("p", lambda row: _p(row.p), "text", name="p"),
        Column("p, Holm", lambda row: _p(row.p_adjusted), "text", name="p_holm"),
        Column("detectable", lambda row: row.detectable, "number"),
        Column("win/tie/loss", _outcomes, name="win_tie_loss"),
        Column("McNemar p", lambda row: _mcnemar(row.mcnemar), "text", name="mcnemar"),
        Column("better", lambda row: {"first": first, "second": second}.get(row.winner or ""), name="better"),
    )
    return Table(test_set.name, test_set.title, columns, tuple(rows), tuple(notes))


class Beside(NamedTuple):
    """One of several models beside the one that all of them are held against."""

    first: str
    second: str
    compared: Compared


def differences_table(test_set: SampleSet, rows: Sequence[Beside], notes: Sequence[str]) -> Table:
    """One model minus several others on one test set, by metric; a difference is strong where the data tell."""
    columns = [
        Column("metric", lambda row: _title(row.compared.metric), key=True, name="metric"),
        Column("minus", lambda row: row.second, key=True, name="second"),
        Column("n", lambda row: row.compared.n, "count"),
        Column("patients", lambda row: row.compared.patients, "count"),
        Column("difference", lambda row: _strong(row.compared), "number"),
        Column("p", lambda row: _p(row.compared.p), "text"),
        Column("p, Holm", lambda row: _p(row.compared.p_adjusted), "text", name="p_holm"),
        Column("detectable", lambda row: row.compared.detectable, "number"),
        Column("win/tie/loss", lambda row: _outcomes(row.compared), name="win_tie_loss"),
        Column("better", lambda row: {"first": row.first, "second": row.second}.get(row.compared.winner or "")),
    ]
    if any(row.compared.mcnemar for row in rows):
        columns.append(Column("McNemar p", lambda row: _mcnemar(row.compared.mcnemar), "text", name="mcnemar"))
    first = rows[0].first if rows else "none"
    title = f"{test_set.name}: {first} minus others"
    return Table(f"{test_set.name}-differences", title, tuple(columns), tuple(rows), tuple(notes))


def _strong(row: Compared) -> Estimate:
    return row.difference._replace(strong=row.winner is not None)


def _outcomes(row: Compared) -> str:
    return f"{row.wins:,}/{row.ties:,}/{row.losses:,}"


def _mcnemar(test: RightOrWrong | None) -> str | None:
    return None if test is None else f"{_p(test.p)} ({test.only_first:,}:{test.only_second:,})"


def _title(metric: Metric) -> str:
    return f"{metric.title} (low)" if metric.better == "lower" else metric.title


def _p(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"


def causes_table(rows: Sequence[Cause]) -> Table:
    """Failures by cause."""
    columns = (
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("model", lambda row: row.model, key=True),
        Column("test set", lambda row: row.test_set, name="test_set"),
        Column("cause", lambda row: row.status, name="status"),
        Column("answers", lambda row: row.answers, "count"),
        Column("of samples", lambda row: row.share, "share", name="share"),
        Column("reason", lambda row: row.reason, "words"),
    )
    empty = "every answer could be read"
    return Table("causes", "Answers that count as wrong, by cause", columns, tuple(rows), empty=empty)


def failures_table(name: str, title: str, rows: Sequence[Failure], notes: Sequence[str] = (), most: int = 0) -> Table:
    """Samples with their raw answers; `most`: characters of texts that are shown, 0 for all."""

    def cut(text: str | None) -> str | None:
        return text if text is None or not most or len(text) <= most else f"{text[: most - 1]}\u2026"

    columns = (
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("sample", lambda row: row.sample, "words", key=True),
        Column("status", lambda row: row.status),
        Column("score", lambda row: row.score, "number"),
        Column("asked", lambda row: cut(row.subject), "words", name="subject"),
        Column("answer", lambda row: cut(row.text), "words", name="text"),
        Column("right", lambda row: cut(row.reference), "words", name="reference"),
        Column("error", lambda row: cut(row.error), "words"),
    )
    return Table(name, title, columns, tuple(rows), tuple(notes))


def problems_table(rows: Sequence[Problem]) -> Table:
    """What other stages skipped or failed."""
    columns = (
        Column("stage", lambda row: row.stage, key=True),
        Column("source", lambda row: row.subject, name="subject"),
        Column("step", lambda row: row.step),
        Column("status", lambda row: row.status),
        Column("items", lambda row: row.items, "count"),
        Column("reason", lambda row: row.reason, "words"),
    )
    return Table("problems", "Items that other stages skipped or failed", columns, tuple(rows))
