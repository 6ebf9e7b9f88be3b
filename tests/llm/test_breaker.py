"""When to stop asking an endpoint that does not answer; on a clock that is set by hand."""

from __future__ import annotations

import pytest

from radvlm_cli.llm.breaker import Breaker, EndpointError


class Clock:
    """Seconds since some day."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("node7:8000", clock=clock)


def _fail(breaker: Breaker, clock: Clock, times: int, every_s: float = 0.0) -> list[float]:
    holds = []
    for _ in range(times):
        holds.append(breaker.failed("HTTP 503"))
        clock.at += every_s
    return holds


def test_after_five_failures_in_a_row_single_calls_probe_ever_more_slowly(breaker: Breaker, clock: Clock) -> None:
    assert _fail(breaker, clock, 4) == [0.0] * 4
    assert not breaker.probing
    assert _fail(breaker, clock, 8) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert breaker.probing


def test_an_answer_ends_probing_and_forgets_the_outage(breaker: Breaker, clock: Clock) -> None:
    _fail(breaker, clock, 9, every_s=100.0)
    breaker.answered()
    assert not breaker.probing
    assert _fail(breaker, clock, 9, every_s=100.0)[-1] == 4.0, "counted from the last answer"


def test_an_endpoint_that_never_answered_ends_the_job_after_ten_seconds(breaker: Breaker, clock: Clock) -> None:
    _fail(breaker, clock, 50, every_s=0.19)
    clock.at += 0.6
    with pytest.raises(EndpointError, match="node7:8000 has not answered for 10 s") as ended:
        breaker.failed("HTTP 503")
    assert "--resume" in (ended.value.hint or "")


def test_one_that_did_answer_is_given_two_minutes(breaker: Breaker, clock: Clock) -> None:
    breaker.answered()
    _fail(breaker, clock, 11, every_s=10.9)
    with pytest.raises(EndpointError, match="for 120 s"):
        _fail(breaker, clock, 2, every_s=0.2)


def test_few_failures_never_end_a_job_however_long_they_last(breaker: Breaker, clock: Clock) -> None:
    _fail(breaker, clock, 9, every_s=1000.0)
    with pytest.raises(EndpointError):
        _fail(breaker, clock, 1)


@pytest.mark.parametrize("seconds", [601.0, 86_400.0, float("inf")])
def test_an_endpoint_that_asks_to_wait_for_too_long_ends_the_job(breaker: Breaker, seconds: float) -> None:
    with pytest.raises(EndpointError, match="out of quota"):
        breaker.throttled(seconds)
    with pytest.raises(EndpointError, match="out of service"):
        breaker.failed("HTTP 503", seconds)


def test_ten_minutes_of_429s_end_the_job_and_an_answer_among_them_does_not(breaker: Breaker, clock: Clock) -> None:
    breaker.throttled(600.0)
    clock.at += 599.0
    breaker.throttled(None)
    breaker.answered()
    clock.at += 599.0
    breaker.throttled(None)
    clock.at += 601.0
    with pytest.raises(EndpointError, match="429 for 601 s"):
        breaker.throttled(None)
