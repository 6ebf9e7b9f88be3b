"""Boxes in words never lose their area or leave the image."""

from __future__ import annotations

import random

import pytest

from radvlm_cli.instructions.boxes import box_text, boxes_text


def test_a_box_has_two_decimals_throughout() -> None:
    assert box_text([0, 0.5, 0.987654, 1]) == "[0.00, 0.50, 0.99, 1.00]"


def test_several_boxes_are_joined_as_in_a_sentence() -> None:
    box = [0.1, 0.2, 0.3, 0.4]
    said = "[0.10, 0.20, 0.30, 0.40]"
    assert boxes_text([box]) == said
    assert boxes_text([box, box]) == f"{said} and {said}"
    assert boxes_text([box, box, box]) == f"{said}, {said} and {said}"


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([0.123, 0.1, 0.124, 0.9], "[0.12, 0.10, 0.13, 0.90]"),
        ([0.126, 0.1, 0.127, 0.9], "[0.12, 0.10, 0.13, 0.90]"),
        ([0.1, 0.12, 0.9, 0.121], "[0.10, 0.12, 0.90, 0.13]"),
        ([0.0, 0.1, 0.001, 0.9], "[0.00, 0.10, 0.01, 0.90]"),
        ([0.999, 0.1, 1.0, 0.9], "[0.99, 0.10, 1.00, 0.90]"),
        ([0.996, 0.9961, 0.9962, 1.0], "[0.99, 0.99, 1.00, 1.00]"),
    ],
)
def test_a_side_that_rounding_would_close_is_widened_outward(box: list[float], said: str) -> None:
    assert box_text(box) == said


def test_no_box_with_an_area_is_written_without_one() -> None:
    chance = random.Random(3)
    for _ in range(20_000):
        low, span = chance.random(), 10 ** -chance.uniform(0.5, 6)
        box = [low, low, min(low + span, 1.0), min(low + span / 2, 1.0)]
        x_min, y_min, x_max, y_max = (float(corner) for corner in box_text(box)[1:-1].split(", "))
        assert 0 <= x_min < x_max <= 1
        assert 0 <= y_min < y_max <= 1
        assert all(abs(a - b) <= 0.0101 for a, b in zip(box, (x_min, y_min, x_max, y_max), strict=True))
