"""What ends a job of the engine, and what is kept then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from radvlm_cli.errors import Interrupted, RadvlmError
from radvlm_cli.llm import Answer
from radvlm_cli.llm.breaker import EndpointError
from radvlm_cli.llm.engine import watched
from radvlm_cli.llm.meter import BudgetError
from radvlm_cli.llm.pricing import Price
from radvlm_cli.llm.replies import Retry, Stop
from tests.fakes.clock import now
from tests.fakes.scripted import DOWN, LATENCY_S, OK, World, ask_one, in_world

PRICE = Price(0.0, 0.0, 1e4)
"""A cent a token of output: OK costs 5 cents, and max_tokens sets a dollar aside."""


@pytest.mark.parametrize("status", [401, 403, 404, 429, 302])
def test_what_no_retry_can_mend_ends_the_job_at_once_and_keeps_what_is_in_flight(status: int) -> None:
    async def many(world: World) -> list[Any]:
        first = asyncio.create_task(world.ask("refused"))
        await asyncio.sleep(0.5)
        kept, waiting = await world.ask("in flight", "waiting")
        return [kept, waiting, *(await first), *(await world.ask("later"))]

    (kept, *refused), world = in_world(many, Stop(f"HTTP {status}", status), OK, most=2)
    assert kept.status == "ok"
    assert len({id(error) for error in refused}) == 1
    assert isinstance(refused[0], EndpointError)
    assert f"HTTP {status}" in refused[0].message
    assert len(world.chat.asked) == 2
    assert world.ledger.recorded == {"in flight": 1}


def test_an_endpoint_that_never_answers_ends_the_job_without_using_up_every_try() -> None:
    async def many(world: World) -> list[Any]:
        return await world.ask(*(f"report {n}" for n in range(200)))

    errors, world = in_world(many, DOWN, most=16)
    assert all(isinstance(error, EndpointError) for error in errors)
    assert len(world.chat.asked) < 40
    assert world.ledger.recorded == {}


def test_an_outage_of_a_minute_costs_no_item() -> None:
    async def through(world: World) -> list[Any]:
        await world.ask("before")
        world.chat.replies = [DOWN]
        asyncio.get_running_loop().call_later(60.0, world.chat.replies.__setitem__, 0, OK)
        return await world.ask(*(f"report {n}" for n in range(100)))

    answers, _world = in_world(through)
    assert {answer.status for answer in answers} == {"ok"}


def test_a_stop_signal_lets_calls_in_flight_end_and_makes_no_other() -> None:
    async def stopped(world: World) -> list[Any]:
        async with watched(world.engine):
            asking = asyncio.create_task(world.ask(*(f"report {n}" for n in range(5))))
            await asyncio.sleep(0.5)
            world.stop.requested = True
            return await asking

    told, world = in_world(stopped, most=2)
    assert [getattr(answer, "status", "stopped") for answer in told] == ["ok", "ok", "stopped", "stopped", "stopped"]
    assert all(isinstance(error, Interrupted) for error in told[2:])
    assert world.ledger.recorded == {"report 0": 1, "report 1": 1}


def test_a_stop_signal_wakes_a_call_that_waits_for_its_next_try() -> None:
    async def stopped(world: World) -> tuple[Any, float]:
        async with watched(world.engine):
            asking = asyncio.create_task(world.ask("report"))
            await asyncio.sleep(5.0)
            world.stop.requested = True
            return (await asking)[0], now()

    (error, at), _world = in_world(stopped, Retry("unavailable", "HTTP 503", 300.0, 503))
    assert isinstance(error, Interrupted)
    assert at < 5.2


def test_a_call_that_was_let_out_but_not_sent_when_the_job_ended_is_not_sent() -> None:
    async def end(world: World) -> list[Any]:
        asking = asyncio.create_task(world.ask("first", "second"))
        await asyncio.sleep(LATENCY_S)
        while not world.ledger.recorded and len(world.chat.asked) == 1 and world.limiter._waiting:
            await asyncio.sleep(0)
        world.engine.end(Interrupted("now"))
        return await asking

    _told, world = in_world(end, most=1)
    assert [text for text, _at in world.chat.asked] == ["first"]


def test_a_budget_is_spent_to_its_end_though_calls_in_flight_set_aside_more() -> None:
    async def many(world: World) -> list[Any]:
        return await world.ask(*(f"report {n}" for n in range(100)))

    told, world = in_world(many, price=PRICE, cap=2.02)
    answered = [answer for answer in told if isinstance(answer, Answer)]
    assert all(isinstance(error, BudgetError) for error in told if error not in answered)
    assert world.meter.spent == pytest.approx(0.05 * len(answered))
    assert 1.0 < world.meter.spent <= 2.02
    assert world.meter.reserved == pytest.approx(0.0)
    assert world.limiter.in_flight == 0


def test_a_job_that_fits_its_budget_is_not_stopped_by_what_calls_in_flight_set_aside() -> None:
    async def many(world: World) -> list[Any]:
        return await world.ask(*(f"report {n}" for n in range(20)))

    told, _world = in_world(many, price=PRICE, cap=2.1)
    assert [answer.status for answer in told] == ["ok"] * 20


def test_a_call_that_alone_is_over_budget_is_not_made() -> None:
    error, world = ask_one(price=PRICE, cap=0.5)
    assert isinstance(error, BudgetError)
    assert "--max-cost" in (error.hint or "")
    assert world.chat.asked == []


def test_an_error_of_the_ledger_is_told_even_when_the_job_has_ended() -> None:
    async def ended(world: World) -> list[Any]:
        asking = asyncio.create_task(world.ask("report"))
        await asyncio.sleep(0.5)
        world.engine.end(Interrupted("now"))
        return await asking

    (error,), world = in_world(ended, broken=RadvlmError("the disk is full"))
    assert error is not world.engine.why
    assert "disk" in str(error)
