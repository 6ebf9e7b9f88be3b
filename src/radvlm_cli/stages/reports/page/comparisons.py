"""The newest model of a test set against the others on it, as a page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from radvlm_cli.metrics.significance import holm
from radvlm_cli.reporting.comparison import Beside as Held
from radvlm_cli.reporting.comparison import Compared, differences_table
from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.reporting.page.charts import Chart, Measured, forest
from radvlm_cli.reporting.page.page import Beside, Block, Folded, Leaf, Words
from radvlm_cli.reporting.tables import Table
from radvlm_cli.stages.reports.comparison import compared, join, why_no_mcnemar
from radvlm_cli.stages.reports.pairing import pair_of
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

_AGAINST = 3
"""Models that the newest is held against: the next newest. Each takes a tenth of a second."""
_WHAT = (
    "The newest model of each test set minus others, on the samples that both were asked: 95 % intervals of the paired "
    "bootstrap of patients. An interval that holds 0 (the broken line) tells of no difference; detectable is the true "
    "difference that would be found four times in five. p: the models exchanged patient by patient; Holm: over all "
    "rows of a test set here. A difference is bold only where its interval leaves out 0 and p after Holm is below 0.05."
)


def comparisons(
    store: Snapshot, by_test_set: Mapping[SampleSet, Sequence[Evaluated]], names: Mapping[int, str]
) -> Iterator[Block]:
    """A forest plot of differences and a table for each test set that several models were asked."""
    columns: list[list[Leaf]] = []
    tables: list[Table] = []
    for test_set, evaluations in by_test_set.items():
        newest, *others = sorted(evaluations, key=lambda one: -one.id)
        rows, notes = held_against(store, newest, others[:_AGAINST], names)
        if not rows:
            continue
        if len(others) > _AGAINST:
            notes.append(f"{len(others) - _AGAINST} more models: radvlm report compare A B")
        columns.append(list(_forests(test_set, rows)))
        tables.append(differences_table(test_set, rows, notes))
    if columns:
        yield Words(_WHAT)
        yield Beside(columns)
        yield Folded("Differences as tables, with p values", tables)


def held_against(
    store: Snapshot, first: Evaluated, others: Sequence[Evaluated], names: Mapping[int, str]
) -> tuple[list[Held], list[str]]:
    """One evaluation against others of its test set by the main metrics, p adjusted over all rows; and what to note."""
    rows: list[Held] = []
    notes: dict[str, None] = {}
    for other in others:
        pair = pair_of(store, first, other)
        if pair is None:
            continue
        joined, said = join(store, pair)
        found = compared(joined, every_metric=False) if joined.families else []
        notes |= dict.fromkeys((*said, *([why] if (why := why_no_mcnemar(found)) else [])))
        rows += [Held(names[first.id], names[other.id], each) for each in found]
    return _adjusted(rows), list(notes)


def _adjusted(rows: Sequence[Held]) -> list[Held]:
    """The same with Holm's adjustment over all of them, metric by metric."""
    known = {str(place): row.compared.p for place, row in enumerate(rows) if row.compared.metric.better}
    adjusted = holm({place: p for place, p in known.items() if p is not None})
    together = [
        row._replace(compared=row.compared._replace(p_adjusted=adjusted.get(str(place))))
        for place, row in enumerate(rows)
    ]
    order = {row.compared.metric.name: place for place, row in reversed(list(enumerate(rows)))}
    return sorted(together, key=lambda row: order[row.compared.metric.name])


def _forests(test_set: SampleSet, rows: Sequence[Held]) -> Iterator[Chart]:
    """One chart of the metrics whose differences stay between -1 and 1, and one of each other."""
    metrics = list(dict.fromkeys(row.compared.metric.name for row in rows))
    within = [name for name in metrics if all(_fits(row.compared) for row in rows if row.compared.metric.name == name)]
    for group in (within, *([name] for name in metrics if name not in within)):
        chosen = [row for row in rows if row.compared.metric.name in group]
        measured = [Measured(row.compared.metric.heading, row.second, row.compared.difference) for row in chosen]
        others = list(dict.fromkeys(row.second for row in chosen))
        if any(each.estimate.value is not None for each in measured):
            title = f"{test_set.name}: {chosen[0].first} minus {others[0] if len(others) == 1 else 'others'}"
            title = title if group is within else f"{title}, {chosen[0].compared.metric.title}"
            yield forest(title, measured, "difference with 95 % interval", None, zero=True)


def _fits(row: Compared) -> bool:
    return all(-1 <= end <= 1 for end in row.difference[:3] if end is not None)
