"""The engine with a scripted chat: equal requests, and retries."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import Any

import pytest

from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.engine import ATTEMPTS
from radvlm_cli.llm.limiter import Rates
from radvlm_cli.llm.replies import Reply, Respell, Retry
from tests.fakes.scripted import DOWN, LATENCY_S, OK, THROTTLED, World, ask_one, in_world, request

# one call for equal requests -------------------------------------------------------------------------------------


def test_an_answer_is_recorded_before_it_is_given_and_known_from_then_on() -> None:
    async def twice(world: World) -> list[Any]:
        first = await world.engine.ask(request())
        assert world.ledger.rows[request().key] == first
        return [first, await world.engine.ask(request())]

    (first, second), world = in_world(twice)
    assert first == second
    assert (first.attempts, first.latency_ms) == (1, 1000)
    assert len(world.chat.asked) == 1
    assert world.meter.cached == 1


@pytest.mark.parametrize(("reply", "status"), [(OK, "ok"), (DOWN, "failed")])
def test_equal_requests_in_flight_share_one_call_and_its_end(reply: Reply, status: str) -> None:
    async def both(world: World) -> list[Any]:
        return await world.ask("report", "report")

    (first, second), world = in_world(both, reply)
    assert first == second
    assert first.status == status
    assert world.ledger.recorded == {"report": 1}


def test_a_failed_call_is_asked_again_by_whoever_comes_later() -> None:
    async def later(world: World) -> list[Any]:
        return [*(await world.ask("report")), *(await world.ask("report"))]

    (failed, answered), world = in_world(later, *[DOWN] * ATTEMPTS, OK)
    assert (failed.status, answered.status) == ("failed", "ok")
    assert len(world.chat.asked) == ATTEMPTS + 1


def test_an_error_of_a_shared_call_reaches_everybody_who_waits_for_it() -> None:
    error = OSError("disk")

    async def both(world: World) -> list[Any]:
        return await world.ask("report", "report")

    told, world = in_world(both, broken=error)
    assert told == [error, error]
    assert len(world.chat.asked) == 1


def test_when_the_first_asker_is_cancelled_the_second_makes_the_call() -> None:
    async def cancel_first(world: World) -> list[Any]:
        askers = [asyncio.create_task(world.engine.ask(request())) for _ in range(3)]
        await asyncio.sleep(0.5)
        askers[0].cancel()
        return await asyncio.gather(*askers, return_exceptions=True)

    (first, *others), world = in_world(cancel_first)
    assert isinstance(first, asyncio.CancelledError)
    assert [answer.status for answer in others] == ["ok", "ok"]
    assert (len(world.chat.asked), world.chat.cancelled) == (2, 1)
    assert world.engine.in_flight == world.limiter.in_flight == 0


def test_a_second_asker_that_is_cancelled_leaves_the_call_alone() -> None:
    async def cancel_second(world: World) -> list[Any]:
        askers = [asyncio.create_task(world.engine.ask(request())) for _ in range(2)]
        await asyncio.sleep(0.5)
        askers[1].cancel()
        return await asyncio.gather(*askers, return_exceptions=True)

    (first, second), world = in_world(cancel_second)
    assert first.status == "ok"
    assert isinstance(second, asyncio.CancelledError)
    assert len(world.chat.asked) == 1


# retries ---------------------------------------------------------------------------------------------------------


def test_a_call_fails_after_six_tries_with_bounded_and_jittered_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for share in (0.5, 1.0):
        monkeypatch.setattr(random, "uniform", lambda low, high, share=share: low + (high - low) * (2 * share - 1))
        answer, world = ask_one(DOWN)
        assert (answer.status, answer.attempts, answer.error, answer.http_status) == ("failed", 6, "HTTP 503", 503)
        waits = [b - a - LATENCY_S for a, b in pairwise(world.chat.times)]
        assert waits == pytest.approx([share * 0.5 * 2**n for n in range(5)])
    assert world.meter.retries == 6


def test_no_backoff_is_longer_than_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)

    async def slow(world: World) -> Any:
        world.engine._backoff_s = 20.0
        return await world.ask("report")

    _answer, world = in_world(slow, DOWN, DOWN, DOWN, OK)
    assert world.chat.times == [0.0, 21.0, 52.0, 83.0]


def test_throttles_are_obeyed_and_do_not_count_as_tries() -> None:
    answer, world = ask_one(*[THROTTLED] * 10, *[DOWN] * (ATTEMPTS - 1), OK)
    assert (answer.status, answer.attempts) == ("ok", 10 + ATTEMPTS)
    assert world.meter.throttled == 10
    assert world.chat.times[:3] == [0.0, 2.0, 4.0]


def test_retry_after_holds_every_call_from_the_moment_of_the_reply() -> None:
    async def many(world: World) -> list[Any]:
        return await world.ask(*(f"report {n}" for n in range(6)))

    answers, world = in_world(many, Retry("throttled", "HTTP 429", 9.0, 429), OK, most=2)
    assert [answer.status for answer in answers] == ["ok"] * 6
    assert world.chat.times[:2] == [0.0, 0.0]
    assert min(world.chat.times[2:]) >= LATENCY_S + 9.0


def test_retry_after_of_a_server_that_is_down_is_obeyed() -> None:
    _answer, world = ask_one(Retry("unavailable", "HTTP 503", 40.0, 503), OK)
    assert world.chat.times == [0.0, 41.0]


def test_retry_after_of_a_day_ends_the_job() -> None:
    for kind in ("throttled", "unavailable"):
        error, world = ask_one(Retry(kind, "HTTP 503", 86_400.0, 503))
        assert isinstance(error, EndpointError)
        assert world.engine.ended


def test_limits_in_the_headers_are_kept() -> None:
    async def many(world: World) -> list[Any]:
        await world.ask("first")
        return await world.ask(*(f"report {n}" for n in range(4)))

    _answers, world = in_world(many, rates=Rates(requests=60))
    _first, *others = world.chat.times
    assert [round(at - others[0], 3) for at in others] == [0.0, 1.0, 2.0, 3.0]


def test_an_unknown_parameter_is_respelled_at_once_and_only_so_often() -> None:
    answer, world = ask_one(Respell("max_tokens"), Respell("temperature"), OK)
    assert (answer.status, answer.attempts) == ("ok", 3)
    assert world.chat.times == [0.0, 1.0, 2.0]
    answer, world = ask_one(Respell("seed"))
    assert (answer.status, answer.error, answer.attempts) == ("rejected", "HTTP 400 seed", 5)
