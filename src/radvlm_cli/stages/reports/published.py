"""Published figures beside ours, with what keeps the two from being compared."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.reporting.evaluation import ModelScores, Published, SampleSet, published_table
from radvlm_cli.reporting.figures import Figure, figures
from radvlm_cli.reporting.tables import Table
from radvlm_cli.stages.reports.numbers import metric, metrics_shown


def published_beside(test_set: SampleSet, ours: Sequence[ModelScores]) -> list[Published]:
    """The published figures for a test set, in the order of the publications; none where nothing is scored here."""
    scored = [row for row in ours if row.scores]
    found: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures() if scored else ():
        if figure.task == test_set.task and test_set.name in figure.test_sets:
            found.setdefault((figure.source, figure.model), []).append(figure)
    return [
        Published(
            model=model,
            source=source,
            figures={figure.metric: figure.value for figure in listed},
            differs=(*listed[0].differs, *_samples(listed[0], test_set)),
            ours=tuple(row for row in scored if listed[0].is_of(row.model)),
        )
        for (source, model), listed in found.items()
    ]


def published_figures(test_set: SampleSet, ours: Sequence[ModelScores]) -> Table | None:
    """The table of them."""
    rows = published_beside(test_set, ours)
    if not rows:
        return None
    shown = metrics_shown([name for row in rows for name in row.figures], every=True)
    notes = {
        f"{metric(figure.metric).title}: {figure.unsure} ({figure.source.partition(' (')[0]})": None
        for figure in figures()
        if figure.unsure and test_set.name in figure.test_sets
    }
    return published_table(test_set, shown, rows, list(notes))


def _samples(figure: Figure, test_set: SampleSet) -> tuple[str, ...]:
    """What of the samples is not as in the publication."""
    if figure.samples is None:
        return ("number of samples is not published",)
    if test_set.samples != figure.samples:
        return (f"{test_set.samples:,} samples here, {figure.samples:,} published",)
    return ()
