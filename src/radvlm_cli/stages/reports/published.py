"""Published figures beside ours, with what keeps the two from being compared."""

from __future__ import annotations

from collections.abc import Sequence

from radvlm_cli.reporting.evaluation import ModelScores, Published
from radvlm_cli.reporting.figures import Figure, figures
from radvlm_cli.stages.reports.numbers import metric


def beside_ours(rows: Sequence[ModelScores]) -> list[Published]:
    """The published figures of every test set that has scores here, in the order of the publication."""
    found: list[Published] = []
    sets: dict[str, list[ModelScores]] = {}
    for row in rows:
        if row.scores:
            sets.setdefault(row.test_set.name, []).append(row)
    for figure in figures():
        for name in [name for name in sets if sets[name][0].test_set.task == figure.task]:
            # A figure of another test set is shown once, beside the sets of its task that it could be taken for.
            if name in figure.test_sets:
                found += _beside(figure, sets[name])
    order = {name: place for place, name in enumerate(sets)}
    return sorted(found, key=lambda row: (order[row.test_set], row.metric.name, row.source))


def _beside(figure: Figure, rows: Sequence[ModelScores]) -> list[Published]:
    """One figure beside each of our evaluations of that model; beside none, where we have none."""
    same = [row for row in rows if figure.is_of(row.model) and figure.metric in row.scores]
    pairs = [(row, row.scores[figure.metric]) for row in same]
    shown = metric(figure.metric)
    if not pairs:
        differs = (*figure.differs, *_samples(figure, rows[0]))
        return [Published(rows[0].test_set.name, shown, figure.model, figure.value, None, None, differs, figure.source)]
    return [
        Published(
            row.test_set.name,
            shown,
            figure.model,
            figure.value,
            ours,
            f"{row.model} #{row.evaluation}",
            (*figure.differs, *_samples(figure, row)),
            figure.source,
        )
        for row, ours in pairs
    ]


def _samples(figure: Figure, row: ModelScores) -> tuple[str, ...]:
    """What of the samples is not as in the publication."""
    if figure.samples is None:
        return ("number of samples is not published",)
    if row.test_set.samples != figure.samples:
        return (f"{row.test_set.samples:,} samples here, {figure.samples:,} published",)
    return ()
