from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from radvlm_cli.metrics.family import Need, Table
from radvlm_cli.metrics.radcliq import TERMS, RadCliQ, radcliq_v1

PERFECT = (
    -0.377083683 * (1 - 0.53792312) / 0.30282584
    + -0.370300100 * (1 - 0.61757256) / 0.22430938
    + -0.252616218 * (1 - 0.76479421) / 0.25394391
)


class Fixed:
    """A family that gives each report the number that its text is."""

    version = 1
    columns = ("value", "scored")

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self) -> tuple[Need, ...]:
        return (Need("weights", "get them"), Need(self.name, "get it"))

    def per_sample(self, predictions: Sequence[str], references: Sequence[str]) -> Table:
        numbers = [float(text.split()[0]) if text else 0.0 for text in predictions]
        return np.array([[0 if np.isnan(number) else number, not np.isnan(number)] for number in numbers], float)

    def values(self, sums: Table) -> dict[str, Table]:
        with np.errstate(invalid="ignore"):
            return {self.name: sums[..., 0] / sums[..., 1]}


def family() -> RadCliQ:
    return RadCliQ(
        radgraph=Fixed("radgraph_combined"),
        bertscore=Fixed("bertscore_distilroberta"),
        chexbert=Fixed("chexbert_similarity"),
    )


def test_the_published_model_on_reports_as_good_as_can_be_and_as_bad() -> None:
    one, zero = np.ones(1), np.zeros(1)
    assert radcliq_v1(one, one, one, one) == pytest.approx(PERFECT, abs=1e-8)
    assert radcliq_v1(zero, zero, zero, zero) > 2 > 0 > radcliq_v1(one, one, one, one)
    means = [np.array([term.mean]) for term in TERMS.values()]
    assert radcliq_v1(*means) == pytest.approx(0, abs=1e-9)
    half = np.full(1, 0.5)
    for place in range(3):
        better = [half, half, half, half]
        better[place] = one
        assert radcliq_v1(*better) < radcliq_v1(half, half, half, half)


def test_the_mean_is_over_reports_that_all_four_metrics_could_be_had_of() -> None:
    predictions = ["1 clear", "0.5 clear", "nan clear", ""]
    table = family().per_sample(predictions, ["1 clear"] * 4)
    half, zero = (radcliq_v1(*[np.full(1, number)] * 4)[0] for number in (0.5, 0.0))
    values = family().values(table.sum(0))
    assert values["radcliq_v1"] == pytest.approx((PERFECT + half + zero) / 3, abs=1e-8)
    assert values["radcliq_v1_inverse"] == pytest.approx(1 / values["radcliq_v1"])
    assert values["radcliq_v1_coverage"] == 0.75
    assert np.isfinite(table).all()


def test_needs_of_the_parts_are_told_once() -> None:
    assert [need.what for need in family().missing()] == [
        *("weights", "radgraph_combined", "bertscore_distilroberta", "chexbert_similarity")
    ]
