"""What a run may spend: tokens, requests, seconds, money. Counted over the whole run, resumed or not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from assay.records import Completion
from assay.spec.schema import BudgetSpec, Prices


@dataclass(slots=True)
class Spent:
    """What has been spent so far; `money` is in the currency of the spec's prices."""

    tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    money: float = 0.0


@dataclass
class Budget:
    """Says when to stop starting attempts. What is in flight then is finished, so a budget is overshot by at most
    the requests in flight.
    """

    limits: BudgetSpec
    spent: Spent = field(default_factory=Spent)
    uncounted: bool = False
    _started: float = field(default_factory=time.monotonic)

    def add(self, completion: Completion, prices: Prices | None) -> None:
        """Count one answer."""
        self.uncounted |= completion.tokens_in is None or completion.tokens_out is None
        self.spent.tokens += (completion.tokens_in or 0) + (completion.tokens_out or 0)
        self.spent.money += cost(completion, prices) or 0.0

    def add_request(self) -> None:
        """Count one request, answered or not."""
        self.spent.requests += 1

    def exhausted(self) -> str | None:
        """What ran out, in words; None while there is some left."""
        if self.uncounted and (self.limits.tokens or self.limits.money):
            return "the backend does not count its tokens, so a budget of tokens or money cannot be kept"
        seconds = self.spent.seconds + time.monotonic() - self._started
        for unit, limit, spent in (
            ("tokens", self.limits.tokens, self.spent.tokens),
            ("requests", self.limits.requests, self.spent.requests),
            ("seconds", self.limits.seconds, seconds),
            ("money", self.limits.money, self.spent.money),
        ):
            if limit is not None and spent >= limit:
                return f"the budget of {limit:g} {unit} is spent ({spent:g})"
        return None


def cost(completion: Completion, prices: Prices | None) -> float | None:
    """What an answer cost; None where there are no prices or the backend did not count tokens."""
    if prices is None or completion.tokens_in is None or completion.tokens_out is None:
        return None
    return (completion.tokens_in * prices.input + completion.tokens_out * prices.output) / 1e6
