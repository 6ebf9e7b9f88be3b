"""From the published test set to the answers that could be scored; and whose images those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.reporting.flow import Answers, Flow, Population
from radvlm_cli.stages.reports.evaluations import outcomes_of
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot


def flows(store: Snapshot, by_test_set: Mapping[SampleSet, Sequence[Evaluated]]) -> list[Flow]:
    """One for each test set."""
    return [_flow(store, test_set, evaluations) for test_set, evaluations in by_test_set.items()]


def _flow(store: Snapshot, test_set: SampleSet, evaluations: Sequence[Evaluated]) -> Flow:
    found, unusable, removed = next(
        store.rows(
            "SELECT component.found, component.unusable, component.removed FROM test_set JOIN component "
            "ON component.dataset_id = test_set.dataset_id AND component.name = test_set.name WHERE test_set.id = ?",
            (test_set.id,),
        ),
        (None, None, None),
    )
    answers = []
    for one in evaluations:
        outcomes = outcomes_of(store, one)
        asked = test_set.samples - outcomes.get("unasked", 0)
        answers.append(Answers(one.id, one.model, asked, outcomes))
    named = store.value(
        "SELECT 1 FROM test_sample WHERE test_set_id = ? AND patient_id NOT NULL LIMIT 1", (test_set.id,)
    )
    return Flow(test_set, bool(named), found, unusable, removed, answers)


def populations(store: Snapshot, test_sets: Sequence[SampleSet]) -> list[Population]:
    """One for each test set."""
    return [_population(store, test_set) for test_set in test_sets]


def _population(store: Snapshot, test_set: SampleSet) -> Population:
    images, female, male = next(
        store.rows(
            "SELECT count(DISTINCT path), sum(sex = 'F'), sum(sex = 'M') FROM test_sample WHERE test_set_id = ?",
            (test_set.id,),
        )
    )
    ages = [
        age
        for (age,) in store.rows(
            "SELECT age FROM test_sample WHERE test_set_id = ? AND age NOT NULL ORDER BY age", (test_set.id,)
        )
    ]
    views = store.rows(
        "SELECT coalesce(upper(view), 'not told'), count(*) FROM test_sample WHERE test_set_id = ? "
        "GROUP BY 1 ORDER BY 2 DESC, 1",
        (test_set.id,),
    )
    low, middle, high = (_quantile(ages, share) for share in (0.25, 0.5, 0.75))
    said = ", ".join(f"{view} {number:,}" for view, number in views)
    return Population(test_set, images, female or 0, male or 0, low, middle, high, len(ages), said)


def _quantile(ascending: Sequence[int], share: float) -> float | None:
    """By linear interpolation between neighbours."""
    if not ascending:
        return None
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (place - below) * (ascending[above] - ascending[below])
