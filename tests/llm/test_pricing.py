import pytest

from radvlm_cli.errors import ConfigError
from radvlm_cli.llm.pricing import Price, batch_share, cost, find_price, parse_price, table_date
from radvlm_cli.records import Usage

PRICE = Price(2.0, 1.0, 10.0)


@pytest.mark.parametrize("name", ["gpt-4o", "GPT-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806"])
def test_a_dated_model_has_the_price_of_its_kind(name: str) -> None:
    assert find_price(name) == Price(2.50, 1.25, 10.0)


@pytest.mark.parametrize("name", ["our-deployment", "gpt-4o-2024", "", "2024-08-06"])
def test_an_unknown_model_has_no_price(name: str) -> None:
    assert find_price(name) is None


def test_the_users_price_comes_first_and_a_local_server_costs_nothing() -> None:
    assert find_price("gpt-4o", override="1,2,3", local=True) == Price(1, 2, 3)
    assert find_price("gpt-4o", local=True) == Price(0, 0, 0)


def test_a_price_may_leave_the_cached_one_out() -> None:
    assert parse_price("2.50, 1.25, 10") == Price(2.5, 1.25, 10)
    assert parse_price("2,10") == Price(2, 2, 10)


@pytest.mark.parametrize("text", ["", "1", "1,2,3,4", "-1,2", "nan,1", "inf,1", "1;2", "$1,$2", "1,,2"])
def test_what_is_no_price_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="not a price") as error:
        parse_price(text)
    assert "--price" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(1_000_000, None, 0), 2.0),
        (Usage(1_000_000, 400_000, 0), 1.6),
        (Usage(0, None, 1_000_000, 900_000), 10.0),
        (Usage(None, None, 5), None),
        (Usage(5, None, None), None),
    ],
)
def test_a_call_costs_what_its_usage_says(usage: Usage, dollars: float | None) -> None:
    assert cost(PRICE, usage) == pytest.approx(dollars)
    assert cost(PRICE, usage, batch=True) == pytest.approx(None if dollars is None else dollars / 2)
    assert cost(None, usage) is None


def test_the_table_is_dated_and_plausible() -> None:
    assert table_date() >= "2026"
    assert batch_share() == 0.5
    for name in ("gpt-4o", "gpt-4.1", "gpt-5-mini"):
        price = find_price(name)
        assert price is not None
        assert 0 < price.cached <= price.input < price.output
