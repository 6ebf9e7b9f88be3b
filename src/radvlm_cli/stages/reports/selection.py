"""Which evaluations a view is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from radvlm_cli.adapters.protocol import GROUNDING
from radvlm_cli.errors import ConfigError
from radvlm_cli.reporting.evaluation import SampleSet
from radvlm_cli.store.snapshot import Snapshot


class Wanted(NamedTuple):
    """What the user asked for; empty: everything."""

    models: tuple[str, ...] = ()
    """Names, or numbers of evaluations."""
    test_sets: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    every: bool = False
    """Also evaluations that a newer one of the same model on the same test set has followed."""


class Evaluated(NamedTuple):
    """An evaluation with its test set."""

    id: int
    model: str
    status: str
    begun: str
    run_id: int
    test_set: SampleSet


class Selection(NamedTuple):
    """Evaluations by test set, in the order of the recipe, and how many older ones are left out."""

    evaluations: tuple[Evaluated, ...]
    older: int

    def by_test_set(self) -> dict[SampleSet, list[Evaluated]]:
        """The evaluations of each test set."""
        found: dict[SampleSet, list[Evaluated]] = {}
        for one in self.evaluations:
            found.setdefault(one.test_set, []).append(one)
        return found


def select(store: Snapshot, wanted: Wanted) -> Selection:
    """The evaluations asked for; ConfigError naming what there is, where there are none."""
    known = all_evaluations(store)
    found = [one for one in known if _wanted(one, wanted)]
    if not found:
        raise _nothing(known, wanted)
    newest: dict[tuple[str, int], int] = {}
    for one in found:
        # A complete evaluation is not hidden by one that has only been begun.
        before = newest.get((one.model, one.test_set.id))
        if before is None or one.status == "complete" or known_status(known, before) != "complete":
            newest[one.model, one.test_set.id] = one.id
    numbered = {name for name in wanted.models if name.isdigit()}
    shown = [
        one for one in found if wanted.every or str(one.id) in numbered or newest[one.model, one.test_set.id] == one.id
    ]
    shown.sort(key=lambda one: (one.test_set.id, one.model, one.id))
    return Selection(tuple(shown), len(found) - len(shown))


def known_status(known: Sequence[Evaluated], evaluation: int) -> str:
    """The status of one of these evaluations."""
    return next(one.status for one in known if one.id == evaluation)


def all_evaluations(store: Snapshot) -> list[Evaluated]:
    """Every evaluation, oldest first."""
    sets = {
        row[0]: SampleSet._make(row)
        for row in store.rows(
            "SELECT id, name, task, source, samples, patients, expected, key, EXISTS (SELECT 1 FROM test_sample "
            "WHERE test_set_id = test_set.id AND patient_id IS NOT NULL) FROM test_set"
        )
    }
    rows = store.rows("SELECT id, model, status, created_at, run_id, test_set_id FROM evaluation ORDER BY id")
    return [Evaluated._make((*row[:5], sets[row[5]])) for row in rows]


def _wanted(one: Evaluated, wanted: Wanted) -> bool:
    return (
        (not wanted.models or one.model in wanted.models or str(one.id) in wanted.models)
        and (not wanted.test_sets or one.test_set.name in wanted.test_sets)
        and (not wanted.tasks or any(one.test_set.task in _single(name) for name in wanted.tasks))
    )


def _single(task: str) -> tuple[str, ...]:
    """Tasks of test sets that go by this name, as they do in `radvlm eval`."""
    return GROUNDING if task == "grounding" else (task,)


def _nothing(known: Sequence[Evaluated], wanted: Wanted) -> ConfigError:
    if not known:
        return ConfigError("Nothing has been evaluated yet.", "radvlm eval --model MODEL --task TASK")
    names = {
        "model": (wanted.models, {one.model for one in known} | {str(one.id) for one in known}),
        "test set": (wanted.test_sets, {one.test_set.name for one in known}),
        "task": (wanted.tasks, {one.test_set.task for one in known}),
    }
    for what, (asked, there) in names.items():
        strange = [name for name in asked if there.isdisjoint(_single(name) if what == "task" else (name,))]
        if strange:
            listed = ", ".join(sorted(name for name in there if not name.isdigit()))
            return ConfigError(
                f"No evaluation has the {what} {strange[0]!r}; there are: {listed}.", "radvlm report eval"
            )
    return ConfigError("No evaluation is of that model, test set and task together.", "radvlm report eval")
