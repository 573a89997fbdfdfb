"""The verdict on one task, and on several at once: bounds against margins, in the order that statistics.md fixes.

The lower bound of the gain above -margin accepts. The upper bound below -margin is a regression; so is one below 0 with
the paired test agreeing, where the margin is not kept. Anything else is undecided. Comparisons are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from assay.gates.estimate import Estimate
from assay.gates.policy import Policy, Terms
from assay.gates.result import Verdict
from assay.stats.exact import above, below, exact
from assay.stats.multiple import Adjusted, holm


@dataclass(frozen=True, slots=True)
class Margin:
    """The loss that is allowed, in the metric's units.

    `least` is what an acceptance must keep and `most` what a regression must exceed: they differ for a share of the
    baseline's score, which is itself known within bounds only.
    """

    least: Fraction
    most: Fraction
    measured: Fraction
    relative: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One task's numbers. `seen` leaves missing scores out, `worst` and `best` take them for the scale's extremes."""

    seen: Estimate
    worst: Estimate
    best: Estimate
    margin: Margin


@dataclass(frozen=True, slots=True)
class Decision:
    """What a task's numbers say. `low` and `high` bound the gain at the levels that the correction leaves this task.

    `significant` says that the candidate is worse beyond chance, whether or not the margin allows it.
    """

    verdict: Verdict
    low: float | None
    high: float | None
    kept: Adjusted | None = None
    loss: Adjusted | None = None
    significant: bool = False


def margin_for(terms: Terms, case: Estimate, alpha: float, *, point: bool) -> Margin | None:
    """The margin of a task. None where a share of the baseline's score means nothing: it is 0, or may be.

    By its bounds, a relative margin is that share of the baseline's lower bound (to accept) and of its upper one (to
    call a regression); by the point rule it is that share of the score itself.
    """
    if terms.margin is not None:
        given = exact(terms.margin, "margin")
        return Margin(given, given, given)
    share = exact(terms.relative_margin or 0, "relative_margin")
    value = _mean(case)
    if not share or value <= 0:
        return None
    if point:
        return Margin(share * value, share * value, share * value, terms.relative_margin)
    bounds = case.level_of_baseline(alpha)
    if bounds.low is None or bounds.high is None or bounds.low <= 0:
        return None
    return Margin(share * Fraction(bounds.low), share * Fraction(bounds.high), share * value, terms.relative_margin)


def _mean(case: Estimate) -> Fraction:
    from assay.gates.run import mean_of

    return mean_of(case.baseline)


def decide(cases: Sequence[Case], policy: Policy) -> list[Decision]:
    """The decision on each task, alpha being kept over all of them together."""
    if policy.rule == "point":
        return [_by_point(case) for case in cases]
    if not cases:
        return []
    # Both families are closed under Holm: of any number of tasks, one is falsely accepted, or falsely called worse,
    # with a chance of at most alpha.
    kept = _adjusted([case.worst.p_above(-case.margin.least) for case in cases], policy)
    loss = _adjusted([case.best.p_below(0) for case in cases], policy)
    return [_by_bounds(case, *levels) for case, *levels in zip(cases, kept, loss, strict=True)]


def _adjusted(p_values: Sequence[float], policy: Policy) -> list[Adjusted]:
    if policy.correction == "none":
        return [Adjusted(p, p, policy.alpha, p <= policy.alpha) for p in p_values]
    return holm(p_values, policy.alpha)


def _by_bounds(case: Case, kept: Adjusted, loss: Adjusted) -> Decision:
    low = case.worst.interval(kept.level).low
    high = case.best.interval(loss.level).high
    worse = below(high, 0) and case.best.test.exact <= loss.level
    if above(low, -case.margin.least):
        verdict = Verdict.ACCEPT
    elif below(high, -case.margin.most) or worse:
        verdict = Verdict.REGRESSION
    else:
        verdict = Verdict.INCONCLUSIVE
    return Decision(verdict, low, high, kept, loss, worse)


def _by_point(case: Case) -> Decision:
    """The measured drop against the margin, and no uncertainty counted; missing scores are still not assumed away."""
    if case.worst.gain >= -case.margin.least:
        verdict = Verdict.ACCEPT
    elif case.best.gain < -case.margin.most:
        verdict = Verdict.REGRESSION
    else:
        verdict = Verdict.INCONCLUSIVE
    return Decision(verdict, None, None)
