from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from assay.errors import (
    BackendError,
    BackendUnreachable,
    BadResponse,
    BudgetExhausted,
    ConnectionLost,
    Denied,
    RateLimited,
    Rejected,
    ServerError,
)
from assay.plan.plan import Plan
from assay.records import Attempt, ChoiceScore, Completion, Outcome, Request, Sampling
from assay.run.budget import Budget
from assay.run.engine import HOPELESS, Job, backoff, classify
from assay.spec.schema import BudgetSpec, ConcurrencySpec, RetrySpec
from support.models import Script, Scripted, constant
from support.plans import plan

QUICK = RetrySpec(tries=3, base_s=0.001, max_s=0.01)


class Kept:
    """Keeps journal lines and retries in memory."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.retries: list[BackendError] = []

    def append(self, record: Mapping[str, Any], /) -> None:
        self.lines.append(record)

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        pass

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        self.retries.append(error)

    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.lines]


def run(
    script: Script,
    made: Plan | None = None,
    *,
    kept: Kept | None = None,
    budget: BudgetSpec | None = None,
    concurrency: ConcurrencySpec | None = None,
    retry: RetrySpec = QUICK,
    delay: float = 0.0,
) -> tuple[Kept, Scripted]:
    made = made or plan()
    kept = kept or Kept()
    model = Scripted(script, delay=delay)

    def ask(attempt: Attempt) -> Request:
        return Request(Sampling(), attempt.seed, text="?", key=attempt.id)

    job = Job(
        plan=made,
        model=model,
        pending=made.attempts(0),
        request=ask,
        revision=lambda attempt: 0,
        sink=kept,
        watch=kept,
        budget=Budget(budget or BudgetSpec()),
        concurrency=concurrency or ConcurrencySpec(limit=4),
        retry=retry,
        session=0,
    )
    asyncio.run(job.run())
    return kept, model


def failing(error: BackendError, times: int = 10**9) -> Script:
    def script(request: Request, before: int) -> Completion:
        if before < times:
            raise error
        return Completion("yes", finish="stop")

    return script


def test_every_attempt_ends_in_one_line() -> None:
    made = plan(50)
    kept, _ = run(constant(), made)
    assert sorted(line["index"] for line in kept.lines) == list(range(50))
    assert {line["attempt"] for line in kept.lines} == {attempt.id for attempt in made.attempts(0)}


def test_no_more_in_flight_than_asked_for() -> None:
    _, model = run(constant(), plan(40), concurrency=ConcurrencySpec(limit=3), delay=0.001)
    assert model.peak == 3


@pytest.mark.parametrize(
    "error", [RateLimited("slow down"), ServerError("oops"), ConnectionLost("gone"), BadResponse("{")]
)
def test_a_passing_error_is_retried_and_leaves_no_trace(error: BackendError) -> None:
    kept, _ = run(failing(error, times=2))
    assert kept.outcomes() == ["ok"] * 5
    assert {line["tries"] for line in kept.lines} == {3}


def test_a_lasting_error_is_recorded_as_one_and_never_as_an_answer() -> None:
    kept, _ = run(failing(ServerError("oops")))
    assert kept.outcomes() == ["infra_error"] * 5
    assert all("completion" not in line for line in kept.lines)
    assert kept.lines[0]["error"] == {"type": "ServerError", "message": "oops"}


def test_what_the_server_refuses_is_not_asked_again() -> None:
    kept, model = run(failing(Rejected("too long")))
    assert kept.outcomes() == ["infra_error"] * 5
    assert set(model.asked.values()) == {1}


def test_a_stall_is_a_timeout() -> None:
    kept, _ = run(constant(), plan(2), delay=1.0, concurrency=ConcurrencySpec(limit=2, timeout_s=0.01))
    assert kept.outcomes() == ["timeout"] * 2


def test_a_denial_stops_the_run_at_once() -> None:
    kept = Kept()
    with pytest.raises(BackendUnreachable, match=r"scripted: no such model \[scripted\]"):
        run(failing(Denied("no such model")), plan(100), kept=kept)
    assert not kept.lines


def test_a_dead_server_is_given_up_on() -> None:
    kept = Kept()
    with pytest.raises(BackendUnreachable, match=f"{HOPELESS} attempts in a row got no answer"):
        run(failing(ConnectionLost("refused")), plan(500), kept=kept, retry=RetrySpec(tries=1))
    assert HOPELESS <= len(kept.lines) < 100


def test_the_budget_stops_the_run_and_what_was_in_flight_is_kept() -> None:
    kept = Kept()
    with pytest.raises(BudgetExhausted, match="budget of 10 requests"):
        run(constant(), plan(100), kept=kept, budget=BudgetSpec(requests=10))
    assert 10 <= len(kept.lines) <= 14


def test_the_retry_budget_keeps_a_run_from_hammering() -> None:
    def script(request: Request, before: int) -> Completion:
        if not before and request.seed % 2:
            raise ServerError("oops")
        return Completion("yes", finish="stop")

    kept, _ = run(script, plan(200), retry=RetrySpec(tries=5, base_s=0.001, ratio=0))
    assert len(kept.retries) == HOPELESS
    odd = sum(attempt.seed % 2 for attempt in plan(200).attempts(0))
    assert kept.outcomes().count("infra_error") == odd - HOPELESS


@pytest.mark.parametrize(
    ("completion", "outcome"),
    [
        (Completion("yes", "stop"), Outcome.OK),
        (Completion(" \n", "stop"), Outcome.EMPTY),
        (Completion("and then", "length"), Outcome.TRUNCATED),
        (Completion("", "length"), Outcome.TRUNCATED),
        (Completion("I cannot", "refusal"), Outcome.REFUSED),
        (Completion(choices=(ChoiceScore(-1.0, 2),)), Outcome.OK),
    ],
)
def test_outcomes(completion: Completion, outcome: Outcome) -> None:
    assert classify(completion) is outcome


def test_backoff_doubles_up_to_its_ceiling_and_obeys_the_server() -> None:
    retry = RetrySpec(base_s=1, max_s=8)
    for number, ceiling in [(1, 1), (2, 2), (3, 4), (4, 8), (9, 8)]:
        waits = [backoff(number, retry, None) for _ in range(100)]
        assert 0.1 * ceiling <= min(waits) <= max(waits) <= ceiling
    assert 3 <= backoff(1, retry, 3.0) <= 3.3
    assert backoff(1, retry, 1e6) <= 9
