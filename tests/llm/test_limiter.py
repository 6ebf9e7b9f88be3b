"""How many calls are let out, and when; on a clock that skips all waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from radvlm_cli.errors import Interrupted
from radvlm_cli.llm.limiter import Limiter, Rates
from tests.fakes.clock import now, skipping


def _limiter(most: int = 1000, **limits: Any) -> Limiter:
    return Limiter(most=most, clock=now, **limits)


async def _fill(limiter: Limiter) -> int:
    """Take every place that is free; how many there were."""
    taken = 0
    while limiter.in_flight < int(limiter.limit):
        await limiter.acquire(0)
        taken += 1
    return taken


async def _round(limiter: Limiter, latency_s: float = 1.0) -> None:
    """Answer every call in flight once, with another one in its place."""
    for _ in range(limiter.in_flight):
        limiter.succeeded(latency_s)
        limiter.release()
        await _fill(limiter)


async def _starts(limiter: Limiter, calls: int, tokens: int = 0) -> list[float]:
    """When each of many calls that end at once could start."""
    at = []

    async def call() -> None:
        await limiter.acquire(tokens)
        at.append(now())
        limiter.release()

    await asyncio.gather(*(call() for _ in range(calls)))
    return at


async def _paced(calls: int, tokens: int = 0, **limits: Any) -> list[float]:
    return [round(t, 3) for t in await _starts(_limiter(**limits), calls, tokens)]


def test_concurrency_doubles_each_round_until_a_429_then_grows_by_a_twentieth() -> None:
    async def grow() -> AsyncIterator[float]:
        limiter = _limiter()
        await _fill(limiter)
        for _ in range(2):
            await _round(limiter)
            yield limiter.limit
        limiter.throttled(1.0)
        yield limiter.limit
        limiter.in_flight = int(limiter.limit)
        for _ in range(2):
            await _round(limiter)
            yield limiter.limit

    async def collect() -> list[float]:
        return [limit async for limit in grow()]

    limits = skipping(collect())
    assert limits[:3] == [32, 64, pytest.approx(51.2)]
    assert limits[3] == pytest.approx(51.2 * 1.05, rel=0.01)
    assert limits[4] == pytest.approx(51.2 * 1.05**2, rel=0.02)


def test_concurrency_does_not_grow_beyond_the_most_or_while_places_are_free() -> None:
    async def grow() -> tuple[float, float]:
        full, idle = _limiter(20), _limiter()
        for _ in range(3):
            await _fill(full)
            await _round(full)
        await idle.acquire(0)
        for _ in range(100):
            idle.succeeded(1.0)
        return full.limit, idle.limit

    assert skipping(grow()) == (20, 16)


def test_429s_take_off_a_fifth_at_most_once_per_cooldown() -> None:
    async def shrink() -> list[float]:
        limiter, limits = _limiter(), []
        for later, asked in ((0.0, 0.1), (1.9, 0.1), (0.2, 10.0), (9.0, 0.1), (1.1, 0.1)):
            await asyncio.sleep(later)
            limiter.throttled(asked)
            limits.append(round(limiter.limit, 2))
        return limits

    assert skipping(shrink()) == [12.8, 12.8, 10.24, 10.24, 8.19]


def test_many_429s_leave_one_place() -> None:
    async def shrink() -> float:
        limiter = _limiter()
        for _ in range(60):
            limiter.throttled(0.0)
            await asyncio.sleep(20.0)
        return limiter.limit

    assert skipping(shrink()) == 1.0


@pytest.mark.parametrize(("rpm", "together", "apart"), [(60, 1, 1.0), (600, 10, 0.1), (6, 1, 10.0)])
def test_requests_are_spread_evenly_over_the_minute(rpm: float, together: int, apart: float) -> None:
    at = skipping(_paced(together + 20, requests_per_minute=rpm))
    assert at == [0.0] * together + [round(n * apart, 3) for n in range(1, 21)]


def test_tokens_are_spread_and_a_call_larger_than_the_burst_runs_up_a_debt() -> None:
    small = skipping(_paced(20, tokens=100, tokens_per_minute=6000))
    assert small == [0.0] * 5 + [float(n) for n in range(1, 16)]
    assert skipping(_paced(4, tokens=1000, tokens_per_minute=6000)) == [0.0, 10.0, 20.0, 30.0]


def test_headers_set_the_rate_but_never_above_the_users_own() -> None:
    async def rates(asked: float | None, told: float) -> list[float]:
        limiter = _limiter(requests_per_minute=asked)
        limiter.observe(Rates(requests=told))
        return [round(t, 3) for t in await _starts(limiter, 4)]

    assert skipping(rates(None, 60)) == [0.0, 1.0, 2.0, 3.0]
    assert skipping(rates(60, 6000)) == [0.0, 1.0, 2.0, 3.0]
    assert skipping(rates(60, 30)) == [0.0, 2.0, 4.0, 6.0]


def test_limits_that_differ_from_reply_to_reply_do_not_add_up() -> None:
    async def starts() -> list[float]:
        limiter = _limiter(requests_per_minute=60)
        at = []
        for told in (50, 60, 50, 60, 50):
            at += await _starts(limiter, 1)
            limiter.observe(Rates(requests=told))
        return at

    assert skipping(starts())[-1] >= 4.0


def test_what_others_have_used_up_is_not_there() -> None:
    async def starts() -> list[float]:
        limiter = _limiter()
        limiter.observe(Rates(tokens=60_000, tokens_left=0))
        return await _starts(limiter, 1, tokens=500)

    assert skipping(starts()) == [pytest.approx(0.5)]


def test_retry_after_holds_every_call_and_a_shorter_one_does_not_cut_it_short() -> None:
    async def starts() -> list[float]:
        limiter = _limiter()
        limiter.throttled(7.0)
        limiter.throttled(0.5)
        assert limiter.paused_s == 7.0
        return await _starts(limiter, 3)

    assert skipping(starts()) == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(("asked", "first"), [(0.0, 0.05), (None, 1.0)])
def test_an_endpoint_that_asks_to_wait_for_nothing_is_asked_ever_more_slowly(asked: float | None, first: float) -> None:
    async def starts() -> list[float]:
        limiter, at = _limiter(), []
        for _ in range(12):
            at += await _starts(limiter, 1)
            limiter.throttled(asked)
            limiter.throttled(asked)  # one that was in flight at the same time counts no further
        limiter.succeeded(1.0)
        limiter.throttled(asked)
        return [*at, *await _starts(limiter, 1)]

    at = skipping(starts())
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps[0] == pytest.approx(first)
    assert sorted(gaps[:-1]) == pytest.approx(gaps[:-1])
    assert gaps[-2] == pytest.approx(15.0)


def test_calls_start_in_the_order_in_which_they_came() -> None:
    async def order() -> list[int]:
        limiter, started = _limiter(2), []

        async def call(number: int) -> None:
            await limiter.acquire(0)
            started.append(number)
            await asyncio.sleep((number * 7) % 5)
            limiter.release()

        await asyncio.gather(*(call(number) for number in range(30)))
        return started

    assert skipping(order()) == list(range(30))


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    async def order() -> list[str]:
        limiter, started = _limiter(1), []

        async def call(name: str) -> None:
            await limiter.acquire(0)
            started.append(name)
            limiter.release()

        await limiter.acquire(0)
        waiting = asyncio.create_task(call("waiting"))
        await asyncio.sleep(0)
        limiter.release()
        await asyncio.gather(call("newcomer"), waiting)
        return started

    assert skipping(order()) == ["waiting", "newcomer"]


@pytest.mark.parametrize("when", ["waiting", "just admitted"])
def test_a_cancelled_waiter_gives_its_place_back(when: str) -> None:
    async def cancel() -> int:
        limiter = _limiter(1)
        await limiter.acquire(0)
        gone, next_one = (asyncio.create_task(limiter.acquire(0)) for _ in range(2))
        await asyncio.sleep(0)
        if when == "just admitted":
            limiter.release()
        gone.cancel()
        if when == "waiting":
            await asyncio.sleep(0)
            limiter.release()
        await asyncio.wait_for(next_one, 1)
        return limiter.in_flight

    assert skipping(cancel()) == 1


def test_close_turns_away_those_who_wait_and_those_who_come() -> None:
    async def close() -> list[BaseException | None]:
        limiter, why = _limiter(1), Interrupted("enough")
        await limiter.acquire(0)
        waiting = [asyncio.create_task(limiter.acquire(0)) for _ in range(3)]
        await asyncio.sleep(0)
        limiter.close(why)
        told = await asyncio.gather(*waiting, limiter.acquire(0), return_exceptions=True)
        limiter.release()
        assert limiter.in_flight == 0
        return [error if error is not why else None for error in told]

    assert skipping(close()) == [None] * 4


def test_probing_lets_one_call_out_at_a_time() -> None:
    async def probe() -> tuple[int, int]:
        limiter = _limiter()
        limiter.probing = True
        calls = [asyncio.create_task(limiter.acquire(0)) for _ in range(5)]
        await asyncio.sleep(1)
        probing = limiter.in_flight
        limiter.probing = False
        limiter.release()
        await asyncio.gather(*calls)
        return probing, limiter.in_flight

    assert skipping(probe()) == (1, 4)


def test_growth_stops_while_answers_take_twice_as_long_and_for_a_while_after_an_error() -> None:
    async def grow() -> list[float]:
        limiter, limits = _limiter(), []
        await _fill(limiter)
        for latency_s in (1.0, 1.0, 1.0, 3.0):
            await _round(limiter, latency_s)
        for latency_s in (3.0, 1.0, 1.0):
            before = limiter.limit
            await _round(limiter, latency_s)
            limits.append(limiter.limit / before)
        limiter.failed()
        before = limiter.limit
        await _round(limiter)
        limits.append(limiter.limit / before)
        await asyncio.sleep(5.0)
        await _round(limiter)
        limits.append(limiter.limit / before)
        return limits

    slow, getting_better, well, after_error, later = skipping(grow())
    assert slow == after_error == 1.0
    assert getting_better <= well == pytest.approx(1.05, abs=0.02)
    assert later == pytest.approx(1.05, abs=0.02)
