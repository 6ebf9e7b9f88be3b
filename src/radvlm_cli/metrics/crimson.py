"""CRIMSON: found and invented findings, weighed by how much they matter to the patient (arXiv 2603.06183).

A judge lists the findings of both reports, matches them and names the errors, as JSON in the form of the published
code (rajpurkarlab/CRIMSON, MIT); here that is read strictly, and the published formula computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.json_reply import sole_object
from radvlm_cli.metrics.ratios import ratio
from radvlm_cli.records import JudgeReply

WEIGHTS = {"urgent": 1.0, "actionable_not_urgent": 0.5, "not_actionable_not_urgent": 0.25, "benign_expected": 0.0}
SEVERITIES = {"significant": 0.5, "negligible": 0.0}
"""What an error in an attribute (side, size, certainty, ...) takes from the credit of a matched finding."""


class Assessment(NamedTuple):
    """A judge's assessment of a pair of reports. Findings go by id; weights are 0-1."""

    reference: dict[str, float]
    predicted: dict[str, float]
    matched: tuple[str, ...]
    """Of the reference, once each."""
    false: tuple[str, ...]
    """Of the prediction."""
    missing: tuple[str, ...]
    """Of the reference."""
    attributes: tuple[tuple[str, float], ...]
    """Finding of the reference, and the severity of an error in one of its attributes."""

    @property
    def crimson(self) -> float:
        """-1 (excluded) to 1: credit for what is found less what is invented, by the weight of the reference.

        Below 0, where more is invented than found, d/(1+d) of the difference d. A reference of no weight is worth 1
        unless something of weight is invented.
        """
        invented = sum(self.predicted[name] for name in self.false)
        found = sum(self._credit(name) for name in self.matched)
        whole = sum(self.reference.values())
        if invented > found:
            return -(invented - found) / (1 + invented - found)
        return (found - invented) / whole if whole else 1.0

    def _credit(self, name: str) -> float:
        weight = self.reference[name]
        lost = sum(severity for about, severity in self.attributes if about == name)
        return weight * weight / (weight + lost) if weight else 0.0


def parse_crimson(text: str) -> Assessment | None:
    """Read a judge's JSON; None where it is not of the form, or speaks of a finding that it has not listed."""
    document = sole_object(text, "errors")
    if document is None:
        return None
    try:
        return _assessment(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _assessment(document: dict[str, Any]) -> Assessment:
    errors = document["errors"]
    reference, predicted = _findings(document["reference_findings"]), _findings(document["predicted_findings"])
    attributes = [(_known(e["ref_id"], reference), SEVERITIES[e["severity"]]) for e in errors["attribute_errors"]]
    pairs = [(_known(m["ref_id"], reference), _known(m["pred_id"], predicted)) for m in document["matched_findings"]]
    return Assessment(
        reference,
        predicted,
        tuple(dict.fromkeys(of_reference for of_reference, _of_prediction in pairs)),
        tuple(_known(name, predicted) for name in errors["false_findings"]),
        tuple(_known(name, reference) for name in errors["missing_findings"]),
        tuple(attributes),
    )


def _findings(listed: Any) -> dict[str, float]:
    found = {str(entry["id"]): WEIGHTS[entry["clinical_significance"]] for entry in listed}
    if len(found) != len(listed):
        raise ValueError
    return found


def _known(name: Any, findings: dict[str, float]) -> str:
    if str(name) not in findings:
        raise ValueError
    return str(name)


class Crimson:
    """Mean CRIMSON over the reports that were judged. See metrics.family.Family.

    Predictions are the judge's replies, as for metrics.green.Green.
    """

    name = "crimson"
    version = 1
    columns = ("crimson", "false", "missing", "attributes", "judged", "scored", "samples")

    def missing(self) -> tuple[Need, ...]:
        """Nothing: the judge was asked elsewhere."""
        return ()

    def per_sample(self, predictions: Sequence[JudgeReply | None], references: Sequence[object]) -> Table:
        """Shape (samples, 7): CRIMSON, numbers of errors, whether the judge assessed, whether there is a score, 1."""
        table = np.zeros((len(predictions), len(self.columns)))
        table[:, -1] = 1
        for row, (reply, _reference) in enumerate(zip(predictions, references, strict=True)):
            if reply is None:
                continue
            found = parse_crimson(reply.text) if reply.status == "ok" else None
            if found is not None:
                errors = (len(found.false), len(found.missing), len(found.attributes))
                table[row, :-1] = (found.crimson, *errors, 1, 1)
            elif reply.status == "empty":
                table[row, -2] = 1
        return table

    def values(self, sums: Table) -> dict[str, Table]:
        """`crimson` over scored reports (empty ones are 0), numbers of errors per judged one, and coverage."""
        crimson, false, missing, attributes, judged, scored, samples = np.moveaxis(sums, -1, 0)
        return {
            "crimson": ratio(crimson, scored),
            "crimson_false_findings": ratio(false, judged),
            "crimson_missing_findings": ratio(missing, judged),
            "crimson_attribute_errors": ratio(attributes, judged),
            "crimson_coverage": ratio(scored, samples),
        }
