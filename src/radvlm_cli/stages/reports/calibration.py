"""How far what a model says can be relied on: of findings called present, uncertain or absent, how many are there?

That is all the calibration there is to measure here. No model gives its boxes a score, and probabilities of words are
not stored; what answers do carry is their wording, which the parser of labels has read when they were scored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radvlm_cli.labels import ABNORMALITIES
from radvlm_cli.metrics.family import Table
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.metrics.statistics import Clusters, Interval, bootstrap
from radvlm_cli.reporting.calibration import STATED, UNREAD, Stated, calibration_table, nothing_calibrated
from radvlm_cli.reporting.tables import Estimate, View
from radvlm_cli.reporting.tables import Table as Shown
from radvlm_cli.stages.reports.numbers import clusters_of, estimate_of
from radvlm_cli.stages.reports.selection import Evaluated, Wanted, select
from radvlm_cli.store.snapshot import Snapshot

TASK = "classification"
WHAT = (
    "Of the findings that answers affirm, leave uncertain, do not mention or negate, the share that is present by the "
    "reference, over all findings that were asked for together. Intervals: 95 %, by 2,000 draws of patients. "
    "Where words mean what they say, the share is near 1 for affirmed findings and near 0 for negated ones. Of answers "
    "that could not be read it is how frequent the findings are."
)
NOT_BOXES = "Boxes: no model here gives its boxes a score, so there is nothing to calibrate."
NOT_WORDS = "Probabilities of words (logprobs) are not stored; grades of judges are no confidence of the model's."
_SAID = {1: "affirmed", 0: "negated", -1: "uncertain"}
_KINDS = (*STATED, UNREAD)
Counts = NDArray[np.float64]


def calibration_view(store: Snapshot, wanted: Wanted) -> View:
    """The view `calibration`."""
    tables = []
    for test_set, evaluations in select(store, wanted).by_test_set().items():
        if test_set.task == TASK:
            tables.append(calibration_of(store, evaluations))
    if not tables:
        tables.append(nothing_calibrated(f"no evaluation that was asked for is of the task {TASK}"))
    return View("calibration", "Calibration of what answers say", tuple(tables), (WHAT, NOT_BOXES, NOT_WORDS))


def calibration_of(store: Snapshot, evaluations: Sequence[Evaluated]) -> Shown:
    """The table of evaluations of one test set of the task `classification`."""
    rows, unread = [], []
    for one in evaluations:
        found = stated(store, one)
        rows += found
        if not found:
            unread.append(f"evaluation {one.id}: its answers have not been read as findings")
    return calibration_table(evaluations[0].test_set, rows, unread)


def stated(store: Snapshot, one: Evaluated) -> list[Stated]:
    """What an evaluation's answers say of findings and how often it is so; nothing where none was read as findings."""
    of, _ids = clusters_of(store, one.test_set.id)
    counts = _counts(store, one, len(of.of_sample))
    if counts is None:
        return []
    said, present = counts
    drawn = bootstrap(np.hstack([said, present]), of, _shares)
    return [
        Stated(one.id, one.model, kind, number, _estimate(drawn[kind], number, _patients(said[:, place], of)))
        for place, kind in enumerate(_KINDS)
        if (number := round(said[:, place].sum()))
    ]


def _counts(store: Snapshot, one: Evaluated, samples: int) -> tuple[Counts, Counts] | None:
    """By sample and kind of statement the findings of which it was said, and how many of them are present."""
    asked = json.loads(store.value("SELECT options FROM test_set WHERE id = ?", (one.test_set.id,))) or ABNORMALITIES
    answers = store.all("SELECT position, status, content, parser FROM parsed WHERE evaluation_id = ?", (one.id,))
    if not any(parser.startswith("labels/") for *_answer, parser in answers):
        return None
    readable = {position: content for position, status, content, _p in answers if status == "ok"}
    labels = {position: json.loads(content)["labels"] for position, content in readable.items()}
    said, present = np.zeros((samples, len(_KINDS))), np.zeros((samples, len(_KINDS)))
    references = store.rows("SELECT position, reference FROM test_sample WHERE test_set_id = ?", (one.test_set.id,))
    for position, reference in references:
        positive = set(json.loads(reference)["positive"])
        for finding in asked:
            place = _KINDS.index(_kind(labels.get(position), finding))
            said[position, place] += 1
            present[position, place] += finding in positive
    return said, present


def _kind(labels: dict[str, int] | None, finding: str) -> str:
    if labels is None:
        return UNREAD
    return _SAID[labels[finding]] if finding in labels else "not mentioned"


def _shares(sums: Table) -> dict[str, Table]:
    width = len(_KINDS)
    shares = ratio(sums[..., width:], sums[..., :width])
    return {kind: shares[..., place] for place, kind in enumerate(_KINDS)}


def _patients(said: Counts, of: Clusters) -> int:
    return len(np.unique(of.of_sample[said > 0]))


def _estimate(drawn: Interval, n: int, patients: int) -> Estimate:
    remark = f"not said in {drawn.undefined:.1%} of the draws, which are left out" if drawn.undefined else None
    return estimate_of(drawn, n, patients, remark)
