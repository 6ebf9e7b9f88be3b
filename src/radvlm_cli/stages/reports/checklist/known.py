"""What facts for the checklist are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from radvlm_cli.reporting.evaluation import ModelScores, SampleSet
from radvlm_cli.reporting.flow import Flow, Population
from radvlm_cli.reporting.provenance import Conditions, Invocation
from radvlm_cli.stages.reports.selection import Evaluated
from radvlm_cli.store.snapshot import Snapshot


class Known(NamedTuple):
    """What facts are made of, read once."""

    store: Snapshot
    evaluations: Sequence[Evaluated]
    flows: Sequence[Flow]
    populations: Sequence[Population]
    scores: Sequence[ModelScores]
    conditions: Sequence[Conditions]
    runs: Sequence[Invocation]

    @property
    def test_sets(self) -> list[SampleSet]:
        """The test sets that models were asked."""
        return [flow.test_set for flow in self.flows]


def arguments_of(store: Snapshot, command: str) -> dict[str, Any]:
    """The options of the newest run of a command; empty where there was none."""
    row = store.value("SELECT arguments FROM run WHERE command = ? ORDER BY id DESC LIMIT 1", (command,))
    found: dict[str, Any] = json.loads(row) if row else {}
    return found


def joined(parts: Iterable[object]) -> str:
    """One after another, with commas."""
    return ", ".join(str(part) for part in parts)
