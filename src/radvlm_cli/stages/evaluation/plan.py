"""Which test sets an evaluation asks, in which words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from radvlm_cli.adapters.protocol import Asked
from radvlm_cli.errors import ConfigError
from radvlm_cli.hashing import canonical_json
from radvlm_cli.stages.evaluation.request import Request, Values
from radvlm_cli.stages.evaluation.test_sets import TASK_OF, Frozen, collect, components_of, find_dataset
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import counts, find_evaluation
from radvlm_cli.store.test_sets import SampleRow


class Planned(NamedTuple):
    """A test set and what the model is asked about it."""

    frozen: Frozen
    questions: tuple[tuple[str, ...], ...]
    """Per sample."""
    identity: Values


def plan(store: Store, request: Request, *, data_dir: Path, derived_dir: Path) -> list[Planned]:
    """The test sets of the tasks asked for, with the prompts. ConfigError where the dataset has none of them."""
    dataset = find_dataset(store, request.dataset)
    planned = []
    for position, component in components_of(dataset):
        if TASK_OF[component.task] not in request.tasks:
            continue
        frozen = collect(
            *(store, dataset, position, component),
            data_dir=data_dir,
            derived_dir=derived_dir,
            limit=request.limit,
            seed=request.seed,
        )
        if frozen.samples:
            questions = tuple(_questions(request, frozen, sample) for sample in frozen.samples)
            identity = request.identity(frozen.key, frozen.task, _hash(questions))
            planned.append(Planned(frozen, questions, identity))
    if not planned:
        raise ConfigError(
            f"The dataset in {dataset.output} has no samples for {', '.join(request.tasks)}.",
            "radvlm build --recipe evaluation --output datasets/test, and see what it finds",
        )
    return planned


def _questions(request: Request, frozen: Frozen, sample: SampleRow) -> tuple[str, ...]:
    if frozen.task == "conversation":
        return sample.turns
    asked = Asked(frozen.task, sample.subject, sample.turns[0], frozen.options, sample.indication)
    return (request.model.card.prompt(asked, request.loading["protocol"]),)


def _hash(questions: Sequence[Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for each in questions:
        digest.update(canonical_json(list(each)).encode() + b"\n")
    return digest.hexdigest()


def plan_rows(store: Store, planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """What would be asked: a row per test set, the published count beside the samples found."""
    rows = []
    for each in planned:
        frozen, evaluation = each.frozen, find_evaluation(store, each.identity)
        done = 0 if evaluation is None else sum(counts(store, evaluation.id).values())
        rows.append(
            {
                "test set": frozen.name,
                "task": frozen.task,
                "published": frozen.expected,
                "found": frozen.found,
                "samples": len(frozen.samples),
                "answered": done,
                "prompt": each.questions[0][0],
            }
        )
    return rows
