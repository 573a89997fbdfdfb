"""What a comparison measured on one task, as the result tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from assay.gates.costs import Increase
from assay.gates.decision import Case, Decision
from assay.gates.estimate import Estimate
from assay.gates.evidence import CellEvidence, Metric
from assay.gates.pairs import Pairs
from assay.gates.policy import Policy, Terms
from assay.gates.result import Verdict
from assay.stats.intervals import Interval


@dataclass(frozen=True, slots=True)
class Match:
    """The two cells of one task, and what the policy asks of it."""

    task: str
    terms: Terms
    baseline: CellEvidence
    candidate: CellEvidence

    @property
    def gated(self) -> bool:
        """Whether it can decide the verdict."""
        return self.terms.gated


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """A match whose samples were paired. `seen` is None where no scores could be, `case` where there is no margin."""

    match: Match
    metric: Metric
    pairs: Pairs
    seen: Estimate | None
    case: Case | None


def numbers_of(
    pair: Paired, decision: Decision | None, grown: Mapping[str, Increase], policy: Policy
) -> dict[str, Any]:
    """One task's entry in the result's numbers. All differences are candidate - baseline, whichever is better."""
    match, seen = pair.match, pair.seen
    value: dict[str, Any] = {
        "task": match.task,
        "tier": match.terms.tier,
        "gated": match.gated,
        "verdict": decision.verdict if decision else None,
        "rule": policy.rule,
        "metric": pair.metric.name,
        "kind": pair.metric.kind,
        "pairs": len(pair.pairs),
        "samples_needed": None,
        "tokens": grown["tokens"].to_json("completion tokens"),
        "latency": grown["latency"].to_json("seconds"),
    }
    if seen is None:
        return value
    value["direction"] = "higher_is_better" if seen.sign > 0 else "lower_is_better"
    value |= {"scale": seen.scale, "missing": len(pair.pairs) - seen.n, "clusters": seen.units}
    value |= _difference(seen, policy) | _flips(pair, seen)
    if pair.case and decision:
        value |= _decision(pair.case, decision, policy)
    value["categories"] = _categories(pair)
    return value


def _difference(seen: Estimate, policy: Policy) -> dict[str, Any]:
    """The measured difference with its own interval, uncorrected."""
    interval = seen.interval(policy.alpha)
    low, high = _turned(seen, interval)
    return {
        "baseline": float(seen.baseline.mean()),
        "candidate": float(seen.candidate.mean()),
        "delta": seen.sign * seen.gain,
        "low": low,
        "high": high,
        "alpha": policy.alpha,
        "confidence": 1 - 2 * policy.alpha,
        "method": interval.method,
        "discordance": seen.discordance,
        "design_effect": seen.design_effect,
        "smallest_decidable": seen.smallest(policy.alpha, policy.power),
    }


def _turned(seen: Estimate, interval: Interval) -> tuple[float | None, float | None]:
    """The bounds of a gain as those of candidate - baseline."""
    if seen.sign > 0:
        return interval.low, interval.high
    return _negated(interval.high), _negated(interval.low)


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _decision(case: Case, found: Decision, policy: Policy) -> dict[str, Any]:
    """What the verdict rests on. `gain` is the difference in the direction that is better."""
    margin = {"allowed": case.margin.measured, "to_accept": case.margin.least, "to_reject": case.margin.most}
    value: dict[str, Any] = {"margin": {**margin, "relative": case.margin.relative}}
    if found.kept is None or found.loss is None:
        return value
    value["gain_bounds"] = {"low": found.low, "low_level": found.kept.level} | {
        "high": found.high,
        "high_level": found.loss.level,
    }
    value["p"] = {
        "margin": found.kept.p,
        "margin_adjusted": found.kept.adjusted,
        "loss": found.loss.p,
        "loss_adjusted": found.loss.adjusted,
        "exact": case.best.test.exact,
        "mid_p": case.best.test.mid_p,
    }
    value["significant_loss"] = found.significant
    if found.verdict is Verdict.INCONCLUSIVE:
        value["samples_needed"] = case.seen.needed(case.margin.least, found.kept.level, policy.power)
    return value


def _flips(pair: Paired, seen: Estimate) -> dict[str, Any]:
    """Wins, losses and ties, and which samples they are."""
    left, right = pair.pairs.values(pair.metric.name)
    gains = seen.sign * (right - left)
    won, lost = np.flatnonzero(gains > 0).tolist(), np.flatnonzero(gains < 0).tolist()
    counts = {"won": len(won), "lost": len(lost), "ties": seen.n - len(won) - len(lost)}
    flips = {name: [_flip(pair, place) for place in places] for name, places in (("won", won), ("lost", lost))}
    return {**counts, "flips": flips}


def _flip(pair: Paired, place: int) -> dict[str, Any]:
    value: dict[str, Any] = {"sample": pair.pairs.sample(place)}
    if epoch := pair.pairs.epoch(place):
        value["epoch"] = epoch
    if pair.metric.kind == "measure":
        left, right = pair.pairs.values(pair.metric.name)
        value |= {"baseline": float(left[place]), "candidate": float(right[place])}
    return value


def _categories(pair: Paired) -> dict[str, Any]:
    """The same difference by category; for people, no verdict rests on it."""
    labels = pair.pairs.categories()
    if labels is None or pair.seen is None:
        return {}
    left, right = pair.pairs.values(pair.metric.name)
    whole = ~(np.isnan(left) | np.isnan(right))
    found = {}
    for name in np.unique(labels).tolist():
        chosen = whole & (labels == name)
        n = int(np.count_nonzero(chosen))
        gains = pair.seen.sign * (right[chosen] - left[chosen])
        found[name] = {
            "pairs": n,
            "baseline": float(left[chosen].mean()) if n else None,
            "candidate": float(right[chosen].mean()) if n else None,
            "delta": Fraction(float((right[chosen] - left[chosen]).mean())) if n else None,
            "won": int(np.count_nonzero(gains > 0)),
            "lost": int(np.count_nonzero(gains < 0)),
        }
    return found
