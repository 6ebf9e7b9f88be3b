"""Calibration as a page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from radvlm_cli.reporting.calibration import STATED, UNREAD
from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.reporting.page.charts import Chart, Measured, forest
from radvlm_cli.reporting.page.page import Beside, Block, Folded, Leaf, Words
from radvlm_cli.reporting.tables import Table
from radvlm_cli.stages.reports.calibration import NOT_BOXES, NOT_WORDS, TASK, WHAT, calibration_of
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot


def calibrations(
    store: Snapshot, by_test_set: Mapping[SampleSet, Sequence[Evaluated]], names: Mapping[int, str]
) -> Iterator[Block]:
    """How often findings are there by what answers say of them; where nothing can be calibrated, why."""
    columns: list[list[Leaf]] = []
    for test_set, evaluations in by_test_set.items():
        if test_set.task == TASK:
            table = calibration_of(store, evaluations)
            columns.append(
                [_forest(table, names), Folded(f"{test_set.name}: as a table", [table])] if table.rows else [table]
            )
    if columns:
        yield Words(WHAT)
        yield Beside(columns)
    elif by_test_set:
        yield Words(f"No answer of the task {TASK} is shown, and only those say how sure they are of a finding.")
    if by_test_set:
        yield Words(f"{NOT_BOXES} {NOT_WORDS}")


def _forest(table: Table, names: Mapping[int, str]) -> Chart:
    rows = [
        Measured(said, names[row.evaluation], row.present)
        for said in (*STATED, UNREAD)
        for row in table.rows
        if row.said == said
    ]
    return forest(table.name, rows, "share present, with 95 % interval", (0.0, 1.0))
