"""Requests that come one by one are answered in groups, each by its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from assay.errors import BackendError, ConnectionLost, Rejected
from assay.models.batching import Batcher
from assay.records import Completion, Request, Sampling

T = TypeVar("T")


def request(text: str, max_tokens: int = 5) -> Request:
    return Request(Sampling(max_tokens=max_tokens), 0, text=text)


def run(answer: Callable[[Sequence[Request]], Any], work: Callable[[Batcher], Coroutine[Any, Any, T]]) -> T:
    async def inside() -> T:
        with ThreadPoolExecutor(1) as worker:
            batcher = Batcher(answer, 3, lambda request: request.sampling, worker)
            try:
                return await work(batcher)
            finally:
                await batcher.close()

    return asyncio.run(inside())


def echo(groups: list[list[str | None]]) -> Callable[[Sequence[Request]], list[Completion]]:
    def answer(requests: Sequence[Request]) -> list[Completion]:
        groups.append([request.text for request in requests])
        return [Completion(request.text or "") for request in requests]

    return answer


def test_groups_are_full_in_order_and_of_one_kind():
    groups: list[list[str | None]] = []
    asked = [request("a"), request("b", 9), request("c"), request("d"), request("e"), request("f", 9)]

    async def work(batcher: Batcher) -> list[str]:
        return [item.text for item in await asyncio.gather(*map(batcher.ask, asked))]

    assert run(echo(groups), work) == list("abcdef")
    assert groups == [["a", "c", "d"], ["b", "f"], ["e"]]


def test_one_error_is_one_requests():
    def answer(requests: Sequence[Request]) -> list[Completion | BackendError]:
        return [Rejected("no b") if item.text == "b" else Completion(item.text or "") for item in requests]

    async def work(batcher: Batcher) -> list[Any]:
        return await asyncio.gather(*(batcher.ask(request(text)) for text in "abc"), return_exceptions=True)

    a, b, c = run(answer, work)
    assert (a.text, c.text) == ("a", "c")
    assert isinstance(b, Rejected)


def test_what_the_worker_raises_reaches_who_asked():
    def answer(requests: Sequence[Request]) -> list[Completion]:
        raise ConnectionLost("worker")

    async def work(batcher: Batcher) -> None:
        for _ in range(2):  # and the batcher goes on
            with pytest.raises(ConnectionLost, match="worker"):
                await batcher.ask(request("a"))

    run(answer, work)


def test_a_cancelled_request_is_not_computed():
    groups: list[list[str | None]] = []
    busy, go = threading.Event(), threading.Event()

    def answer(requests: Sequence[Request]) -> list[Completion]:
        busy.set()
        go.wait(10)
        return echo(groups)(requests)

    async def work(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.ask(request("first")))
        await asyncio.to_thread(busy.wait, 10)
        second, third = (asyncio.create_task(batcher.ask(request(text))) for text in ("second", "third"))
        await asyncio.sleep(0)
        second.cancel()
        go.set()
        await asyncio.gather(first, third)

    run(answer, work)
    assert groups == [["first"], ["third"]]


def test_closing_tells_who_still_waits():
    go = threading.Event()

    async def work(batcher: Batcher) -> None:
        waiting = [asyncio.create_task(batcher.ask(request("a", number))) for number in range(1, 4)]
        await asyncio.sleep(0.05)
        go.set()
        await batcher.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(item, ConnectionLost | Completion) for item in found)
        assert any(isinstance(item, ConnectionLost) for item in found)
        with pytest.raises(ConnectionLost):
            await batcher.ask(request("late"))

    def answer(requests: Sequence[Request]) -> list[Completion]:
        go.wait(10)
        return [Completion() for _ in requests]

    run(answer, work)
