"""Requests that come one by one, answered in groups by one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from assay.errors import BackendError, ConnectionLost
from assay.records import Completion, Request

Answer = Callable[[Sequence[Request]], Sequence[Completion | BackendError]]
"""Answers a group of requests of the same kind, each on its own account; runs in the worker thread."""

GATHER_S = 0.005
"""How long to wait for more requests when a group is not full."""
_UNLOADED = "the model was unloaded"


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Request
    future: asyncio.Future[Completion]


class Batcher:
    """Groups of up to `most` requests of one kind, in the order they came. Made inside a running loop."""

    def __init__(
        self, answer: Answer, most: int, kind: Callable[[Request], Hashable], worker: ThreadPoolExecutor
    ) -> None:
        self._answer = answer
        self._most = most
        self._kind = kind
        self._worker = worker
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._task = asyncio.create_task(self._serve())

    async def ask(self, request: Request) -> Completion:
        """One request's answer. Cancelling it takes it out of the queue."""
        if self._task.done():
            raise ConnectionLost("the model is not loaded")
        item = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._arrived.set()
        return await item.future

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._most:
                await asyncio.sleep(GATHER_S)
            if group := self._group():
                await self._run(group)
            if not self._waiting:
                self._arrived.clear()

    def _group(self) -> list[_Waiting]:
        """The oldest request and those like it."""
        self._waiting = [item for item in self._waiting if not item.future.done()]
        if not self._waiting:
            return []
        kind = self._kind(self._waiting[0].request)
        group = [item for item in self._waiting if self._kind(item.request) == kind][: self._most]
        self._waiting = [item for item in self._waiting if item not in group]
        return group

    async def _run(self, group: list[_Waiting]) -> None:
        requests = [item.request for item in group]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._worker, self._answer, requests)
        except asyncio.CancelledError:
            _tell(group, ConnectionLost(_UNLOADED))
            raise
        except Exception as error:
            _tell(group, error)
            return
        for item, answer in zip(group, answers, strict=True):
            if item.future.done():
                continue
            if isinstance(answer, BackendError):
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)

    async def close(self) -> None:
        """Stop serving; whoever still waits is told."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        _tell(self._waiting, ConnectionLost(_UNLOADED))
        self._waiting.clear()


def _tell(group: Sequence[_Waiting], error: Exception) -> None:
    for item in group:
        if not item.future.done():
            item.future.set_exception(error)
