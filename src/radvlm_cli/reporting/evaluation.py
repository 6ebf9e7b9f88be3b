"""Rows of evaluations: models by metrics, labels, subgroups, published figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from radvlm_cli.reporting.tables import Column, Estimate, Table


class Metric(NamedTuple):
    """A metric as it is shown."""

    name: str
    title: str
    better: str
    """higher, lower, or nothing: it describes."""

    @property
    def heading(self) -> str:
        """Its title, and where low is good."""
        return f"{self.title} (low is good)" if self.better == "lower" else self.title


class SampleSet(NamedTuple):
    """What models were asked."""

    id: int
    name: str
    task: str
    source: str
    samples: int
    patients: int
    expected: int | None
    """Samples in the published evaluation."""
    sha256: str
    named: bool = True
    """Whether the source names patients; else studies or images stand in their place."""

    @property
    def title(self) -> str:
        """Name, task, and how much of the published set it is."""
        of = "" if self.expected is None else f" of {self.expected:,} published"
        return f"{self.name} ({self.task}): {self.samples:,}{of} samples, {self.clusters}"

    @property
    def clusters(self) -> str:
        """How many there are to draw from, and of what."""
        return (
            f"{self.patients:,} patients" if self.named else f"{self.patients:,} studies or images, no patients named"
        )


class ModelScores(NamedTuple):
    """One evaluation: a model's scores on a test set."""

    evaluation: int
    model: str
    test_set: SampleSet
    status: str
    """building or complete."""
    begun: str
    answered: int
    outcomes: Mapping[str, int]
    """Answers by how they came out when they were read: ok, empty, unparsable, truncated, error, refused, unasked."""
    coverage: float | None
    """Share of samples whose answer could be scored; the least of the metrics shown."""
    scores: Mapping[str, Estimate]
    """By metric, over all samples: failures count as wrong."""
    readable: Mapping[str, Estimate]
    """By metric, over the answers that could be read; empty where that is all of them."""

    @property
    def failures(self) -> int:
        """Answers that count as wrong whatever they say."""
        return sum(number for status, number in self.outcomes.items() if status != "ok")


class LabelScores(NamedTuple):
    """One finding in one evaluation."""

    evaluation: int
    model: str
    label: str
    support: int | None
    """Samples in which it is present."""
    samples: int
    scores: Mapping[str, Estimate]

    @property
    def prevalence(self) -> float | None:
        """Share of samples in which it is present."""
        return self.support / self.samples if self.support is not None and self.samples else None


class Subgroup(NamedTuple):
    """A metric of an evaluation in a part of the patients."""

    evaluation: int
    model: str
    metric: Metric
    by: str
    group: str
    samples: int
    patients: int
    positives: int | None
    """Samples with something to find, where the task has such."""
    value: Estimate
    difference: Estimate
    """The group minus all others, by the same draws of patients."""


class Published(NamedTuple):
    """A model's published figures for a test set, beside ours of the same model."""

    model: str
    """As the publication calls it."""
    source: str
    figures: Mapping[str, float]
    """By our name of the metric, on our scale."""
    differs: tuple[str, ...]
    """Why they cannot be held against ours; empty: task and test set match."""
    ours: tuple[ModelScores, ...]
    """Our evaluations of that model on that test set."""


class _Beside(NamedTuple):
    """A line of the table: published, or ours below it."""

    model: str
    published: bool
    comparable: bool | None
    scores: Mapping[str, Estimate]
    differs: str | None
    source: str | None


def scores_table(
    test_set: SampleSet, metrics: Sequence[Metric], rows: Sequence[ModelScores], notes: Sequence[str] = ()
) -> Table:
    """Models by metrics on one test set."""
    columns = [
        Column("model", lambda row: row.model, key=True),
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("n", lambda row: row.test_set.samples, "count"),
        Column("patients", lambda row: row.test_set.patients, "count"),
        Column("answered", lambda row: row.answered, "count"),
        Column("failures", lambda row: row.failures, "count"),
        Column("scored", lambda row: row.coverage, "share", name="coverage"),
    ]
    columns += [_metric_column(metric) for metric in metrics]
    return Table(test_set.name, test_set.title, tuple(columns), tuple(rows), tuple(notes))


def readable_table(test_set: SampleSet, metrics: Sequence[Metric], rows: Sequence[ModelScores]) -> Table:
    """The same over the answers that could be read only."""
    columns = [
        Column("model", lambda row: row.model, key=True),
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("n read", lambda row: next((e.n for e in row.readable.values()), None), "count", name="n"),
    ]
    columns += [_metric_column(metric, readable=True) for metric in metrics]
    note = "A survivors' subset: not to be held against a model that fails on other samples."
    name, title = f"{test_set.name}-readable", f"{test_set.name}: answers that could be read only"
    return Table(name, title, tuple(columns), tuple(row for row in rows if row.readable), (note,))


def _metric_column(metric: Metric, readable: bool = False) -> Column:
    arrow = {"lower": " (low)"}.get(metric.better, "")

    def get(row: ModelScores) -> Estimate | None:
        return (row.readable if readable else row.scores).get(metric.name)

    return Column(f"{metric.title}{arrow}", get, "number", name=metric.name)


def labels_table(test_set: SampleSet, metrics: Sequence[Metric], rows: Sequence[LabelScores]) -> Table:
    """Findings of one test set, for each evaluation."""
    columns = [
        Column("model", lambda row: row.model, key=True),
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column("finding", lambda row: row.label, key=True),
        Column("positive", lambda row: row.support, "count", name="support"),
        Column("prevalence", lambda row: row.prevalence, "share"),
        Column("n", lambda row: row.samples, "count", name="samples"),
    ]
    columns += [_label_column(metric) for metric in metrics]
    return Table(f"{test_set.name}-labels", f"{test_set.name}: findings", tuple(columns), tuple(rows))


def _label_column(metric: Metric) -> Column:
    def get(row: LabelScores) -> Estimate | None:
        return row.scores.get(metric.name)

    return Column(metric.title, get, "number", name=metric.name)


def subgroups_table(test_set: SampleSet, by: str, rows: Sequence[Subgroup], notes: Sequence[str]) -> Table:
    """Groups of patients on one test set."""
    columns = (
        Column("model", lambda row: row.model, key=True),
        Column("#", lambda row: row.evaluation, "count", key=True, name="evaluation"),
        Column(by, lambda row: row.group, key=True, name="group"),
        Column("metric", lambda row: row.metric.title),
        Column("n", lambda row: row.samples, "count", name="samples"),
        Column("patients", lambda row: row.patients, "count"),
        Column("positive", lambda row: row.positives, "count", name="positives"),
        Column("value", lambda row: row.value, "number"),
        Column("minus the others", lambda row: row.difference, "number", name="difference"),
    )
    return Table(f"{test_set.name}-{by}", f"{test_set.name} by {by}", columns, tuple(rows), tuple(notes))


def published_table(
    test_set: SampleSet, metrics: Sequence[Metric], rows: Sequence[Published], notes: Sequence[str]
) -> Table:
    """Published figures of a test set, each model's followed by ours of that model."""
    columns = [
        Column("model", lambda row: row.model, key=True),
        Column("by", lambda row: "publication" if row.published else "us", key=True),
        Column("comparable", lambda row: row.comparable),
    ]
    columns += [_beside_column(metric) for metric in metrics]
    columns += [
        Column("differs in", lambda row: row.differs, "words", name="differs"),
        Column("source", lambda row: row.source, "words"),
    ]
    name, title = f"{test_set.name}-published", f"{test_set.name}: published figures beside ours"
    said = ("Published figures were made by others' code, and have no interval here.", *notes)
    return Table(name, title, tuple(columns), tuple(line for row in rows for line in _lines(row)), said)


def _lines(row: Published) -> Iterator[_Beside]:
    figures = {name: Estimate(value) for name, value in row.figures.items()}
    yield _Beside(row.model, True, not row.differs, figures, "; ".join(row.differs) or None, row.source)
    for ours in row.ours:
        scores = {name: ours.scores[name] for name in row.figures if name in ours.scores}
        yield _Beside(f"{ours.model} #{ours.evaluation}", False, None, scores, None, None)


def _beside_column(metric: Metric) -> Column:
    def get(row: _Beside) -> Estimate | None:
        return row.scores.get(metric.name)

    return Column(metric.title, get, "number", name=metric.name)
