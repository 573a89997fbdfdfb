from __future__ import annotations

import pytest

from assay.records import Completion
from assay.run.budget import Budget, Spent, cost
from assay.spec.schema import BudgetSpec, Prices

ANSWER = Completion("yes", tokens_in=1000, tokens_out=500)
PRICES = Prices(input=2.0, output=4.0)


def test_cost_is_per_million_tokens() -> None:
    assert cost(ANSWER, PRICES) == pytest.approx(0.004)


def test_what_is_not_counted_costs_nobody_knows_what() -> None:
    assert cost(Completion("yes", tokens_in=1000), PRICES) is None
    assert cost(ANSWER, None) is None


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (BudgetSpec(tokens=1500), "tokens"),
        (BudgetSpec(requests=1), "requests"),
        (BudgetSpec(money=0.004), "money"),
        (BudgetSpec(seconds=1e-9), "seconds"),
    ],
)
def test_each_limit_stops_the_run(limits: BudgetSpec, word: str) -> None:
    budget = Budget(limits)
    budget.add_request()
    budget.add(ANSWER, PRICES)
    assert word in str(budget.exhausted())


def test_without_limits_there_is_always_some_left() -> None:
    budget = Budget(BudgetSpec())
    budget.add(ANSWER, PRICES)
    assert budget.exhausted() is None


def test_earlier_sessions_count() -> None:
    assert Budget(BudgetSpec(requests=10), Spent(requests=10)).exhausted()


def test_a_budget_that_cannot_be_counted_is_not_kept_in_silence() -> None:
    budget = Budget(BudgetSpec(tokens=10**9))
    budget.add(Completion("yes"), None)
    assert "does not count" in str(budget.exhausted())
