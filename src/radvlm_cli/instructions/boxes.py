"""Boxes in words: four numbers with two decimals in brackets."""

from __future__ import annotations

import math
from collections.abc import Sequence

Corners = Sequence[float]
"""x_min, y_min, x_max, y_max, each 0-1 of the original image (see records.Box)."""

_WRITTEN = {hundredth: f"{hundredth / 100:.2f}" for hundredth in range(101)}
"""Looked up in half the time of formatting; a corner outside the image is a KeyError, never a wrong number."""


def box_text(box: Corners) -> str:
    """`[0.12, 0.34, 0.56, 0.78]`.

    A side so small that both its ends round to the same number is widened outward, so that a box never has no area.
    """
    x_min, y_min, x_max, y_max = box
    left, top, right, bottom = round(x_min * 100), round(y_min * 100), round(x_max * 100), round(y_max * 100)
    if left == right:
        left, right = _widened(x_min, x_max)
    if top == bottom:
        top, bottom = _widened(y_min, y_max)
    return f"[{_WRITTEN[left]}, {_WRITTEN[top]}, {_WRITTEN[right]}, {_WRITTEN[bottom]}]"


def boxes_text(boxes: Sequence[Corners]) -> str:
    """One box, or several as `[..], [..] and [..]`."""
    if len(boxes) == 1:
        return box_text(boxes[0])
    texts = [box_text(box) for box in boxes]
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def _widened(low: float, high: float) -> tuple[int, int]:
    """The hundredth below and the one above; at the border both lie inside the image."""
    below = min(math.floor(low * 100), 99)
    return below, max(math.ceil(high * 100), below + 1)
