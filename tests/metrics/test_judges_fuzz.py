"""Mutated replies of judges: a reader gives a result within bounds or says that there is none; it never raises."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from radvlm_cli.errors import DataError
from radvlm_cli.metrics.crimson import parse_crimson
from radvlm_cli.metrics.green import parse_green
from radvlm_cli.metrics.judge import parse_scores
from tests.metrics.test_crimson import GOOD as CRIMSON
from tests.metrics.test_green import GOOD as GREEN

_JUDGE = {"rounds": [{"round": 1, "reason": "a", "score": 3}], "reason": "b", "overall": 4}
_PIECES = (
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "\n",
    "(a)",
    "9" * 400,
    "-1",
    "NaN",
    "null",
    "1.5",
    "\ud800",
    "\x00",
    "[" * 900,
)


def _green(text: str) -> float | None:
    counts = parse_green(text)
    return None if counts is None else counts.green


def _crimson(text: str) -> float | None:
    found = parse_crimson(text)
    return None if found is None else found.crimson


def _judge(text: str) -> float | None:
    try:
        return parse_scores(text, 1).overall
    except DataError:
        return None


def _mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 0, 1, 3, 20)))
        put = chance.choice((chance.choice(_PIECES), text[:start][-20:], ""))
        text = text[:start] + put + text[end:]
    return text


@pytest.mark.parametrize(
    ("read", "good", "bounds"),
    [(_green, GREEN, (0, 1)), (_crimson, json.dumps(CRIMSON), (-1, 1)), (_judge, json.dumps(_JUDGE), (0, 10))],
)
def test_mutated_replies_give_a_number_within_bounds_or_none(
    read: Callable[[str], float | None], good: str, bounds: tuple[float, float]
) -> None:
    chance = random.Random(0)
    found = [read(_mutated(good, chance)) for _ in range(1500)]
    numbers = [value for value in found if value is not None]
    assert all(bounds[0] <= value <= bounds[1] for value in numbers)
    assert 0 < len(numbers) < len(found)
