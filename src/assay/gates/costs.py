"""What an answer costs: how many tokens and how long it takes, against limits of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.gates.evidence import Floats, Whole
from assay.gates.pairs import Pairs
from assay.gates.result import Check, Verdict
from assay.gates.run import LARGE
from assay.stats.exact import exact
from assay.stats.special import t_two_sided


@dataclass(frozen=True, slots=True)
class Increase:
    """How much larger the candidate's mean is, as a share of the baseline's, over the pairs where both are known."""

    n: int
    unknown: int
    baseline: float | None
    candidate: float | None
    change: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self, unit: str) -> dict[str, Any]:
        """As a JSON object."""
        names = ("n", "unknown", "baseline", "candidate", "change", "low", "high")
        return {"unit": unit, **{name: getattr(self, name) for name in names}}


def increase(left: Floats, right: Floats, label: Whole | None, alpha: float) -> Increase:
    """The ratio of two paired means, less 1, with bounds held at `alpha` each.

    By linearisation (the delta method): the ratio R varies as the mean of right - R left does, over clusters, with
    Student's t. None where nothing is known, or the baseline's mean is 0; bounds equal to the change where
    every pair has the same ratio.
    """
    known = (left >= 0) & (right >= 0) & (left <= LARGE) & (right <= LARGE)
    n, unknown = int(np.count_nonzero(known)), int(np.count_nonzero(~known))
    if not n:
        return Increase(0, unknown, None, None, None)
    left, right = left[known], right[known]
    before, after = math.fsum(left.tolist()) / n, math.fsum(right.tolist()) / n
    if not (before > 0 and math.isfinite(after / before)):
        return Increase(n, unknown, before, after, None)
    ratio = after / before
    residuals = right - ratio * left
    sizes = np.ones(n, dtype=np.int64) if label is None else np.bincount(label[known])
    sums = residuals if label is None else np.bincount(label[known], residuals)
    groups = int(np.count_nonzero(sizes))
    if groups < 2:
        return Increase(n, unknown, before, after, ratio - 1)
    error = math.sqrt(math.fsum((sums * sums).tolist()) * groups / (groups - 1)) / n
    half = t_two_sided(1 - 2 * alpha, groups - 1) * error / before
    return Increase(n, unknown, before, after, ratio - 1, ratio - 1 - half, ratio - 1 + half)


def check(name: str, found: Increase, limit: float | None, where: str, words: str, point: bool) -> Check:
    """Whether an increase is within its limit: by its bounds, or with `point` by itself; undecided between them."""
    most = None if limit is None else exact(limit, name)
    if most is None:
        return Check(name, True, where, found.change, None)
    if found.change is None or found.unknown:
        reason = f"{found.unknown} of {found.n + found.unknown} pairs have no {words}: not measured is not unchanged"
        return Check(name, None, where, found.change, limit, reason, Verdict.INCONCLUSIVE)
    low, high = (found.change, found.change) if point else (found.low, found.high)
    measured = f"{words}: {100 * found.change:+.1f} % a sample; the policy allows {100 * float(most):g} % more"
    if high is not None and exact(high, name) <= most:
        return Check(name, True, where, found.change, limit)
    if low is not None and exact(low, name) > most:
        return Check(name, False, where, found.change, limit, measured, Verdict.REGRESSION)
    return Check(name, None, where, found.change, limit, f"{measured}, which is not decided", Verdict.INCONCLUSIVE)


def of(pairs: Pairs, what: str) -> tuple[Floats, Floats]:
    """The pairs' `tokens` or `latency`."""
    left, right = getattr(pairs.baseline, what), getattr(pairs.candidate, what)
    return left[pairs.left], right[pairs.right]
