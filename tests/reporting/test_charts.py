"""Specifications of charts, without a browser."""

from __future__ import annotations

from typing import Any

from radvlm_cli.reporting.page.charts import Bar, Measured, Point, bars, curves, forest, histogram
from radvlm_cli.reporting.tables import Estimate


def values(chart: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart.spec["data"]["values"]
    return found


def test_a_forest_draws_what_has_a_value_and_its_table_has_the_rest() -> None:
    rows = [
        Measured("F1", "a", Estimate(0.5, 0.4, 0.6, 90)),
        Measured("F1", "b", Estimate(None, remark="needs a model")),
        Measured("mIoU", "a", Estimate(0.7)),
    ]
    chart = forest("t", rows, "value", (0.0, 1.0))
    assert [(each["row"], each["low"], each["high"]) for each in values(chart)] == [
        ("F1", 0.4, 0.6),
        ("mIoU", 0.7, 0.7),
    ]
    assert chart.marks == 4  # a line and a point for each
    assert len(chart.table.rows) == 3


def test_a_point_at_the_end_of_the_scale_is_whole() -> None:
    chart = forest("t", [Measured("F1", "a", Estimate(1.0, 1.0, 1.0))], "value", (0.0, 1.0))
    low, high = chart.spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low < 0 < 1 < high


def test_a_long_name_stands_on_two_lines() -> None:
    chart = bars("t", [Bar("chexpert-classification-test-of-everything", "pairs", 3)], "pairs")
    first, second = values(chart)[0]["row"].split("\n")
    assert f"{first}{second}" == "chexpert-classification-test-of-everything"
    assert len(first) <= 20


def test_one_series_has_no_legend_and_colours_that_come_again_have_another_shape() -> None:
    assert bars("t", [Bar("a", "pairs", 3)], "pairs").spec["encoding"]["color"]["legend"] is None
    rows = [Measured("F1", f"model {number}", Estimate(0.5)) for number in range(10)]
    layers = forest("t", rows, "value", None).spec
    colours = layers["encoding"]["color"]["scale"]["range"]
    shapes = layers["layer"][1]["encoding"]["shape"]["scale"]["range"]
    assert len(set(zip(colours, shapes, strict=True))) == 10


def test_a_histogram_has_shares_of_each_models_own_samples() -> None:
    rows = [Bar("none", "a", 1), Bar("> 0", "a", 3), Bar("none", "b", 5), Bar("> 0", "b", 5)]
    chart = histogram("t", rows, "IoU", {"a": 4, "b": 10})
    assert [each["share"] for each in values(chart)] == [0.25, 0.75, 0.5, 0.5]


def test_a_curves_table_has_both_ends_and_few_points() -> None:
    chart = curves("t", [Point("loss", step, 1 / step) for step in range(1, 501)], "step", "loss")
    steps = [row.x for row in chart.table.rows]
    assert (steps[0], steps[-1]) == (1, 500)
    assert len(steps) <= 24
    assert len(values(chart)) == 500


def test_no_specification_names_a_place_to_fetch_from() -> None:
    charts = [
        bars("t", [Bar("a", "b", 1)], "x"),
        curves("t", [Point("a", 1, 1)], "x", "y"),
        forest("t", [Measured("a", "b", Estimate(1.0))], "x", None),
        histogram("t", [Bar("a", "b", 1)], "x", {"b": 1}),
    ]
    for chart in charts:
        assert list(chart.spec["data"]) == ["values"]
        assert "://" not in str(chart.spec)
