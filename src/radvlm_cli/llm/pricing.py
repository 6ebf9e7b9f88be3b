"""What calls cost: one dated table of prices, and the user's own."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from radvlm_cli.errors import ConfigError
from radvlm_cli.records import Usage

_DATED = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


class Price(NamedTuple):
    """US dollars per million tokens."""

    input: float
    cached: float
    """Input from the provider's prompt cache."""
    output: float


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("prices.yaml").read_text(encoding="utf-8"))
    return table


def table_date() -> str:
    """The day on which the table's prices were read."""
    return str(_table()["as_of"])


def batch_share() -> float:
    """What a token costs in a batch, as a share of its price."""
    return float(_table()["batch_share"])


def parse_price(text: str) -> Price:
    """Read `IN,CACHED,OUT` or `IN,OUT` (dollars per million tokens); ConfigError if it is neither."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(0 <= number < 1e6 for number in numbers):
        raise ConfigError(f"{text!r} is not a price in dollars per million tokens.", "--price 2.50,1.25,10")
    return Price(numbers[0], numbers[1] if len(numbers) == 3 else numbers[0], numbers[-1])


def find_price(model: str, *, override: str | None = None, local: bool = False) -> Price | None:
    """The price of a model: the user's, nothing for a local endpoint, the table's, or None where none is known."""
    if override is not None:
        return parse_price(override)
    if local:
        return Price(0.0, 0.0, 0.0)
    row = _table()["models"].get(_DATED.sub("", model.casefold()))
    return Price(*row) if row else None


def cost(price: Price | None, usage: Usage, *, batch: bool = False) -> float | None:
    """US dollars for a call; None if the price or the usage is not known. Reasoning is part of the output."""
    if price is None or usage.input is None or usage.output is None:
        return None
    cached = usage.cached or 0
    dollars = ((usage.input - cached) * price.input + cached * price.cached + usage.output * price.output) / 1e6
    return dollars * (batch_share() if batch else 1.0)
