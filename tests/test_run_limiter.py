from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from assay.run.limiter import Limiter


async def crowd(limiter: Limiter, size: int) -> int:
    """`size` requests at once; returns how many were ever in flight together."""
    most = 0

    async def one() -> None:
        nonlocal most
        await limiter.acquire()
        most = max(most, limiter.in_flight)
        await asyncio.sleep(0)
        limiter.release()

    await asyncio.gather(*(one() for _ in range(size)))
    return most


@given(st.integers(1, 10), st.integers(1, 40))
def test_never_more_in_flight_than_the_window_and_nobody_is_forgotten(limit: int, size: int) -> None:
    limiter = Limiter(limit)
    assert asyncio.run(crowd(limiter, size)) <= limit
    assert limiter.in_flight == 0


def test_the_window_halves_when_overloaded_and_grows_back() -> None:
    limiter = Limiter(16)
    limiter.overloaded()
    assert limiter.window == 8
    for _ in range(8):
        limiter.succeeded(0.1)
    assert 8.5 < limiter.window <= 9
    for _ in range(1000):
        limiter.succeeded(0.1)
    assert limiter.window == 16


def test_a_burst_of_refusals_counts_once_and_the_window_stays_open() -> None:
    limiter = Limiter(16)
    for _ in range(50):
        limiter.overloaded()
    assert limiter.window == 8
    limiter = Limiter(1)
    limiter.overloaded()
    assert limiter.window == 1


def test_one_refusal_among_answers_holds_nobody_else() -> None:
    async def free() -> None:
        limiter = Limiter(4)
        for _ in range(5):
            limiter.overloaded(retry_after=60)
            limiter.succeeded(0.1)
        await asyncio.wait_for(limiter.acquire(), 1)

    asyncio.run(free())


def test_refusals_in_a_row_hold_everybody() -> None:
    async def held() -> float:
        limiter = Limiter(4)
        limiter.overloaded(retry_after=0.05)
        limiter.overloaded(retry_after=0.05)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await limiter.acquire()
        return loop.time() - before

    assert asyncio.run(held()) >= 0.049


def test_a_cancelled_waiter_hands_its_place_on() -> None:
    async def pass_on() -> bool:
        limiter = Limiter(1)
        await limiter.acquire()
        first, second = (asyncio.create_task(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        limiter.release()
        first.cancel()
        await asyncio.wait_for(second, 1)
        return limiter.in_flight == 1

    assert asyncio.run(pass_on())
