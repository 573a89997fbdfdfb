"""The engine: every attempt of a plan that is not finished yet, asked of its model, ends as one line of the journal.

It decides when to ask, how often to ask again, and what an attempt's outcome is. It does not score.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from assay.errors import (
    AttemptTimeout,
    BackendError,
    BackendUnreachable,
    BudgetExhausted,
    Denied,
    RateLimited,
    Transient,
)
from assay.models.base import Model
from assay.plan.plan import Plan
from assay.records import Attempt, Completion, Outcome, Request
from assay.run.budget import Budget, cost
from assay.run.cache import ResponseCache
from assay.run.limiter import Limiter
from assay.spec.schema import ConcurrencySpec, Prices, RetrySpec

HOPELESS = 20
"""This many attempts in a row without one answer mean that the server is gone, not that the attempts are unlucky."""


class Sink(Protocol):
    """Where finished attempts go."""

    def append(self, record: Mapping[str, Any], /) -> None:
        """Keep one journal line."""


class Watch(Protocol):
    """Who wants to know how it goes: the progress display and the event log."""

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        """An attempt has ended."""

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        """A request failed and will be tried again after `wait_s` seconds."""


@dataclass
class Job:
    """What the engine needs to run the pending attempts of one model.

    `request` turns an attempt into what is sent; `revision` says how many earlier lines an attempt has.
    """

    plan: Plan
    model: Model
    pending: Iterator[Attempt]
    request: Callable[[Attempt], Request]
    revision: Callable[[Attempt], int]
    sink: Sink
    watch: Watch
    budget: Budget
    concurrency: ConcurrencySpec
    retry: RetrySpec
    session: int
    prices: Prices | None = None
    cache: ResponseCache | None = None
    requests: int = 0
    retries: int = 0
    fruitless: int = 0
    _spent: str | None = field(default=None, init=False)

    async def run(self) -> None:
        """Run every pending attempt. Raises BackendUnreachable or BudgetExhausted, keeping what is finished."""
        limit = min(self.concurrency.limit, self.model.parallel or self.concurrency.limit)
        limiter = Limiter(limit, self.concurrency.start)
        workers = [asyncio.create_task(self._work(limiter)) for _ in range(limit)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._spent:
            raise BudgetExhausted(self._spent)

    async def _work(self, limiter: Limiter) -> None:
        while not self._out_of_budget():
            attempt = next(self.pending, None)
            if attempt is None:
                return
            await self._finish(attempt, limiter)

    def _out_of_budget(self) -> bool:
        self._spent = self._spent or self.budget.exhausted()
        return self._spent is not None

    async def _finish(self, attempt: Attempt, limiter: Limiter) -> None:
        request = self.request(attempt)
        key = self.cache.key(self.model, request, attempt.epoch) if self.cache else None
        if self.cache and key and (known := self.cache.get(key)):
            self._record(attempt, known, latency=None, tries=0)
            return
        began = time.monotonic()
        for number in range(1, self.retry.tries + 1):
            try:
                completion = await self._ask(request, limiter)
            except Denied as error:
                raise self._unreachable(error.message) from error
            except BackendError as error:
                if not await self._again(attempt, error, number):
                    self._record_failure(attempt, error, tries=number, seconds=time.monotonic() - began)
                    return
            else:
                if self.cache and key:
                    self.cache.put(key, completion[0])
                self._record(attempt, completion[0], latency=completion[1], tries=number)
                return

    async def _ask(self, request: Request, limiter: Limiter) -> tuple[Completion, float]:
        """One request, and how long it took in seconds; the wait for a slot is not the server's time."""
        await limiter.acquire()
        self.requests += 1
        self.budget.add_request()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.concurrency.timeout_s):
                completion = await self.model.complete(request)
        except TimeoutError:
            limiter.overloaded()
            raise AttemptTimeout(f"no answer within {self.concurrency.timeout_s:g} s") from None
        except RateLimited as error:
            limiter.overloaded(error.retry_after)
            raise
        finally:
            limiter.release()
        seconds = time.monotonic() - began
        limiter.succeeded(seconds)
        return completion, seconds

    async def _again(self, attempt: Attempt, error: BackendError, number: int) -> bool:
        """Wait for the next try; False where there is none."""
        allowed = max(HOPELESS, self.retry.ratio * self.requests)
        if not isinstance(error, Transient) or number == self.retry.tries or self.retries >= allowed:
            return False
        self.retries += 1
        wait = backoff(number, self.retry, error.retry_after if isinstance(error, RateLimited) else None)
        self.watch.retried(attempt, error, wait)
        await asyncio.sleep(wait)
        return True

    def _record(self, attempt: Attempt, completion: Completion, *, latency: float | None, tries: int) -> None:
        outcome = classify(completion)
        line = self._line(attempt, outcome, tries)
        line["completion"] = completion.to_json()
        if latency is None:
            line["cached"] = True
        else:
            self.fruitless = 0
            self.budget.add(completion, self.prices)
            line["latency_s"] = round(latency, 6)
            if (amount := cost(completion, self.prices)) is not None:
                line["cost"] = amount
        self._keep(attempt, outcome, line, completion.tokens_out)

    def _record_failure(self, attempt: Attempt, error: BackendError, *, tries: int, seconds: float) -> None:
        outcome = Outcome.TIMEOUT if isinstance(error, AttemptTimeout) else Outcome.INFRA_ERROR
        line = self._line(attempt, outcome, tries)
        line["error"] = {"type": type(error).__name__, "message": error.message[:2000]}
        line["spent_s"] = round(seconds, 6)
        self._keep(attempt, outcome, line, None)
        self.fruitless += isinstance(error, Transient)
        if self.fruitless >= HOPELESS:
            raise self._unreachable(f"{HOPELESS} attempts in a row got no answer; the last: {error.message}")

    def _unreachable(self, reason: str) -> BackendUnreachable:
        return BackendUnreachable(
            f"{self.model.name}: {reason}",
            layer=str(self.model.identity.get("backend", "model")),
            hint="what is finished is kept; ask again to resume once the server answers",
        )

    def _line(self, attempt: Attempt, outcome: Outcome, tries: int) -> dict[str, Any]:
        cell = self.plan.cells[attempt.cell]
        return {
            "attempt": attempt.id,
            "index": attempt.index,
            "cell": attempt.cell,
            "sample": attempt.sample,
            "epoch": attempt.epoch,
            "seed": attempt.seed,
            "revision": self.revision(attempt),
            "session": self.session,
            "demos": self.plan.tasks[cell.task].demos,
            "outcome": outcome.value,
            "tries": tries,
            "finished": round(time.time(), 3),
        }

    def _keep(self, attempt: Attempt, outcome: Outcome, line: dict[str, Any], tokens_out: int | None) -> None:
        self.sink.append(line)
        self.watch.finished(attempt, outcome, tokens_out)


def classify(completion: Completion) -> Outcome:
    """The outcome of an answer: refused, cut by the token limit, blank, or fine."""
    if completion.choices:
        return Outcome.OK
    if completion.finish == "refusal":
        return Outcome.REFUSED
    if completion.finish == "length":
        return Outcome.TRUNCATED
    return Outcome.OK if completion.text.strip() else Outcome.EMPTY


def backoff(number: int, retry: RetrySpec, retry_after: float | None) -> float:
    """Seconds to wait before try `number` + 1: exponential with full jitter, or what the server asked for.

    Brooker 2015, "Exponential backoff and jitter": a uniform draw below the ceiling spreads the herd best.
    """
    ceiling = min(retry.max_s, retry.base_s * 2.0 ** (number - 1))
    if retry_after is not None:
        return min(retry_after, retry.max_s) + random.uniform(0, min(ceiling, 0.1 * retry_after))
    return random.uniform(0.1 * ceiling, ceiling)
