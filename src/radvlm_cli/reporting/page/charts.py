"""Charts as Vega-Lite specifications (plain dicts), each with the table of the numbers that it draws.

Every chart is one view of the container's width, so that it fits a phone. Colours are variables of the page's style,
so that light, dark and print need no second drawing; shapes say the same as colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from radvlm_cli.reporting.page.specs import (
    ROW_AXIS,
    Spec,
    broken,
    coloured,
    either,
    in_order,
    listed_names,
    shaped,
    view,
)
from radvlm_cli.reporting.tables import Column, Estimate, Table


class Chart(NamedTuple):
    """A chart, the same in numbers, and what it is in words for whoever cannot see it."""

    title: str
    spec: Spec
    table: Table
    alt: str
    marks: int
    """Points, bars and lines that it draws; a test counts them."""
    note: str | None = None


class Measured(NamedTuple):
    """A number of a series (a model) in a row (a metric, a finding)."""

    row: str
    series: str
    estimate: Estimate


class Bar(NamedTuple):
    """A bar, or a part of one."""

    row: str
    series: str
    value: float


class Point(NamedTuple):
    """A point of a line; low and high where it stands for several."""

    series: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


def forest(
    title: str, rows: Sequence[Measured], what: str, domain: tuple[float, float] | None, *, zero: bool = False
) -> Chart:
    """Points with 95 % intervals, the series of a row below one another; `zero`: of differences, with a line at 0."""
    drawn = [row for row in rows if row.estimate.value is not None]
    series = in_order(row.series for row in rows)
    values = [
        {
            "row": broken(row.row),
            "series": row.series,
            "value": row.estimate.value,
            "low": either(row.estimate.low, row.estimate.value),
            "high": either(row.estimate.high, row.estimate.value),
            "n": row.estimate.n,
        }
        for row in drawn
    ]
    scale: Spec = {"zero": zero, "nice": True, "padding": 10}
    axis: Spec = {"tickCount": 4 if zero else 5}
    if domain:  # a little wider, so that points at its ends are whole
        margin = 0.015 * (domain[1] - domain[0])
        scale = {"domain": [domain[0] - margin, domain[1] + margin], "clamp": True}
        axis = {"values": [domain[0] + (domain[1] - domain[0]) * place / 5 for place in range(6)], "format": ".1f"}
    across: Spec = {"field": "low", "type": "quantitative", "scale": scale, "title": what, "axis": axis}
    spec = view(
        values,
        height=len(in_order(row.row for row in drawn)) * (len(series) * 16 + 14),
        encoding={
            "y": {
                "field": "row",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {**ROW_AXIS, "grid": True, "tickBand": "extent"},
                "scale": {"paddingInner": 0.25},
            },
            "yOffset": {"field": "series", "type": "nominal", "sort": series, "scale": {"paddingOuter": 0.2}},
            **coloured(series),
            "tooltip": [
                {"field": "row", "title": "what"},
                {"field": "series", "title": "model"},
                *({"field": field, "format": ".3f"} for field in ("value", "low", "high")),
                {"field": "n", "format": ","},
            ],
        },
    )
    spec["layer"] = [
        {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {"x": across, "x2": {"field": "high"}}},
        {
            "mark": {"type": "point", "filled": True, "size": 62, "opacity": 1},
            "encoding": {"x": {**across, "field": "value"}, **shaped(series)},
        },
    ]
    if zero:
        spec["layer"].insert(0, _LINE_AT_ZERO)
    count = len(in_order(row.row for row in rows))
    alt = f"{title}. Points with 95 % intervals for {count} rows and {listed_names(series)}."
    return Chart(title, spec, _measured_table(title, rows), alt, 2 * len(values) + zero)


_LINE_AT_ZERO: Spec = {
    "data": {"values": [{"at": 0}]},
    "mark": {"type": "rule", "strokeWidth": 1.5, "strokeDash": [5, 4], "opacity": 0.7, "color": "currentColor"},
    "encoding": {
        "x": {"field": "at", "type": "quantitative"},
        **dict.fromkeys(("y", "yOffset", "color", "tooltip"), None),
    },
}


def _measured_table(title: str, rows: Sequence[Measured]) -> Table:
    columns = (
        Column("what", lambda row: row.row, key=True),
        Column("model", lambda row: row.series, key=True),
        Column("value (95 % interval)", lambda row: row.estimate, "number"),
        Column("n", lambda row: row.estimate.n, "count"),
    )
    return Table("chart", title, columns, tuple(rows))


def bars(title: str, rows: Sequence[Bar], what: str, *, unit: Literal["count", "dollars"] = "count") -> Chart:
    """Bars across, the parts of a row side by side in one bar."""
    series = in_order(row.series for row in rows)
    shown = [row for row in rows if row.value]
    values = [{**row._asdict(), "row": broken(row.row), "place": series.index(row.series)} for row in shown]
    spec = view(
        values,
        height=34 * len(in_order(row.row for row in shown)),
        encoding={
            "y": {"field": "row", "type": "nominal", "sort": None, "title": None, "axis": ROW_AXIS},
            "x": {
                "field": "value",
                "type": "quantitative",
                "title": what,
                "axis": {"tickCount": 4, "format": "~s", "labelOverlap": True},
            },
            **coloured(series),
            "order": {"field": "place"},
            "tooltip": [
                {"field": "row", "title": "what"},
                {"field": "series", "title": "part"},
                {"field": "value", "title": what, "format": ",.0f" if unit == "count" else ",.2f"},
            ],
        },
    )
    spec["mark"] = {"type": "bar", "height": {"band": 0.6}}
    columns = (
        Column("what", lambda row: row.row, key=True),
        Column("part", lambda row: row.series, key=True),
        Column(what, lambda row: round(row.value) if unit == "count" else row.value, unit),
    )
    table = Table("chart", title, columns, tuple(rows))
    alt = f"{title}. Bars of {what} for {len(in_order(row.row for row in rows))} rows."
    return Chart(title, spec, table, alt, len(values))


def histogram(title: str, rows: Sequence[Bar], what: str, samples: Mapping[str, int]) -> Chart:
    """Shares of samples by bin (`row`), the series side by side; many series as lines."""
    series = in_order(row.series for row in rows)
    bins = in_order(row.row for row in rows)
    values = [{**row._asdict(), "share": row.value / max(samples[row.series], 1)} for row in rows]
    many = len(series) > _SIDE_BY_SIDE
    encoding: Spec = {
        "x": {
            "field": "row",
            "type": "ordinal",
            "sort": bins,
            "title": what,
            "axis": {"labelAngle": 0, "labelOverlap": "greedy"},
        },
        "y": {
            "field": "share",
            "type": "quantitative",
            "title": "share of samples",
            "axis": {"format": "%", "tickCount": 4},
        },
        **coloured(series),
        "tooltip": [
            {"field": "row", "title": what},
            {"field": "series", "title": "model"},
            {"field": "value", "title": "samples", "format": ","},
            {"field": "share", "format": ".1%"},
        ],
    }
    if not many:
        encoding["xOffset"] = {"field": "series", "type": "nominal", "sort": series}
    spec = view(values, height=200, encoding=encoding)
    spec["mark"] = {"type": "line", "point": {"filled": True, "size": 40}} if many else {"type": "bar"}
    if many:
        encoding |= shaped(series)
    columns = (
        Column(what, lambda row: row.row, key=True),
        Column("model", lambda row: row.series, key=True),
        Column("samples", lambda row: round(row.value), "count"),
        Column("share", lambda row: row.value / max(samples[row.series], 1), "share"),
    )
    alt = f"{title}. Shares of samples in {len(bins)} bins for {listed_names(series)}."
    marks = len(values) + len(series) if many else len(values)
    return Chart(title, spec, Table("chart", title, columns, tuple(rows)), alt, marks)


_SIDE_BY_SIDE = 4


def curves(title: str, rows: Sequence[Point], across: str, up: str, *, log: bool = False) -> Chart:
    """Lines; a band around those whose points stand for several."""
    series = in_order(row.series for row in rows)
    values = [{"series": row.series, "x": row.x, "y": row.y, "low": row.low, "high": row.high} for row in rows]
    scale: Spec = {"type": "log"} if log else {"zero": False}
    y: Spec = {"field": "y", "type": "quantitative", "title": up, "scale": scale, "axis": {"tickCount": 5}}
    spec = view(
        values,
        height=240,
        encoding={
            "x": {"field": "x", "type": "quantitative", "title": across, "axis": {"tickCount": 5, "format": "~s"}},
            **coloured(series),
            "tooltip": [
                {"field": "series", "title": "what"},
                {"field": "x", "title": across, "format": ","},
                {"field": "y", "title": up, "format": ".4~g"},
            ],
        },
    )
    sparse = [name for name in series if sum(row.series == name for row in rows) <= _FEW_POINTS]
    layers: list[Spec] = [{"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": y}}]
    banded = {row.series for row in rows if row.low is not None}
    if banded:
        band = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "tooltip": {"value": None}}
        keep = {"filter": {"field": "low", "valid": True}}
        layers.insert(0, {"mark": {"type": "area", "opacity": 0.22}, "encoding": band, "transform": [keep]})
    if sparse:
        keep = {"filter": {"field": "series", "oneOf": sparse}}
        mark = {"type": "point", "filled": True, "size": 55, "opacity": 1}
        layers.append({"mark": mark, "encoding": {"y": y, **shaped(series)}, "transform": [keep]})
    spec["layer"] = layers
    columns = (
        Column("series", lambda row: row.series, key=True),
        Column(across, lambda row: round(row.x), "count", key=True),
        Column(up, lambda row: f"{row.y:.4g}", name="y"),
    )
    table = Table("chart", title, columns, tuple(_thin(rows, series)))
    marks = len(series) + len(banded) + sum(row.series in sparse for row in rows)
    alt = f"{title}. {up} over {across} for {listed_names(series)}."
    return Chart(title, spec, table, alt, marks)


_FEW_POINTS = 40
_TABLE_POINTS = 24


def _thin(rows: Sequence[Point], series: Sequence[str]) -> list[Point]:
    """For the table: at most so many points of each series, first and last among them."""
    kept = []
    for name in series:
        points = [row for row in rows if row.series == name]
        most = min(len(points), _TABLE_POINTS)
        places = {round(place * (len(points) - 1) / max(most - 1, 1)) for place in range(most)}
        kept += [points[place] for place in sorted(places)]
    return kept
