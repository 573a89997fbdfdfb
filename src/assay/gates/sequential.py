"""`eval --until-decided`: the same question as `compare`, asked while the candidate is still being evaluated.

Bounds come from confidence sequences (`assay.stats.sequential`), which hold at all looks at once: a run may stop at the
first look that decides. What was looked at is not tested once more with fixed bounds: that would add a second chance to
err to the first.

The gate follows all looks again from the first one, from the scores alone: the order of the samples, which is the
plan's, and the block between two looks, which is the policy's, say what each look saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.errors import FailureClass
from assay.gates import blocks, looks, words
from assay.gates.comparable import differences
from assay.gates.compare import (
    ORDER,
    advised,
    anomalies,
    cost_checks,
    infeasible,
    made_alike,
    matched,
    paired_up,
)
from assay.gates.decision import Margin, margin_for
from assay.gates.estimate import FILLS, Estimate, Fill
from assay.gates.evidence import CellEvidence, Evidence, Floats, Metric, Until
from assay.gates.inputs import closed, opened
from assay.gates.looks import Course, Look, Seen
from assay.gates.numbers import Match, Paired, numbers_of
from assay.gates.policy import Policy
from assay.gates.result import Check, GateResult, Verdict, plain
from assay.gates.run import fitness, fits, readiness, scale_of, summary
from assay.stats.exact import above, exact
from assay.stats.power import smallest_difference

GATE = "sequential"
METHOD = "confidence sequence by betting"
DECIDED = (Verdict.ACCEPT, Verdict.REGRESSION)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One task: its pairs, and where it has a margin its course."""

    pair: Paired
    course: Course | None


def before(baseline: Evidence, planned: Evidence, policy: Policy) -> GateResult:
    """Whether a run that has not begun could be decided against the baseline: INCONCLUSIVE, as yet, where it could.

    `planned` has the cells of the plan without an attempt.
    """
    inputs = [("baseline", baseline)]
    checks = [*anomalies(readiness(baseline, "baseline")), *_askable(policy)]
    stand_in = "its answers would be a stand-in model's: synthetic evidence passes no gate"
    kind = FailureClass.EVIDENCE_INVALID
    checks.append(Check("synthetic", not planned.synthetic, "candidate", None, None, stand_in, Verdict.ANOMALOUS, kind))
    if all(check.ok for check in checks):
        matches, matching = matched(baseline, planned, policy)
        checks += matching
        for match in matches:
            checks += advised(match, _alike(match, policy))
            if match.gated:
                checks += _decidable(match, policy)
    return closed(GATE, Verdict.INCONCLUSIVE, checks, ORDER, inputs, policy, {})


def gate(baseline: Any, candidate: Any, policy: Any) -> GateResult:
    """The verdict on a candidate that was looked at while it was evaluated. Takes Evidence and a Policy, or their JSON;
    never raises."""
    found = opened(GATE, [("baseline", baseline), ("candidate", candidate)], policy, Verdict.ANOMALOUS)
    if isinstance(found, GateResult):
        return found
    (base, other), held = found
    inputs = [("baseline", base), ("candidate", other)]
    checks = [*anomalies(readiness(base, "baseline")), *anomalies(readiness(other, "candidate"))]
    if not all(check.ok for check in checks):
        return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, held, {})
    result = look(base, other, held)
    checks = [*result.checks, *_as_recorded(other, result)]
    return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, held, dict(result.numbers), result.reasons)


def _as_recorded(candidate: Evidence, found: GateResult) -> Iterator[Check]:
    """Whether the last look came to what the run says that it did, and only a decision ended it early."""
    until, kind = candidate.until, FailureClass.EVIDENCE_INVALID
    if until is None:
        return
    reason = "it stopped before anything was decided"
    stopped = not candidate.stopped or found.verdict in DECIDED
    yield Check("stopped", stopped, "", found.verdict, None, reason, Verdict.ANOMALOUS, kind)
    seen_at = found.numbers.get("looks") or [{"gain_bounds": []}]
    again = {seen["task"]: [seen["low"], seen["high"]] for seen in seen_at[-1]["gain_bounds"]}
    reason = f"its last look says {until.verdict}, and followed again it comes to {found.verdict}, or to other bounds"
    same = until.verdict in (None, found.verdict) and (until.bounds is None or plain(until.bounds) == plain(again))
    yield Check("as_recorded", same, "", until.verdict, found.verdict, reason, Verdict.ANOMALOUS, kind)


def look(baseline: Evidence, candidate: Evidence, policy: Policy) -> GateResult:
    """The verdict as far as the candidate has been evaluated, whether or not it is sealed yet."""
    inputs = [("baseline", baseline), ("candidate", candidate)]
    checks = [*_askable(policy), *_looked(candidate, baseline, policy)]
    matches, matching = matched(baseline, candidate, policy)
    checks += matching
    if not all(check.ok for check in checks):
        return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, policy, {})
    tasks: list[_Task] = []
    for match in matches:
        checks += advised(match, made_alike(match, policy))
        checks += advised(match, _clusters(match))
        checks += advised(match, _paired(match, policy, tasks))
    return _decided(tasks, checks, inputs, policy)


def _askable(policy: Policy) -> Iterator[Check]:
    reason = "the point rule counts no uncertainty: there is nothing that more samples could decide"
    yield infeasible("rule", policy.rule == "interval", "", policy.rule, "interval", reason)


def _alike(match: Match, policy: Policy) -> Iterator[Check]:
    """Facts, but for those that only an execution shows; the baseline's fitness; the same samples."""
    planned = replace(match.candidate, facts={**match.candidate.facts, "sandbox": match.baseline.facts.get("sandbox")})
    yield from differences(match.baseline, planned, policy)
    yield from anomalies(fitness(match.baseline, policy, "baseline"))
    yield from _clusters(match)
    kind = FailureClass.SAMPLE_ACCOUNTING_FAILED
    left, right = set(match.baseline.samples), set(match.candidate.samples)
    for role, names in (("baseline", sorted(left - right)), ("candidate", sorted(right - left))):
        reason = f"{len(names)} samples are in the {role} only: {words.listed(names)}"
        yield Check("same_samples", not names, match.task, len(names), 0, reason, Verdict.ANOMALOUS, kind)


def _clusters(match: Match) -> Iterator[Check]:
    """A sequence needs independent values: samples that share a cluster are none."""
    key = match.candidate.facts.get("cluster")
    reason = f"its samples come in clusters ({key}), and a sequence takes them one by one: evaluate the whole plan"
    clustered = match.candidate.clusters is not None or match.baseline.clusters is not None or key is not None
    yield infeasible("independent", not clustered, match.task, key, None, reason)


def _decidable(match: Match, policy: Policy) -> Iterator[Check]:
    """Whether there is something to decide by, and where the policy demands a decision, whether there is enough."""
    metric = match.candidate.metric(match.terms.metric)
    scale = scale_of(metric, match.terms) if metric else None
    usable = metric is not None and metric.kind != "label" and metric == match.baseline.metric(match.terms.metric)
    reason = f"{match.terms.metric or 'the primary metric'} is no number or pass that both measure the same way"
    yield infeasible("metric", usable and not match.baseline.aggregate, match.task, match.terms.metric, None, reason)
    reason = "its metric has no declared scale: give the task 'scale: [lowest, highest]' in the policy"
    yield infeasible("declared_scale", scale is not None, match.task, None, None, reason)
    if metric is None or scale is None or not usable:
        return
    reason = f"a margin of {match.terms.margin} allows any loss on a scale that is {scale[1] - scale[0]:g} wide"
    yield infeasible("margin_fits", fits(match.terms, scale), match.task, match.terms.margin, None, reason)
    margin = _margin(match, metric, scale, policy)
    reason = "a share of the baseline's score is no margin where that score is 0, or may be"
    yield infeasible("relative_margin", margin is not None, match.task, match.terms.relative_margin, None, reason)
    if policy.must_decide and margin is not None:
        n, width = len(match.baseline.samples), scale[1] - scale[0]
        least = smallest_difference(n, policy.discordance, policy.alpha, policy.power) if n else None
        enough = least is not None and exact(width * least, "smallest") <= margin.least
        reason = f"{n} samples cannot decide the margin of {float(margin.least):.3g}, not even all at once"
        yield infeasible("decidable", enough, match.task, least, margin.least, reason)


def _looked(candidate: Evidence, baseline: Evidence, policy: Policy) -> Iterator[Check]:
    """Whether it was looked at as it says: by this policy, against this baseline, after these samples."""
    until, kind = candidate.until, FailureClass.EVIDENCE_INVALID
    reason = "it was not evaluated until it was decided: 'assay gate compare' is for runs of a whole plan"
    yield Check("looked", until is not None, "", None, None, reason, Verdict.INFEASIBLE, FailureClass.USER_CONFIG_ERROR)
    if until is None:
        return
    reason = f"it was looked at by another policy ({until.policy[:16]})"
    same = until.policy == policy.digest
    yield Check("same_policy", same, "", until.policy, policy.digest, reason, Verdict.ANOMALOUS, kind)
    reason = f"it was looked at against another baseline ({until.baseline})"
    same = until.baseline == baseline.manifest
    yield Check("same_baseline", same, "", until.baseline, baseline.manifest, reason, Verdict.ANOMALOUS, kind)
    sizes, asked = _sizes(candidate), {cell.task: len(cell.samples) for cell in candidate.cells}
    held = until.block == blocks.block_of(sizes, policy) and 0 < until.looks <= blocks.planned(sizes, until.block)
    reason = "it was not asked in blocks as the policy says"
    whole = held and blocks.cut(sizes, until.block, until.looks) == asked
    yield Check("blocks", whole, "", until.block, None, reason, Verdict.ANOMALOUS, kind)


def _sizes(candidate: Evidence) -> dict[str, int]:
    return {cell.task: len(cell.samples) if cell.of is None else cell.of for cell in candidate.cells}


def _paired(match: Match, policy: Policy, tasks: list[_Task]) -> Iterator[Check]:
    """Pair what was asked so far, and add the task to `tasks`."""
    asked = replace(match, baseline=_among(match.baseline, match.candidate.samples))
    # A share of the baseline's score is taken of its whole score, which no look changes.
    terms = match.terms.model_copy(update={"relative_margin": None})
    found: list[Paired] = []
    yield from paired_up(replace(asked, terms=terms), policy.model_copy(update={"must_decide": False}), found)
    for pair in found:
        scale = scale_of(pair.metric, match.terms)
        margin = _margin(match, pair.metric, scale, policy)
        course = _course(replace(pair, match=asked), scale, margin) if scale and margin else None
        tasks.append(_Task(replace(pair, match=asked), course))


def _among(cell: CellEvidence, samples: Sequence[str]) -> CellEvidence:
    """A cell's attempts at these samples."""
    wanted = set(samples)
    chosen = np.array([sample in wanted for sample in cell.samples], dtype=bool)[cell.position]
    return replace(
        cell,
        position=cell.position[chosen],
        epoch=cell.epoch[chosen],
        outcome=cell.outcome[chosen],
        values={name: values[chosen] for name, values in cell.values.items()},
        tokens=cell.tokens[chosen],
        latency=cell.latency[chosen],
    )


def _margin(match: Match, metric: Metric, scale: tuple[float, float] | None, policy: Policy) -> Margin | None:
    """The margin: a relative one is a share of the baseline's score on all of its samples."""
    cell = match.baseline
    values = cell.values.get(metric.name, np.zeros(0))
    given = np.isfinite(values)
    if scale is None or not given.any() or not (match.terms.bounded and fits(match.terms, scale)):
        return None
    label = cell.position[given] if np.bincount(cell.position[given]).max() > 1 else None
    whole = Estimate(values[given], values[given], label, metric.kind == "pass", scale)
    return margin_for(match.terms, whole, policy.alpha, point=False)


def _course(pair: Paired, scale: tuple[float, float], margin: Margin) -> Course:
    """A task's gains, whether or not any score is there yet: alpha is shared by the same tasks at every look."""
    worst, best = (_gains(pair, scale, fill) for fill in FILLS)
    return Course(pair.match.task, worst, best, margin, scale[1] - scale[0])


def _gains(pair: Paired, scale: tuple[float, float], fill: Fill) -> Floats:
    """One gain a sample, in the order of the looks: its mean over the epochs. What is missing is an extreme."""
    terms, width = pair.match.terms, scale[1] - scale[0]
    higher = pair.metric.higher_is_better if terms.direction is None else terms.direction == "higher_is_better"
    bad, good = scale if higher else (scale[1], scale[0])
    ours, theirs = (bad, good) if fill == "worst" else (good, bad)
    left, right = (
        np.where(np.isfinite(values), values, missing)
        for values, missing in zip(pair.pairs.values(pair.metric.name), (theirs, ours), strict=True)
    )
    many, place = len(pair.match.candidate.samples), pair.match.candidate.position[pair.pairs.right]
    count = np.bincount(place, minlength=many)
    total = np.bincount(place, (right - left) if higher else (left - right), minlength=many)
    unasked = -width if fill == "worst" else width
    found: Floats = np.clip(np.where(count > 0, total / np.maximum(count, 1), unasked), -width, width)
    return found


def _decided(
    tasks: Sequence[_Task], checks: list[Check], inputs: Sequence[tuple[str, Evidence]], policy: Policy
) -> GateResult:
    """Follow the looks, and say what they came to."""
    candidate = inputs[1][1]
    until = candidate.until or Until("", None, 1, 0)
    sizes = _sizes(candidate)
    most = blocks.planned(sizes, until.block)
    taken = [blocks.cut(sizes, until.block, number) for number in range(1, until.looks + 1)]
    gated = [task.course for task in tasks if task.course and task.pair.match.gated]
    followed, levels = looks.follow(gated, taken, policy, most), looks.levels(len(gated), policy)
    last = {seen.task: seen for seen in followed[-1].seen} if followed else {}
    told = []
    for task in tasks:
        # Costs have bounds of one look only: at alpha over the number of looks they hold at whichever is the last.
        seen = last.get(task.pair.match.task) or _shown(task, taken, policy, most)
        costs, told_costs = cost_checks(task.pair, policy, policy.alpha / most)
        numbers = numbers_of(task.pair, None, told_costs, policy)
        numbers["samples"] = {"asked": len(task.pair.match.candidate.samples), "planned": sizes[task.pair.match.task]}
        checks += advised(task.pair.match, costs)
        more = list(_judged(task, seen, numbers, levels if task.pair.match.gated else looks.levels(1, policy), policy))
        checks += advised(task.pair.match, more)
        told.append(numbers)
    said = [str(numbers.pop("says")) for numbers in told if "says" in numbers]
    numbers = _numbers(told, followed, until, most, inputs)
    said.append(_saved(numbers))
    return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, policy, numbers, said)


def _shown(task: _Task, taken: Sequence[Mapping[str, int]], policy: Policy, most: int) -> Seen | None:
    """An advisory task by itself."""
    return looks.follow([task.course], taken, policy, most)[-1].seen[0] if task.course else None


def _judged(
    task: _Task, seen: Seen | None, told: dict[str, Any], levels: tuple[float, float], policy: Policy
) -> Iterator[Check]:
    """The checks that a task's last look amounts to; its numbers are added to `told`."""
    pair, where = task.pair, task.pair.match.task
    if pair.seen is None or task.course is None or seen is None:
        if pair.match.gated:
            reason = "no sample has a usable score in both runs"
            yield Check("margin", None, where, None, None, reason, Verdict.INCONCLUSIVE)
        return
    told |= _bounds(pair.seen, seen, task.course.margin, levels, policy)
    says = _says(pair, pair.seen, seen, task.course, told)
    told["says"] = f"{where}: {says}"
    drift = "its bounds contradict each other: samples did not come in random order, or something changed on the way"
    kind = FailureClass.UNKNOWN
    yield Check("drift", not seen.drifted, where, [seen.low, seen.high], None, drift, Verdict.ANOMALOUS, kind)
    yield _plausible(pair, pair.seen, seen)
    ok = {Verdict.ACCEPT: True, Verdict.REGRESSION: False}.get(seen.verdict)
    yield Check("margin", ok, where, pair.seen.gain, task.course.margin.least, says, seen.verdict)


def _plausible(pair: Paired, found: Estimate, seen: Seen) -> Check:
    """Whether a gain is small enough to believe; one that chance may explain is."""
    most = exact(pair.match.terms.max_gain, "max_gain") * exact(found.width, "width")
    ok = found.gain <= most or not above(seen.low, 0)
    rate = pair.metric.kind == "pass"
    gain, limit = words.size(float(found.gain), rate), words.size(float(most), rate)
    reason = (
        f"a gain of {gain} is more than the {limit} that the policy takes for possible: look for a leak or a change"
    )
    return Check("gain", ok, pair.match.task, found.gain, most, reason, Verdict.ANOMALOUS, FailureClass.UNKNOWN)


def _bounds(found: Estimate, seen: Seen, margin: Margin, levels: tuple[float, float], policy: Policy) -> dict[str, Any]:
    """The numbers of a task by its sequence, in the place of those by an interval of one look."""
    low, high = (seen.low, seen.high) if found.sign > 0 else (-seen.high, -seen.low)
    allowed = {"allowed": margin.measured, "to_accept": margin.least, "to_reject": margin.most}
    value: dict[str, Any] = {"verdict": seen.verdict, "low": low, "high": high, "method": METHOD}
    value["margin"] = {**allowed, "relative": margin.relative}
    value["gain_bounds"] = {"low": seen.low, "low_level": levels[0], "high": seen.high, "high_level": levels[1]}
    value |= {"alpha": max(levels), "confidence": 1 - sum(levels)}
    value["fixed_plan"] = found.fixed(margin.least, policy.alpha, policy.power)
    value["smallest_decidable"] = None
    if seen.verdict is Verdict.INCONCLUSIVE:
        value["samples_needed"] = found.needed(margin.least, policy.alpha, policy.power)
    return value


def _says(pair: Paired, found: Estimate, seen: Seen, course: Course, told: Mapping[str, Any]) -> str:
    """One task's last look as a sentence."""
    rate = pair.metric.kind == "pass"
    before, after = (words.score(float(value.mean()), rate) for value in (found.baseline, found.candidate))
    moved = words.change(found.sign * float(found.gain), rate)
    bounds = words.bounds(told["low"], told["high"], rate)
    head = f"{pair.metric.name} {before} → {after} ({moved}, bounds {bounds} at every look"
    return f"{head}, {seen.samples:,} of {told['samples']['planned']:,} samples); {_verdict(seen, course, told, rate)}"


def _verdict(seen: Seen, course: Course, told: Mapping[str, Any], rate: bool) -> str:
    allowed = words.size(float(course.margin.least), rate)
    if seen.verdict is Verdict.ACCEPT:
        return f"a loss of {allowed} or more is ruled out"
    if seen.verdict is Verdict.REGRESSION:
        if seen.high < -course.margin.most:
            return f"worse than the baseline by more than the margin of {allowed}"
        return f"worse than the baseline beyond chance, and a loss of {allowed} is not ruled out"
    if seen.samples < told["samples"]["planned"]:
        return f"a loss of {allowed} is neither ruled out nor shown as yet"
    needed = told["samples_needed"]
    more = "no number of samples would" if needed is None else f"a new run of a fixed plan of about {needed:,} would"
    return f"a loss of {allowed} is neither ruled out nor shown by all samples of the plan: {more} decide it"


def _numbers(
    tasks: list[dict[str, Any]],
    followed: Sequence[Look],
    until: Until,
    most: int,
    inputs: Sequence[tuple[str, Evidence]],
) -> dict[str, Any]:
    candidate = inputs[1][1]
    asked, size = sum(len(cell.samples) for cell in candidate.cells), sum(_sizes(candidate).values())
    made = sum(cell.finished for cell in candidate.cells)
    attempts = sum(_attempts(cell) for cell in candidate.cells)
    value: dict[str, Any] = {"tasks": tasks, "block": until.block, "looks": [_told(each) for each in followed]}
    value["planned_looks"] = most
    value["samples"] = {"planned": size, "asked": asked, "saved": size - asked, **_against_fixed(tasks, asked)}
    value["attempts"] = {"planned": attempts, "made": made, "not_made": attempts - made}
    return value | {role: [summary(cell) for cell in evidence.cells] for role, evidence in inputs}


def _attempts(cell: CellEvidence) -> int:
    """How many attempts the whole plan has for a cell."""
    if cell.of is None or not cell.samples:
        return cell.planned or 0
    return (cell.planned or 0) * cell.of // len(cell.samples)


def _against_fixed(tasks: Iterable[Mapping[str, Any]], asked: int) -> dict[str, Any]:
    """Samples that plans of fixed size would take for the gated tasks together, and how many fewer were asked."""
    gated = [task for task in tasks if task["gated"]]
    sizes = [task.get("fixed_plan") for task in gated]
    if not sizes or any(size is None for size in sizes):
        return {"fixed_plan": None, "saved_of_fixed_plan": None}
    asked = sum(task["samples"]["asked"] for task in gated)
    fixed = sum(size for size in sizes if size is not None)
    return {"fixed_plan": fixed, "saved_of_fixed_plan": fixed - asked}


def _told(each: Look) -> dict[str, Any]:
    tasks = [
        {"task": seen.task, "samples": seen.samples, "low": seen.low, "high": seen.high, "verdict": seen.verdict}
        for seen in each.seen
    ]
    return {"look": each.number, "verdict": each.verdict, "gain_bounds": tasks}


def _saved(numbers: Mapping[str, Any]) -> str:
    """What stopping early was worth, as a sentence."""
    samples, attempts = numbers["samples"], numbers["attempts"]
    head = f"look {len(numbers['looks'])} of {numbers['planned_looks']}: {samples['asked']:,} of {samples['planned']:,}"
    made = f"{head} samples asked, {attempts['not_made']:,} of {attempts['planned']:,} attempts not made"
    if samples["fixed_plan"] is None:
        return made
    return f"{made}; a plan of fixed size and equal power takes about {samples['fixed_plan']:,} samples"
