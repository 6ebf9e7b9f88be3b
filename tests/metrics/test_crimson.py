"""CRIMSON's formula against the published numbers, and how strictly a judge's JSON is read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from radvlm_cli.metrics.crimson import Crimson, parse_crimson
from radvlm_cli.records import JudgeReply

URGENT, ACTIONABLE, MINOR, BENIGN = (
    "urgent",
    "actionable_not_urgent",
    "not_actionable_not_urgent",
    "benign_expected",
)


def _document(
    reference: list[str],
    predicted: list[str],
    matched: list[tuple[int, int]] | None = None,
    attributes: list[tuple[int, str]] | None = None,
) -> dict[str, Any]:
    """What is not matched is an error."""
    matched = matched or []
    found = {"r": {i for i, _ in matched}, "p": {j for _, j in matched}}
    return {
        "reference_findings": [
            {"id": f"R{i}", "finding": "x", "clinical_significance": weight} for i, weight in enumerate(reference)
        ],
        "predicted_findings": [
            {"id": f"P{i}", "finding": "x", "clinical_significance": weight} for i, weight in enumerate(predicted)
        ],
        "matched_findings": [{"ref_id": f"R{i}", "pred_id": f"P{j}"} for i, j in matched],
        "errors": {
            "false_findings": [f"P{j}" for j in range(len(predicted)) if j not in found["p"]],
            "missing_findings": [f"R{i}" for i in range(len(reference)) if i not in found["r"]],
            "attribute_errors": [
                {"ref_id": f"R{i}", "pred_id": f"P{i}", "severity": severity, "error_types": ["location"]}
                for i, severity in attributes or []
            ],
        },
    }


def _crimson(document: dict[str, Any]) -> float:
    found = parse_crimson(json.dumps(document))
    assert found is not None
    return found.crimson


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (_document([URGENT, MINOR], [URGENT, MINOR], [(0, 0), (1, 1)]), 1),
        (_document([ACTIONABLE], [URGENT]), -0.5),
        (_document([BENIGN], []), 1),
        (_document([], []), 1),
        (_document([], [URGENT]), -0.5),
        (_document([], [BENIGN]), 1),
        (_document([URGENT], []), 0),
        (_document([URGENT, ACTIONABLE], [URGENT], [(0, 0)]), 1 / 1.5),
        (_document([URGENT, ACTIONABLE], [URGENT, MINOR], [(0, 0)]), 0.75 / 1.5),
        (_document([ACTIONABLE], [ACTIONABLE, URGENT], [(0, 0)]), -0.5 / 1.5),
        (_document([URGENT], [URGENT], [(0, 0)], [(0, "significant")]), 1 / 1.5),
        (_document([URGENT], [URGENT], [(0, 0)], [(0, "negligible")]), 1),
        (_document([MINOR], [MINOR], [(0, 0)], [(0, "significant"), (0, "significant")]), 0.2),
        (_document([BENIGN], [BENIGN], [(0, 0)], [(0, "significant")]), 1),
        (_document([URGENT], [URGENT, URGENT], [(0, 0), (0, 1)]), 1),
    ],
)
def test_the_published_formula(document: dict[str, Any], value: float) -> None:
    assert _crimson(document) == pytest.approx(value)


GOOD = _document([URGENT], [URGENT], [(0, 0)])


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No errors.",
        json.dumps(GOOD)[:-3],
        json.dumps(GOOD) * 2,
        *(json.dumps(_without(name)) for name in GOOD),
        json.dumps(GOOD | {"reference_findings": [{"id": "R0", "clinical_significance": "severe"}]}),
        json.dumps(GOOD | {"reference_findings": GOOD["reference_findings"] * 2}),
        json.dumps(GOOD | {"reference_findings": 3}),
        json.dumps(GOOD | {"matched_findings": [{"ref_id": "R7", "pred_id": "P0"}]}),
        json.dumps(GOOD | {"errors": GOOD["errors"] | {"false_findings": ["P7"]}}),
        json.dumps(GOOD | {"errors": []}),
    ],
)
def test_what_is_not_of_the_form_is_unparsable(text: str) -> None:
    assert parse_crimson(text) is None


def test_words_and_thoughts_around_the_json_do_no_harm() -> None:
    text = f'<think>Maybe {{"errors": {{}}}}?</think> Here it is:\n```json\n{json.dumps(GOOD, indent=1)}\n```'
    found = parse_crimson(text)
    assert found is not None
    assert found.crimson == 1


def test_failures_are_left_out_and_counted() -> None:
    replies = [JudgeReply("ok", json.dumps(GOOD)), JudgeReply("empty", ""), JudgeReply("ok", "?"), None]
    family = Crimson()
    table = family.per_sample(replies, [None] * 4)
    values = family.values(table.sum(axis=0))
    assert values["crimson"] == 0.5
    assert values["crimson_coverage"] == 0.5
    assert values["crimson_missing_findings"] == 0
    assert np.isnan(family.values(table[2])["crimson"])
