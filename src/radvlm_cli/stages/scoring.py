"""Scores of an evaluation's answers."""

from __future__ import annotations

from typing import Any

from radvlm_cli.stages.evaluation_runs import evaluation_line
from radvlm_cli.store.runs import Run


def score(run: Run, evaluation_id: int) -> list[dict[str, Any]]:
    """Count an evaluation's answers by how they came out."""
    line = evaluation_line(run.store, evaluation_id)
    return [
        {"evaluation": evaluation_id, **{name: line[name] for name in ("samples", "ok", "empty", "truncated", "error")}}
    ]
