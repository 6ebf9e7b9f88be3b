from __future__ import annotations

from typing import Any

import pytest

from radvlm_cli.llm import Answer, Message, Prompt, Request, Usage
from radvlm_cli.llm.meter import BudgetError, Meter
from radvlm_cli.llm.pricing import Price

PRICE = Price(input=1.0, cached=0.5, output=100.0)
PROMPT = Prompt("test", "m", {"max_tokens": 1000}, (Message(role="system", content="x" * 45),))
REQUEST = Request(PROMPT, (Message(role="user", content="y" * 445),))
ANSWER = Answer("ok", "clear", Usage(100_000, 40_000, 1000))


def _meter(**options: Any) -> Meter:
    return Meter(PRICE, **options)


def _answer(meter: Meter, answer: Answer = ANSWER, reserved: float = 0.0) -> None:
    meter.count(meter.priced(answer, reserved))


def test_a_reservation_is_the_prompt_and_max_tokens_and_comes_back_whole() -> None:
    meter = _meter()
    amount = meter.reserve(REQUEST, 2000)
    assert amount == pytest.approx((2000 * 1.0 + 1000 * 100.0) / 1e6)
    assert meter.reserved == amount
    meter.free(amount)
    meter.free(amount)
    assert meter.reserved == 0.0, "never less than nothing"


def test_a_reservation_in_a_batch_is_half_as_much() -> None:
    assert _meter(batch=True).reserve(REQUEST, 2000) == pytest.approx(_meter().reserve(REQUEST, 2000) / 2)


def test_after_twenty_answers_twice_their_mean_is_reserved_but_never_more_than_max_tokens() -> None:
    meter = _meter()
    for number in range(20):
        assert meter.reserve(REQUEST, 0) == pytest.approx(1000 * 100 / 1e6), number
        _answer(meter, Answer("ok", "x", Usage(10, None, 50)))
    assert meter.reserve(REQUEST, 0) == pytest.approx(2 * 50 * 100 / 1e6)
    for _ in range(20):
        _answer(meter, Answer("ok", "x", Usage(10, None, 5000)))
    assert meter.reserve(REQUEST, 0) == pytest.approx(1000 * 100 / 1e6)


def test_the_cap_holds_for_what_is_spent_and_set_aside_together() -> None:
    meter = _meter(cap=0.35, spent=0.1)
    first, second = meter.reserve(REQUEST, 0), meter.reserve(REQUEST, 0)
    with pytest.raises(BudgetError, match=r"\$0\.35 is used up: \$0\.10 spent") as error:
        meter.reserve(REQUEST, 0)
    assert "--max-cost" in (error.value.hint or "")
    meter.free(first)
    assert meter.reserve(REQUEST, 0) == second


def test_without_a_price_nothing_is_set_aside_or_spent() -> None:
    meter = Meter(None)
    assert meter.reserve(REQUEST, 1000) == 0.0
    _answer(meter)
    assert (meter.spent, meter.output_tokens) == (0.0, 1000)


def test_cached_input_and_batches_are_charged_at_their_price() -> None:
    meter = _meter()
    assert meter.priced(ANSWER).cost == pytest.approx((60_000 * 1.0 + 40_000 * 0.5 + 1000 * 100.0) / 1e6)
    assert meter.priced(ANSWER._replace(tier="batch")).cost == pytest.approx(0.09)


@pytest.mark.parametrize(("status", "spent"), [("ok", 0.2), ("filtered", 0.2), ("failed", 0.0)])
def test_where_usage_is_not_told_what_was_set_aside_counts_as_spent(status: Any, spent: float) -> None:
    meter = _meter()
    _answer(meter, Answer(status, None, Usage(None, None, 7)), reserved=0.2)
    assert (meter.calls, meter.spent) == (1, spent)


def test_an_estimate_counts_every_message_of_a_request() -> None:
    meter = _meter()
    assert meter.input_estimate(REQUEST) == (11 + 4) + (102 + 4)
    longer = Request(PROMPT, (*REQUEST.messages, Message(role="assistant", content="z" * 45)))
    assert meter.input_estimate(longer) == meter.input_estimate(REQUEST) + 15


def test_the_rate_of_tokens_is_that_of_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [0.0]
    monkeypatch.setattr("radvlm_cli.llm.meter.time.monotonic", lambda: at[0])
    meter = _meter()
    assert meter.tokens_per_minute() == 0.0
    for second in range(0, 100, 10):
        at[0] = float(second)
        _answer(meter, Answer("ok", "x", Usage(900, None, 100)))
    assert meter.tokens_per_minute() == pytest.approx(60 * 4000 / 30)
