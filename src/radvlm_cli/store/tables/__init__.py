"""The tables, in the order in which data flows through them. docs/store.md is generated from this package.

Every column says what it holds in its `description`; every table in its docstring. `*_at` columns are UTC, ISO 8601.
JSON columns hold canonical JSON text (see hashing.canonical_json), so SQLite's json_each and -> work on them.
"""

from __future__ import annotations

from sqlmodel import SQLModel

# Metadata, and so the page on the store, has the tables in the order of these lines.
# isort: off
from radvlm_cli.store.tables.runs import Artifact, Outcome, Run, Step, Tally
from radvlm_cli.store.tables.records import Grounding, Image, Report
from radvlm_cli.store.tables.texts import Batch, BatchLine, Conversation, CuratedText, LlmCall, Prompt, Quarantine
from radvlm_cli.store.tables.datasets import Checkpoint, Component, Dataset, Leak, Pair, Training
from radvlm_cli.store.tables.evaluation import (
    Answering,
    ChatTurn,
    Evaluation,
    Judgement,
    Parsed,
    Prediction,
    SampleScore,
    Score,
    TestSample,
    TestSet,
)
from radvlm_cli.store.tables.spools import Event, Spool
from radvlm_cli.store.tables.views import VIEWS
# isort: on

VOCABULARY: dict[str, dict[str, tuple[str, ...]]] = {
    "image": {
        "status": ("present", "missing", "failed", "unchecked"),
        "split": ("train", "validation", "test"),
        "root": ("data", "derived"),
    },
    "grounding": {"kind": ("region", "abnormality", "phrase"), "split": ("train", "validation", "test")},
    "report": {"split": ("train", "validation", "test")},
}
"""The values that columns of the large tables may have besides NULL."""

__all__ = [
    "VIEWS",
    "VOCABULARY",
    "Answering",
    "Artifact",
    "Batch",
    "BatchLine",
    "ChatTurn",
    "Checkpoint",
    "Component",
    "Conversation",
    "CuratedText",
    "Dataset",
    "Evaluation",
    "Event",
    "Grounding",
    "Image",
    "Judgement",
    "Leak",
    "LlmCall",
    "Outcome",
    "Pair",
    "Parsed",
    "Prediction",
    "Prompt",
    "Quarantine",
    "Report",
    "Run",
    "SQLModel",
    "SampleScore",
    "Score",
    "Spool",
    "Step",
    "Tally",
    "TestSample",
    "TestSet",
    "Training",
]
