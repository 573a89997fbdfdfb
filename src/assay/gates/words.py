"""Numbers in the words of a release manager: points of a rate, a metric's own units otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from assay.gates.decision import Case, Decision
from assay.gates.evidence import Metric
from assay.gates.policy import Policy
from assay.gates.result import Verdict
from assay.stats.exact import below


def score(value: float | None, rate: bool) -> str:
    """`62.5 %`, or a number."""
    return "unknown" if value is None else f"{100 * value:.1f} %" if rate else f"{value:.4g}"


def change(value: float | None, rate: bool) -> str:
    """A signed difference: `-1.3 points`."""
    return "unknown" if value is None else f"{100 * value:+.2f} points" if rate else f"{value:+.4g}"


def size(value: float | None, rate: bool) -> str:
    """A difference without its sign: `1.3 points`."""
    return "unknown" if value is None else _points(100 * value) if rate else f"{value:.4g}"


def _points(value: float) -> str:
    return f"{value:.3g} point{'' if value == 1 else 's'}"


def bounds(low: float | None, high: float | None, rate: bool) -> str:
    """`[-2.0, +0.7]`."""
    scale = 100 if rate else 1
    parts = ["unknown" if bound is None else f"{scale * bound:+.2f}" for bound in (low, high)]
    return f"[{', '.join(parts)}]"


def verdict(metric: Metric, case: Case, found: Decision, policy: Policy, needed: int | None) -> str:
    """One task's verdict and what it rests on, as one sentence."""
    rate, seen = metric.kind == "pass", case.seen
    sign = seen.sign
    before, after = (score(float(value.mean()), rate) for value in (seen.baseline, seen.candidate))
    moved = change(sign * float(seen.gain), rate)
    head = f"{metric.name} {before} → {after} ({moved}"
    if policy.rule == "point":
        return f"{head}); {_by_point(case, found, rate)}"
    raw = (found.low, found.high) if sign > 0 else (_negated(found.high), _negated(found.low))
    return f"{head}, bounds {bounds(*raw, rate)}, {seen.n} pairs); {_by_bounds(case, found, rate, needed)}"


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _by_point(case: Case, found: Decision, rate: bool) -> str:
    allowed = size(float(case.margin.least), rate)
    said = {
        Verdict.ACCEPT: f"within the allowed loss of {allowed}",
        Verdict.REGRESSION: f"more than the allowed loss of {allowed}",
    }
    kept = said.get(found.verdict, "scores are missing that could decide either way")
    return f"{kept}; by the point rule, so no uncertainty was counted"


def _by_bounds(case: Case, found: Decision, rate: bool, needed: int | None) -> str:
    allowed = size(float(case.margin.least), rate)
    if found.verdict is Verdict.ACCEPT:
        worse = "; it is worse beyond chance, by less than the margin" if found.significant else ""
        return f"a loss of {allowed} or more is ruled out{worse}"
    if found.verdict is Verdict.REGRESSION:
        test = f" (paired test: p = {case.best.test.exact:.2g})"
        if below(found.high, -case.margin.most):
            return f"worse than the baseline by more than the margin of {allowed}{test}"
        return f"worse than the baseline beyond chance, and a loss of {allowed} is not ruled out{test}"
    more = "no number of samples would" if needed is None else f"about {needed:,} samples would"
    return f"a loss of {allowed} is neither ruled out nor shown: {more} decide it"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
