from __future__ import annotations

import json
import math
import random

import pytest

from radvlm_cli.records import Box
from radvlm_cli.sources.boxes import encode_boxes, normalise


def test_pixels_become_shares_of_the_image() -> None:
    made = normalise(100, 50, 300, 150, 1000, 500)
    assert made == (Box(0.1, 0.1, 0.3, 0.3), None, False)


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        ((-10, 10, 50, 60), Box(0, 0.1, 0.5, 0.6)),
        ((10, 10, 150, 160), Box(0.1, 0.1, 1, 1)),
        ((-5, -5, 105, 105), Box(0, 0, 1, 1)),
    ],
)
def test_a_box_beyond_the_border_is_clipped(corners: tuple[float, float, float, float], box: Box) -> None:
    assert normalise(*corners, 100, 100) == (box, None, True)


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ((100, 0, 120, 10), "outside the image"),
        ((0, 100, 10, 120), "outside the image"),
        ((-20, 0, 0, 10), "outside the image"),
        ((0, -20, 10, 0), "outside the image"),
        ((10, 10, 10, 20), "zero area"),
        ((10, 10, 20, 10), "zero area"),
        ((20, 10, 10, 20), "zero area"),
        ((10, 10, 10.00001, 20), "zero area"),
        ((math.nan, 10, 20, 20), "not a number"),
        ((10, 10, math.inf, 20), "not a number"),
        ((-math.inf, 10, 20, 20), "not a number"),
    ],
)
def test_a_box_that_is_none_says_why(corners: tuple[float, float, float, float], problem: str) -> None:
    assert normalise(*corners, 100, 100) == (None, problem, False)


@pytest.mark.parametrize("size", [(0, 100), (100, 0), (-5, 100), (math.nan, 100)])
def test_an_image_without_size_has_no_boxes(size: tuple[float, float]) -> None:
    assert normalise(1, 1, 2, 2, *size).problem == "on an image without size"


def test_every_box_that_is_kept_lies_inside_and_has_an_area_also_in_the_store() -> None:
    chance = random.Random(5)
    kept = 0
    for _ in range(20_000):
        width, height = chance.choice([(2544, 3056), (1, 1), (3, 100_000)])
        spread = chance.choice([0.001, 0.3, 2])
        corners = [chance.gauss(0.5, spread) * size for size in (width, height, width, height)]
        box = normalise(*corners, width, height).box
        if box is not None:
            kept += 1
            ((x_min, y_min, x_max, y_max),) = json.loads(encode_boxes([box]))
            assert 0 <= x_min < x_max <= 1
            assert 0 <= y_min < y_max <= 1
    assert kept > 2000


def test_the_store_has_six_decimals_and_no_negative_zero() -> None:
    box = normalise(-0.0, 0, 1 / 3, 1, 1, 1).box
    assert box is not None
    assert encode_boxes([box]) == "[[0.0,0.0,0.333333,1.0]]"
    assert encode_boxes([]) == "[]"
