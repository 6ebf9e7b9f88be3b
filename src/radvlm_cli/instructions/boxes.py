"""Boxes in words: four numbers with two decimals in brackets."""

from __future__ import annotations

import math
from collections.abc import Sequence

Corners = Sequence[float]
"""x_min, y_min, x_max, y_max, each 0-1 of the original image (see records.Box)."""

_X_MIN, _Y_MIN, _X_MAX, _Y_MAX = (slice(start, start + 4) for start in (1, 7, 13, 19))
"""Where the four numbers stand in a box's text."""


def box_text(box: Corners) -> str:
    """`[0.12, 0.34, 0.56, 0.78]`.

    A side so small that both its ends round to the same number is widened outward, so that a box never has no area.
    """
    x_min, y_min, x_max, y_max = box
    left, top, right, bottom = f"{x_min:.2f}", f"{y_min:.2f}", f"{x_max:.2f}", f"{y_max:.2f}"
    if left == right:
        left, right = _apart(x_min, x_max)
    if top == bottom:
        top, bottom = _apart(y_min, y_max)
    return f"[{left}, {top}, {right}, {bottom}]"


def boxes_text(boxes: Sequence[Corners]) -> str:
    """One box, or several as `[..], [..] and [..]`."""
    if len(boxes) == 1:
        return box_text(boxes[0])
    texts = [box_text(box) for box in boxes]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def _apart(low: float, high: float) -> tuple[str, str]:
    """The hundredth below and the one above; at the border both lie inside the image."""
    below = min(math.floor(low * 100) / 100, 0.99)
    above = max(math.ceil(high * 100) / 100, below + 0.01)
    return f"{below:.2f}", f"{above:.2f}"
