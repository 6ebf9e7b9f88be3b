"""What all specifications of charts share: style, width, colours and shapes of series, names on two lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
COLOURS = tuple(f"var(--series-{place})" for place in range(1, 9))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
_INK = "currentColor"
_AXIS: Spec = {
    "labelColor": _INK,
    "titleColor": _INK,
    "domainColor": _INK,
    "tickColor": _INK,
    "domainOpacity": 0.4,
    "tickOpacity": 0.4,
    "gridColor": _INK,
    "gridOpacity": 0.13,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "titlePadding": 8,
}
CONFIG: Spec = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": _INK,
        "titleColor": _INK,
        "labelFontSize": 12,
        "labelLimit": 240,
        "orient": "top",
        "direction": "vertical",
        "title": None,
        "offset": 6,
        "symbolStrokeWidth": 2,
    },
}


ROW_AXIS: Spec = {
    "labelExpr": "split(datum.label, '\\n')",
    "labelLimit": 140,
    "labelLineHeight": 13,
    "ticks": False,
    "domain": False,
}
_ROW_LETTERS = 20


def view(values: Sequence[Mapping[str, Any]], *, height: int, encoding: Spec) -> Spec:
    """One view. Its height is a number: with a height by step, Vega-Lite warns that it cannot fit the width alone."""
    return {
        "width": "container",
        "height": height,
        "padding": {"left": 0, "right": 6, "top": 2, "bottom": 2},
        "config": CONFIG,
        "data": {"values": list(values)},
        "encoding": encoding,
    }


def broken(row: str) -> str:
    """A row's name in two lines at most, for the margin of a phone."""
    lines = textwrap.wrap(row, _ROW_LETTERS, break_long_words=False)
    if len(lines) < 2:
        return row
    # The halves as alike as they can be: the second line has all that remains, and is cut by its limit alone.
    return f"{lines[0]}\n{row[len(lines[0]) :].strip()}"


def coloured(series: Sequence[str]) -> Spec:
    """The encoding of series by colour; a single one needs no legend."""
    colours = [COLOURS[place % len(COLOURS)] for place in range(len(series))]
    encoding: Spec = {"field": "series", "type": "nominal", "scale": {"domain": list(series), "range": colours}}
    if len(series) < 2:
        encoding["legend"] = None
    return {"color": encoding}


def shaped(series: Sequence[str]) -> Spec:
    """The same by shape, for whoever cannot tell the colours apart."""
    # A colour that comes again comes with another shape.
    shapes = [SHAPES[(place + place // len(COLOURS)) % len(SHAPES)] for place in range(len(series))]
    encoding: Spec = {"field": "series", "type": "nominal", "scale": {"domain": list(series), "range": shapes}}
    if len(series) < 2:
        encoding["legend"] = None
    return {"shape": encoding}


def in_order(names: Iterable[str]) -> list[str]:
    """Each name once, in the order in which they come."""
    return list(dict.fromkeys(names))


def listed_names(series: Sequence[str]) -> str:
    """Names for the description of a chart; many by their number."""
    return ", ".join(series) if len(series) <= 4 else f"{len(series)} series"


def either(value: float | None, other: float | None) -> float | None:
    """The value, or the other where there is none. (0 is a value.)"""
    return other if value is None else value
