"""Which metrics an evaluation gets, in the order of a report, and where those that are models find their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from radvlm_cli.adapters.protocol import Task
from radvlm_cli.metrics.boxes import BoxMatching, LabelledBoxes, RadvlmMap50
from radvlm_cli.metrics.family import Family
from radvlm_cli.metrics.labels import LabelScores
from radvlm_cli.store.engine import Store
from radvlm_cli.store.evaluations import EvaluationRow


class ScoreOptions(NamedTuple):
    """How to score."""

    device: Literal["cpu", "cuda"] = "cpu"
    """For metrics that are models."""


def families_of(
    store: Store, evaluation: EvaluationRow, task: Task, references: Sequence[Any], options: ScoreOptions
) -> list[Family]:
    """The metrics of a task."""
    if task == "classification":
        return [LabelScores(), LabelScores(name="labels_published", published=True)]
    if task == "detection":
        return [LabelledBoxes()]
    return [BoxMatching(), RadvlmMap50()]
