"""The charts of a page, from rows and from numbers of single samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from radvlm_cli.reporting.data import DatasetPart, Images
from radvlm_cli.reporting.evaluation import LabelScores, Metric, ModelScores
from radvlm_cli.reporting.llm import Spending
from radvlm_cli.reporting.page.charts import Bar, Chart, Measured, Point, bars, curves, forest, histogram
from radvlm_cli.reporting.training import HeldOut, TrainingPoint
from radvlm_cli.stages.reports.numbers import families_of_task, read_numbers
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_POINTS = 300
"""Of a curve; where there are more steps, a point stands for several."""
_UNIT = (0.0, 1.0)
_MOST_LABELS = 30


def series_names(evaluations: Sequence[Evaluated]) -> dict[int, str]:
    """By evaluation the model's name, with its number where a name stands for two evaluations of a test set."""
    twice: dict[tuple[int, str], int] = defaultdict(int)
    for one in evaluations:
        twice[one.test_set.id, one.model] += 1
    return {
        one.id: f"{one.model} #{one.id}" if twice[one.test_set.id, one.model] > 1 else one.model for one in evaluations
    }


def forests(rows: Sequence[ModelScores], metrics: Sequence[Metric], names: Mapping[int, str]) -> list[Chart]:
    """The metrics of a test set: those between 0 and 1 in one chart, others each in its own."""
    if not rows:
        return []
    known = [metric for metric in metrics if any(_of(row, metric.name) is not None for row in rows)]
    within = [metric for metric in known if all(_fits(row, metric.name) for row in rows)]
    name = rows[0].test_set.name
    charts = []
    for group in (within, *([metric] for metric in known if metric not in within)):
        if not group:
            continue
        measured = [
            Measured(metric.heading, names[row.evaluation], row.scores[metric.name])
            for metric in group
            for row in rows
            if metric.name in row.scores
        ]
        what = "value with 95 % interval"
        title = name if group is within else f"{name}: {group[0].title}"
        charts.append(forest(title, measured, what, _UNIT if group is within else None))
    return charts


def _of(row: ModelScores, metric: str) -> float | None:
    estimate = row.scores.get(metric)
    return None if estimate is None else estimate.value


def _fits(row: ModelScores, metric: str) -> bool:
    estimate = row.scores.get(metric)
    numbers = () if estimate is None else (estimate.value, estimate.low, estimate.high)
    return all(0 <= number <= 1 for number in numbers if number is not None)


def label_forest(name: str, rows: Sequence[LabelScores], metric: Metric, names: Mapping[int, str]) -> Chart | None:
    """One metric of the findings that occur, the most frequent first."""
    support: dict[str, int] = {}
    for row in rows:
        support[row.label] = max(support.get(row.label, 0), row.support or 0)
    labels = sorted((label for label in support if support[label]), key=lambda label: (-support[label], label))
    measured = [
        Measured(f"{label} ({support[label]:,})", names[row.evaluation], row.scores[metric.name])
        for label in labels[:_MOST_LABELS]
        for row in rows
        if row.label == label and metric.name in row.scores and row.scores[metric.name].value is not None
    ]
    if not measured:
        return None
    chart = forest(f"{name}: {metric.title} by finding", measured, f"{metric.title} with 95 % interval", _UNIT)
    return chart._replace(
        note="In brackets: samples in which it is present. Findings that are in no sample are left out."
    )


def iou_histogram(
    store: Snapshot, name: str, evaluations: Sequence[Evaluated], names: Mapping[int, str]
) -> Chart | None:
    """How well the marked area covers the true one, sample by sample; failures are at 0."""
    bins = ["none", "> 0", *(f"{low / 10:.1f}" for low in range(1, 10))]
    rows: list[Bar] = []
    samples: dict[str, int] = {}
    for one in evaluations:
        values = _ious(store, one)
        if values is None or not len(values):
            continue
        samples[names[one.id]] = len(values)
        places = np.where(values <= 0, 0, np.minimum((values * 10).astype(int), 9) + 1)
        counts = np.bincount(places, minlength=len(bins)).tolist()
        rows += [Bar(each, names[one.id], count) for each, count in zip(bins, counts, strict=True)]
    if not rows:
        return None
    return histogram(name, rows, "IoU of a sample, from", samples)


def _ious(store: Snapshot, one: Evaluated) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    family = families_of_task(one.test_set.task).get("boxes")
    numbers = None if family is None else read_numbers(store, one.id, "boxes", len(family.columns))
    if family is None or numbers is None:
        return None
    columns = {column: place for place, column in enumerate(family.columns)}
    there = numbers.table[:, columns["samples_with_truth"]] > 0
    found: np.ndarray[tuple[int], np.dtype[np.float64]] = numbers.table[there, columns["iou_of_unions"]]
    return found


def composition(images: Sequence[Images], parts: Sequence[DatasetPart]) -> list[Chart]:
    """Images by source and split; pairs of each dataset by component."""
    charts = []
    splits = ("train", "validation", "test")
    by_split = [Bar(row.source, row.split if row.split in splits else "no split", row.images) for row in images]
    by_split.sort(key=lambda bar: (*splits, "no split").index(bar.series))
    if by_split:
        order = {source: place for place, source in enumerate(dict.fromkeys(row.source for row in images))}
        charts.append(bars("Images by source", sorted(by_split, key=lambda bar: order[bar.row]), "images"))
    for dataset in dict.fromkeys(part.dataset for part in parts):
        rows = [Bar(part.component, "pairs", part.pairs) for part in parts if part.dataset == dataset]
        if any(row.value for row in rows):
            charts.append(bars(f"Pairs of the dataset {dataset}", rows, "pairs"))
    return charts


def training_curves(run: int, points: Sequence[TrainingPoint], held: Sequence[HeldOut]) -> list[Chart]:
    """Loss in training and on held-out pairs; learning rate."""
    charts = []
    loss = list(_thinned("training", [(point.step, point.loss) for point in points]))
    if loss:
        chart = curves(f"Loss of run {run}", loss, "step", "loss")
        if len(points) > _POINTS:
            chart = chart._replace(note="The line is the mean of neighbouring steps, the band their range.")
        charts.append(chart)
    losses = [Point(row.task, row.step, row.loss) for row in held if row.loss is not None]
    if losses:
        charts.append(curves(f"Loss of run {run} on held-out pairs, by task", losses, "step", "loss"))
    rate = list(_thinned("learning rate", [(point.step, point.learning_rate) for point in points], band=False))
    if rate:
        charts.append(curves(f"Learning rate of run {run}", rate, "step", "learning rate"))
    return charts


def _thinned(series: str, points: Iterable[tuple[int, float | None]], band: bool = True) -> Iterable[Point]:
    """Means of neighbours with their range, at most 300."""
    known = [(step, value) for step, value in points if value is not None]
    size = -(-len(known) // _POINTS) or 1
    for start in range(0, len(known), size):
        part = known[start : start + size]
        values = [value for _step, value in part]
        low, high = (min(values), max(values)) if band and size > 1 else (None, None)
        yield Point(series, part[-1][0], sum(values) / len(values), low, high)


def spending_chart(rows: Sequence[Spending]) -> Chart | None:
    """Dollars by prompt where prices are known, else tokens."""
    if any(row.dollars for row in rows):
        known = [Bar(row.prompt, row.model, row.dollars or 0) for row in rows]
        return bars("Cost of calls by prompt", known, "US dollars", unit="dollars")
    tokens = [Bar(row.prompt, row.model, row.input_tokens + row.output_tokens) for row in rows]
    return bars("Tokens of calls by prompt", tokens, "tokens") if any(row.value for row in tokens) else None
