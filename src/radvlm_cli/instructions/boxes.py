"""Boxes in words: four numbers with two decimals in brackets."""

from __future__ import annotations

import math
from collections.abc import Sequence

Corners = Sequence[float]
"""x_min, y_min, x_max, y_max, each 0-1 of the original image (see records.Box)."""


def box_text(box: Corners) -> str:
    """`[0.12, 0.34, 0.56, 0.78]`.

    A side so small that both its ends round to the same number is widened outward, so that a box never has no area.
    """
    x_min, y_min, x_max, y_max = box
    left, right = _ends(x_min, x_max)
    top, bottom = _ends(y_min, y_max)
    return f"[{left:.2f}, {top:.2f}, {right:.2f}, {bottom:.2f}]"


def boxes_text(boxes: Sequence[Corners]) -> str:
    """One box, or several as `[..], [..] and [..]`."""
    texts = [box_text(box) for box in boxes]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _ends(low: float, high: float) -> tuple[float, float]:
    if f"{low:.2f}" != f"{high:.2f}":
        return low, high
    # The hundredth below and the one above; at the border both lie inside the image.
    below = min(math.floor(low * 100) / 100, 0.99)
    above = max(math.ceil(high * 100) / 100, below + 0.01)
    return below, above
