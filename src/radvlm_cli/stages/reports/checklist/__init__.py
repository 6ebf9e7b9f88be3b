"""What the store can say to a reviewer's checklist: one sentence or two for each fact, none where it does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.stages.reports.checklist import of_data, of_models
from radvlm_cli.stages.reports.checklist.known import Known
from radvlm_cli.stages.reports.evaluations import model_scores
from radvlm_cli.stages.reports.page.conditions import conditions, invocations
from radvlm_cli.stages.reports.page.flows import flows, populations
from radvlm_cli.stages.reports.page.privacy import Privacy
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot

FACTS: dict[str, Callable[[Known], str]] = {**of_data.FACTS, **of_models.FACTS}
"""By the names that checklist.yaml uses."""


def facts(store: Snapshot, evaluations: Sequence[Evaluated], privacy: Privacy) -> dict[str, str]:
    """What is known, by the names that checklist.yaml uses."""
    sets: dict[SampleSet, list[Evaluated]] = {}
    for one in evaluations:
        sets.setdefault(one.test_set, []).append(one)
    known = Known(
        store,
        evaluations,
        flows(store, sets),
        populations(store, list(sets)),
        [model_scores(store, one) for one in evaluations],
        conditions(store, evaluations, privacy),
        invocations(store, evaluations, privacy),
    )
    said = {name: make(known) for name, make in FACTS.items()}
    return {name: text for name, text in said.items() if text}
