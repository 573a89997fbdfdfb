"""`gate aa`: the A/A control. The same model twice has no difference: how often would this policy see one?

Two runs of one model, or two epochs of one run, are resampled so that both sides are the same system (clusters drawn
with replacement, sides swapped by the toss of a coin), and the policy judges each resample. An alarm is a REGRESSION or
a gain that it takes for implausible. The control fails where the rate is above the policy's alpha beyond chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from assay.errors import FailureClass
from assay.gates.comparable import differences
from assay.gates.decision import Case, decide, margin_for
from assay.gates.estimate import Estimate
from assay.gates.evidence import CellEvidence, Evidence, Floats, Metric, Whole
from assay.gates.inputs import closed, opened
from assay.gates.numbers import Match
from assay.gates.pairs import join
from assay.gates.policy import Policy
from assay.gates.result import Check, GateResult, Verdict
from assay.gates.run import fitness, fits, readiness, scale_of
from assay.stats.exact import above, exact
from assay.stats.false_alarm import FalseAlarms, null_pairs, summed

GATE = "aa"
ORDER = (Verdict.INFEASIBLE, Verdict.FAIL, Verdict.INCONCLUSIVE)
RESAMPLES = 500


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """The two answers of one model to one task: a score a pair on either side, and the cluster of each."""

    match: Match
    metric: Metric
    scale: tuple[float, float]
    left: Floats
    right: Floats
    label: Whole | None
    left_out: int


def gate(runs: Sequence[Any], policy: Any, resamples: int = RESAMPLES, seed: int = 0) -> GateResult:
    """PASS where the policy alarms no more often than its alpha, FAIL where it does, INFEASIBLE where nobody can tell.

    `runs`: two of the same model, or one with two epochs or more; Evidence or JSON. `resamples` is at least 100. Never
    raises.
    """
    found = opened(GATE, [(f"run {number}", run) for number, run in enumerate(runs, 1)], policy, Verdict.FAIL)
    if isinstance(found, GateResult):
        return found
    read, held = found
    inputs = [(f"run {number}", run) for number, run in enumerate(read, 1)]
    numbers: dict[str, Any] = {"resamples": resamples, "seed": seed}
    checks = [
        _infeasible("runs", len(read) in (1, 2), len(read), "one run with epochs, or two of one model: give those")
    ]
    checks.append(_infeasible("resamples", resamples >= 100, resamples, "fewer than 100 resamples say nothing"))
    for role, run in inputs:
        checks += readiness(run, role)
    if not all(check.ok for check in checks):
        return closed(GATE, Verdict.PASS, checks, ORDER, inputs, held, numbers)
    sides, more = _sides(read, held)
    checks += more
    said = []
    if all(check.ok for check in checks):
        verdicts = list(_judged(sides, held, resamples, seed))
        for name, words in (("regression", "calls the same model worse"), ("gain", "finds its gain implausible")):
            alarms = summed(sum(alarm == name for alarm in verdicts), resamples)
            numbers[name] = {"alarms": alarms.alarms, "rate": alarms.rate.value} | {
                "low": alarms.rate.low,
                "high": alarms.rate.high,
                "confidence": alarms.rate.confidence,
            }
            checks.append(_held(name, alarms, held, words))
            said.append(f"the policy {words} in {alarms.alarms} of {resamples} resamples; {_allowed(held)}")
        numbers["tasks"] = [
            {"task": side.match.task, "pairs": len(side.left), "left_out": side.left_out} for side in sides
        ]
    return closed(GATE, Verdict.PASS, checks, ORDER, inputs, held, numbers, said)


def _allowed(policy: Policy) -> str:
    return f"its alpha allows {100 * policy.alpha:g} %"


def _held(name: str, alarms: FalseAlarms, policy: Policy, words: str) -> Check:
    ok = not above(alarms.rate.low, exact(policy.alpha, "alpha"))
    reason = f"the policy {words} in {alarms.alarms} of {alarms.resamples} resamples, and {_allowed(policy)}"
    observed, limit = alarms.rate.value, policy.alpha
    return Check(f"false_{name}", ok, "", observed, limit, reason, Verdict.FAIL, FailureClass.USER_CONFIG_ERROR)


def _infeasible(name: str, ok: bool, observed: Any, reason: str, where: str = "") -> Check:
    return Check(name, ok, where, observed, None, reason, Verdict.INFEASIBLE, FailureClass.USER_CONFIG_ERROR)


def _sides(runs: Sequence[Evidence], policy: Policy) -> tuple[list[Sides], list[Check]]:
    """The two sides of every gated task, and what keeps a task from having them."""
    sides: list[Sides] = []
    checks: list[Check] = []
    for first in runs[0].cells:
        others = [cell for cell in runs[-1].cells if cell.task == first.task]
        alone = [cell for cell in runs[0].cells if cell.task == first.task]
        match = Match(first.task, policy.task(first.task), first, others[0] if others else first)
        if not match.gated:
            continue
        reason = f"the task {first.task} is to be in one cell of each run: choose one model and one prompt"
        checks.append(_infeasible("one_cell", len(others) == len(alone) == 1, len(alone), reason, first.task))
        if checks[-1].ok:
            checks += _same(match, policy)
            checks += _side(match, sides)
    checks.append(_infeasible("gates_something", bool(sides), len(sides), "nothing is gated in these runs"))
    return sides, checks


def _same(match: Match, policy: Policy) -> Iterator[Check]:
    """Fit, and the same model asked the same way: only where it was served may differ."""
    for cell in {id(cell): cell for cell in (match.baseline, match.candidate)}.values():
        yield from fitness(cell, policy)
    yield from _failing(differences(match.baseline, match.candidate, policy))
    left, right = (_model(cell) for cell in (match.baseline, match.candidate))
    reason = "these are two models: an A/A control is of one"
    yield _infeasible("same_model", left == right, None, reason, match.task)


def _model(cell: CellEvidence) -> Any:
    """What the model is, without where it was served; a run of its own where nobody knows."""
    known = cell.facts.get("model", cell.model)
    if not isinstance(known, dict) or not isinstance(known.get("identity"), dict):
        return known
    return {key: value for key, value in known["identity"].items() if key != "endpoint"}


def _failing(checks: Iterable[Check]) -> Iterator[Check]:
    for check in checks:
        yield replace(check, forces=Verdict.FAIL)


def _side(match: Match, sides: list[Sides]) -> Iterator[Check]:
    metric = match.baseline.metric(match.terms.metric)
    scale = scale_of(metric, match.terms) if metric else None
    reason = "there is no number or pass with a declared scale to compare"
    usable = metric is not None and metric.kind != "label" and scale is not None
    yield _infeasible("metric", usable, match.terms.metric, reason, match.task)
    if metric is None or scale is None or not usable:
        return
    reason = f"a margin of {match.terms.margin} allows any loss on the scale of {metric.name}"
    fitting = fits(match.terms, scale)
    yield _infeasible("margin_fits", fitting, match.terms.margin, reason, match.task)
    if not fitting:
        return
    left, right, label = _halves(match, metric)
    whole = np.isfinite(left) & np.isfinite(right)
    reason = "there is one answer to each sample: the same model must answer twice (two runs, or 'epochs: 2')"
    yield _infeasible("two_answers", bool(whole.any()), int(whole.sum()), reason, match.task)
    if whole.any():
        labels = label[whole] if label is not None else None
        dropped = int(np.count_nonzero(~whole))
        sides.append(Sides(match, metric, scale, left[whole], right[whole], labels, dropped))


def _halves(match: Match, metric: Metric) -> tuple[Floats, Floats, Whole | None]:
    """Two runs pair by pair; or one run's epochs, each even one with the odd one after it."""
    if match.baseline is not match.candidate:
        pairs = join(match.baseline, match.candidate)
        return *pairs.values(metric.name), pairs.cluster
    first, second = (_epochs(match.baseline, parity) for parity in (0, 1))
    pairs = join(first, second)
    return *pairs.values(metric.name), pairs.cluster


def _epochs(cell: CellEvidence, parity: int) -> CellEvidence:
    """The even or the odd epochs of a cell, numbered anew."""
    chosen = cell.epoch % 2 == parity
    return replace(
        cell,
        position=cell.position[chosen],
        epoch=cell.epoch[chosen] // 2,
        outcome=cell.outcome[chosen],
        values={name: values[chosen] for name, values in cell.values.items()},
        tokens=cell.tokens[chosen],
        latency=cell.latency[chosen],
    )


def _judged(sides: Sequence[Sides], policy: Policy, resamples: int, seed: int) -> Iterator[str | None]:
    """What the policy says of each resample: `regression`, `gain`, or None for no alarm."""
    drawn = [
        null_pairs(side.left, side.right, None if side.label is None else side.label.tolist(), resamples, seed + number)
        for number, side in enumerate(sides)
    ]
    for together in islice(zip(*drawn, strict=True), resamples):
        estimates = [_estimate(side, *resample) for side, resample in zip(sides, together, strict=True)]
        yield _alarm(sides, estimates, policy)


def _estimate(side: Sides, left: Floats, right: Floats, label: Sequence[int]) -> Estimate:
    terms = side.match.terms
    higher = side.metric.higher_is_better if terms.direction is None else terms.direction == "higher_is_better"
    numbered = None if side.label is None else np.array(label, dtype=np.int64)
    return Estimate(left, right, numbered, side.metric.kind == "pass", side.scale, 1 if higher else -1)


def _alarm(sides: Sequence[Sides], estimates: Sequence[Estimate], policy: Policy) -> str | None:
    cases = []
    for side, seen in zip(sides, estimates, strict=True):
        most = exact(side.match.terms.max_gain, "max_gain") * exact(seen.width, "width")
        chance = policy.rule == "interval" and not above(seen.interval(policy.alpha).low, 0)
        if seen.gain > most and not chance:
            return "gain"
        margin = margin_for(side.match.terms, seen, policy.alpha, point=policy.rule == "point")
        if margin:
            cases.append(Case(seen, seen, seen, margin))
    return "regression" if any(found.verdict is Verdict.REGRESSION for found in decide(cases, policy)) else None
