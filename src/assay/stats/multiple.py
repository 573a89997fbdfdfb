"""Several tests at once: which of them hold when the chance of any false one is to stay below alpha."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from assay.stats.exact import NoValues, check_alpha


@dataclass(frozen=True, slots=True)
class Adjusted:
    """One test among several: its p-value, the same adjusted for the others, and the level that its own interval is
    built at: a bound at `level` clears the tested value exactly where the test is `rejected`."""

    p: float
    adjusted: float
    level: float
    rejected: bool


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[Adjusted]:
    """Holm's step-down procedure (Holm 1979), in the order given; holds alpha whatever the tests' dependence.

    The smallest p is held to alpha/k, the next to alpha/(k-1), until one fails; all from there on fail with it, and
    their intervals use the level of that first failure. Equal p-values share the strictest of their levels, so the
    order of tests does not matter. One-sided tests of non-inferiority that must all hold need no correction (an
    intersection-union test, Berger 1982); tests of which any one raises an alarm do.
    """
    check_alpha(alpha)
    _check(p_values)
    ranked, many = sorted(p_values), len(p_values)
    levels = {p: alpha / (many - bisect_left(ranked, p)) for p in ranked}
    failed = next((p for p in ranked if p > levels[p]), None)
    found = {}
    adjusted = 0.0
    for place, p in enumerate(ranked):
        adjusted = max(adjusted, min(1.0, p * (many - bisect_left(ranked, p, 0, place + 1))))
        rejected = failed is None or p < failed
        found[p] = Adjusted(p, adjusted, levels[p] if rejected or failed is None else levels[failed], rejected)
    return [found[p] for p in p_values]


def bonferroni(p_values: Sequence[float], alpha: float = 0.05) -> list[Adjusted]:
    """Bonferroni's correction: each of k tests is held to alpha/k. Never rejects more than Holm's; a check of it."""
    check_alpha(alpha)
    _check(p_values)
    level = alpha / len(p_values)
    return [Adjusted(p, min(1.0, p * len(p_values)), level, p <= level) for p in p_values]


def _check(p_values: Sequence[float]) -> None:
    if not p_values:
        raise NoValues("there are no p-values to adjust")
    for place, p in enumerate(p_values):
        if math.isnan(p) or not 0 <= p <= 1:
            raise ValueError(f"p_values[{place}] must lie between 0 and 1, not {p}")
