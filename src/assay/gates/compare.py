"""`gate compare`: is the candidate no worse than the baseline by more than the policy allows?

Comparability comes first: two runs that were not made alike have no difference worth a test. Then every task is paired
by sample, and the verdict is the first that holds of INFEASIBLE, ANOMALOUS, ACCEPT,
REGRESSION, INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from assay.errors import FailureClass
from assay.gates import costs, judges, words
from assay.gates.comparable import differences
from assay.gates.costs import Increase
from assay.gates.decision import Case, Decision, decide, margin_for
from assay.gates.estimate import FILLS, Estimate, estimate
from assay.gates.evidence import CODES, CellEvidence, Evidence, Metric
from assay.gates.inputs import closed, opened
from assay.gates.judges import Admission
from assay.gates.numbers import Match, Paired, numbers_of
from assay.gates.pairs import Pairs, join
from assay.gates.policy import Policy
from assay.gates.result import Check, GateResult, Verdict
from assay.gates.run import external, fitness, fits, marked_in, readiness, scale_of, summary, value_of
from assay.records import Outcome
from assay.stats.exact import above, exact
from assay.stats.paired import PairedTable, mcnemar
from assay.stats.power import smallest_difference

GATE = "compare"
ORDER = (Verdict.INFEASIBLE, Verdict.ANOMALOUS, Verdict.REGRESSION, Verdict.INCONCLUSIVE)
_MOVED = {"infra_error": (Outcome.INFRA_ERROR, Outcome.TIMEOUT, Outcome.SKIPPED), "truncated": (Outcome.TRUNCATED,)}


def gate(baseline: Any, candidate: Any, policy: Any, admissions: Sequence[Admission] = ()) -> GateResult:
    """The verdict on a candidate. Takes Evidence and a Policy, or their JSON; never raises.

    `admissions`: of the models whose scores the policy gates by.
    """
    found = opened(GATE, [("baseline", baseline), ("candidate", candidate)], policy, Verdict.ANOMALOUS)
    if isinstance(found, GateResult):
        return found
    (base, other), held = found
    inputs = [("baseline", base), ("candidate", other)]
    checks = [*anomalies(readiness(base, "baseline")), *anomalies(readiness(other, "candidate"))]
    checks += _fixed(base, other)
    if not all(check.ok for check in checks):
        return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, held, {}, admissions=admissions)
    matches, matching = matched(base, other, held)
    checks += matching
    paired: list[Paired] = []
    for match in matches:
        checks += advised(match, made_alike(match, held, admissions))
        checks += advised(match, paired_up(match, held, paired))
    decided = _decided(paired, held)
    tasks = []
    for pair, decision in zip(paired, decided, strict=True):
        more, told = _judged(pair, decision, held)
        checks += advised(pair.match, more)
        tasks.append(told)
    said = [str(task.pop("says")) for task in tasks if "says" in task]
    numbers: dict[str, Any] = {"tasks": tasks}
    for role, run in inputs:
        numbers[role] = [summary(cell, held.task(cell.task)) for cell in run.cells]
        said += [f"{role} {text}" for cell in run.cells for text in marked_in(cell, held.task(cell.task))]
    return closed(GATE, Verdict.ACCEPT, checks, ORDER, inputs, held, numbers, said, admissions)


def _fixed(baseline: Evidence, candidate: Evidence) -> Iterator[Check]:
    """Bounds of one look are for samples whose number nobody chose by what they showed."""
    until, pointer = candidate.until, "its verdict is in verdicts/"
    if baseline.until:
        reason = "it stopped when it was decided, and what made it stop would count twice: evaluate the whole plan"
        yield infeasible("whole_plan", not baseline.stopped, "baseline", None, None, reason)
    if until:
        reason = f"it stopped when it was decided, and bounds of one look would err more: {pointer}"
        yield infeasible("whole_plan", not candidate.stopped, "candidate", None, None, reason)
        again = until.baseline is not None and until.baseline == baseline.manifest and not candidate.stopped
        reason = f"it was looked at against this baseline, and a second test would err twice as often: {pointer}"
        yield infeasible("first_test", not again, "candidate", None, None, reason)


def anomalies(checks: Iterable[Check]) -> Iterator[Check]:
    """What makes a run unfit by itself makes a comparison with it anomalous."""
    for check in checks:
        yield replace(check, forces=Verdict.ANOMALOUS) if check.forces is Verdict.FAIL else check


def advised(match: Match, checks: Iterable[Check]) -> Iterator[Check]:
    """Of an advisory task everything is told, and nothing decides."""
    for check in checks:
        yield check if match.gated else replace(check, forces=None)


def matched(baseline: Evidence, candidate: Evidence, policy: Policy) -> tuple[list[Match], list[Check]]:
    """The tasks that both have, each with its two cells; and what is wrong with the sets of tasks."""
    checks: list[Check] = []
    sides = [("baseline", _by_task(baseline)), ("candidate", _by_task(candidate))]
    for role, tasks in sides:
        for task, cells in tasks.items():
            names = words.listed([cell.name for cell in cells])
            reason = f"{len(cells)} cells have the task {task} ({names}): choose one model and one prompt"
            ok = len(cells) == 1
            checks.append(infeasible("one_cell", ok, f"{role} {task}", len(cells), 1, reason))
    left, right = sides[0][1], sides[1][1]
    checks += _task_sets(left, right, policy)
    both = [task for task in left if task in right and len(left[task]) == len(right[task]) == 1]
    matches = [Match(task, policy.task(task), left[task][0], right[task][0]) for task in sorted(both)]
    gated = [match.task for match in matches if match.gated]
    reason = "nothing is gated: the policy has no margin for any task that both runs have"
    checks.append(infeasible("gates_something", bool(gated), "", gated, "at least one task", reason))
    return matches, checks


def _by_task(run: Evidence) -> dict[str, list[CellEvidence]]:
    tasks: dict[str, list[CellEvidence]] = {}
    for cell in run.cells:
        tasks.setdefault(cell.task, []).append(cell)
    return tasks


def _task_sets(left: Iterable[str], right: Iterable[str], policy: Policy) -> Iterator[Check]:
    left, right = set(left), set(right)
    for task in policy.wanted:
        reason = f"the policy requires the task {task}, and neither run has it"
        yield infeasible("required_task", task in left | right, "", None, task, reason)
    lonely = sorted(left ^ right)
    barred = [task for task in lonely if "tasks" not in policy.allow or task in policy.wanted]
    sides = ", ".join(f"{task} (only the {'baseline' if task in left else 'candidate'})" for task in lonely)
    reason = f"the runs have different tasks: {sides}"
    yield Check(
        "same_tasks", not barred, "", lonely, [], reason, Verdict.ANOMALOUS, FailureClass.SAMPLE_ACCOUNTING_FAILED
    )


def infeasible(name: str, ok: bool, where: str, observed: Any, limit: Any, reason: str) -> Check:
    """A check that, where it fails, means that these runs cannot be decided by this policy."""
    return Check(name, ok, where, observed, limit, reason, Verdict.INFEASIBLE, FailureClass.USER_CONFIG_ERROR)


def made_alike(match: Match, policy: Policy, admissions: Sequence[Admission] = ()) -> Iterator[Check]:
    """Facts, then who judged, then each run's own fitness."""
    yield from differences(match.baseline, match.candidate, policy)
    left, right = (cell.judged_by(cell.metric(match.terms.metric)) for cell in (match.baseline, match.candidate))
    if left and right:
        yield from judges.same(left, right, match.task)
    yield from anomalies(fitness(match.baseline, policy, "baseline", admissions))
    yield from anomalies(fitness(match.candidate, policy, "candidate", admissions))
    yield from anomalies(external(match.baseline, policy))


def paired_up(match: Match, policy: Policy, paired: list[Paired]) -> Iterator[Check]:
    """Pair a task's samples, and add it to `paired` where its metric is one that can be compared."""
    metric = match.baseline.metric(match.terms.metric)
    other = match.candidate.metric(match.terms.metric)
    if metric is None or other is None or metric != other or metric.kind == "label":
        named = match.terms.metric or "a primary metric"
        reason = f"{named} is not a number or a pass that both runs measure the same way"
        yield infeasible("metric", False, match.task, named, None, reason)
        return
    scale = scale_of(metric, match.terms)
    yield from _scaled(match, metric, scale)
    if match.baseline.aggregate or match.candidate.aggregate:
        yield _aggregates(match, metric, policy)
        return
    pairs = join(match.baseline, match.candidate)
    yield from _accounted(match, pairs)
    yield from _moved(match, pairs, policy)
    cases = _cases(match, metric, scale, pairs) if scale else None
    case = None
    if cases and match.terms.bounded and fits(match.terms, scale):
        margin = margin_for(match.terms, cases[0], policy.alpha, point=policy.rule == "point")
        reason = "a share of the baseline's score is no margin where that score is 0, or may be"
        share = match.terms.relative_margin
        yield infeasible("relative_margin", margin is not None, match.task, share, None, reason)
        case = Case(*cases, margin) if margin else None
    yield from _feasible(match, pairs, case, policy)
    paired.append(Paired(match, metric, pairs, cases[0] if cases else None, case))


def _scaled(match: Match, metric: Metric, scale: tuple[float, float] | None) -> Iterator[Check]:
    """The scale is declared, the policy's is not another one, and the margin fits on it."""
    reason = f"{metric.name} has no declared scale: give the task 'scale: [lowest, highest]' in the policy"
    yield infeasible("declared_scale", scale is not None, match.task, None, None, reason)
    if scale is None:
        return
    asked = match.terms.scale
    reason = f"the policy says that {metric.name} runs from {asked}, its scorer says {list(scale)}"
    yield infeasible("same_scale", asked is None or tuple(asked) == scale, match.task, asked, scale, reason)
    margin = match.terms.margin
    reason = f"a margin of {margin} allows any loss on a scale that is {scale[1] - scale[0]:g} wide"
    yield infeasible("margin_fits", fits(match.terms, scale), match.task, margin, scale[1] - scale[0], reason)


def _accounted(match: Match, pairs: Pairs) -> Iterator[Check]:
    """Every attempt of either side has a partner."""
    for role, names in (("baseline", pairs.only_left), ("candidate", pairs.only_right)):
        reason = f"{len(names)} samples have attempts in the {role} only: {words.listed(names)}"
        kind = FailureClass.SAMPLE_ACCOUNTING_FAILED
        yield Check("same_samples", not names, match.task, len(names), 0, reason, Verdict.ANOMALOUS, kind)


def _moved(match: Match, pairs: Pairs, policy: Policy) -> Iterator[Check]:
    """Whether infrastructure, truncation and extraction fared alike: where not, scores say more of the harness.

    By the interval rule a difference beyond the limit must also be one that chance does not explain (McNemar's exact
    test, two-sided); by the point rule its size alone counts.
    """
    for name, (left, right) in _rates(pairs).items():
        table = PairedTable(*_crossed(left, right)) if len(left) else None
        if table is None:
            continue
        far = abs(table.delta) > exact(policy.outcomes.moved, "moved")
        chance = policy.rule == "interval" and mcnemar(table).exact > policy.alpha
        before, after = int(left.sum()), int(right.sum())
        reason = f"the rate of {name.replace('_', ' ')} moved from {before} to {after} of {len(left)} attempts"
        observed = {"baseline": before, "candidate": after, "of": len(left)}
        ok, limit = not far or chance, policy.outcomes.moved
        yield Check(f"moved_{name}", ok, match.task, observed, limit, reason, Verdict.ANOMALOUS, FailureClass.UNKNOWN)


def _rates(pairs: Pairs) -> dict[str, tuple[Any, Any]]:
    """For each kind of failure, whether each pair's two attempts met it."""
    sides = ((pairs.baseline, pairs.left), (pairs.candidate, pairs.right))
    found = {}
    for name, kinds in _MOVED.items():
        codes = [CODES[kind.value] for kind in kinds]
        left, right = (np.isin(cell.outcome[places], codes) for cell, places in sides)
        found[name] = (left, right)
    before, after = pairs.values("extracted")
    asked = ~(np.isnan(before) | np.isnan(after))
    found["extraction"] = (before[asked] == 0, after[asked] == 0)
    return found


def _crossed(left: Any, right: Any) -> tuple[int, int, int, int]:
    parts = (left & right, left & ~right, ~left & right, ~left & ~right)
    both, only_left, only_right, neither = (int(np.count_nonzero(part)) for part in parts)
    return both, only_left, only_right, neither


def _cases(
    match: Match, metric: Metric, scale: tuple[float, float], pairs: Pairs
) -> tuple[Estimate, Estimate, Estimate] | None:
    """The estimate as seen, at worst and at best; None where no scores can be paired or they are off their scale."""
    sides = pairs.values(metric.name)
    if not (~np.isnan(sides[0]) & ~np.isnan(sides[1])).any() or not all(_sound(side, metric, scale) for side in sides):
        return None
    higher = metric.higher_is_better if match.terms.direction is None else match.terms.direction == "higher_is_better"
    seen = estimate(pairs, metric, 1 if higher else -1, scale)
    if seen.n == len(pairs):
        return seen, seen, seen
    worst, best = (estimate(pairs, metric, seen.sign, scale, fill) for fill in FILLS)
    return seen, worst, best


def _sound(values: Any, metric: Metric, scale: tuple[float, float]) -> bool:
    given = values[~np.isnan(values)]
    if metric.kind == "pass":
        return bool(np.isin(given, (0.0, 1.0)).all())
    return bool(((given >= scale[0]) & (given <= scale[1])).all())


def _feasible(match: Match, pairs: Pairs, case: Case | None, policy: Policy) -> Iterator[Check]:
    """Whether the planned samples can decide at all, where the policy demands that they do."""
    if not policy.must_decide or case is None or not match.gated:
        return
    n, width = len(match.baseline.samples), case.seen.width
    smallest = smallest_difference(n, policy.discordance, policy.alpha, policy.power) if n else None
    fits = smallest is not None and exact(width * smallest, "smallest") <= case.margin.least
    said = "none" if smallest is None else f"{width * smallest:.3g}"
    reason = (
        f"{n} samples decide a difference of {said} at best (at {100 * policy.discordance:g} % discordance), and the "
        f"margin is {float(case.margin.least):.3g}: the policy demands a decision that they cannot give"
    )
    observed = None if smallest is None else width * smallest
    yield infeasible("decidable", fits, match.task, observed, case.margin.least, reason)


def _aggregates(match: Match, metric: Metric, policy: Policy) -> Check:
    """Two means without samples: by the point rule they can be compared, by bounds they cannot."""
    before, after = (value_of(cell, metric) for cell in (match.baseline, match.candidate))
    where, bounded = match.task, match.terms.bounded
    if before is None or after is None or policy.rule == "interval" or not bounded:
        reason = "only totals are known, not samples: nothing can be paired, so chance cannot be told from a change"
        return Check("paired", None, where, None, None, reason, Verdict.INCONCLUSIVE)
    higher = metric.higher_is_better if match.terms.direction is None else match.terms.direction == "higher_is_better"
    drop = (before - after) if higher else (after - before)
    margin = exact(match.terms.margin, "margin") if match.terms.margin else before * exact(
        match.terms.relative_margin or 0, "relative_margin"
    )  # fmt: skip
    if margin <= 0:
        reason = "a share of the baseline's score is no margin where that score is 0"
        return infeasible("relative_margin", False, where, before, None, reason)
    reason = (
        f"{metric.name} is worse by {float(drop):.4g}, and {float(margin):.4g} is allowed (totals only, point rule)"
    )
    return Check("margin", drop <= margin, where, drop, margin, reason, Verdict.REGRESSION)


def _decided(paired: Sequence[Paired], policy: Policy) -> list[Decision | None]:
    """The decision on each task: gated ones under the correction, advisory ones each by itself."""
    gated = [pair.case for pair in paired if pair.match.gated and pair.case]
    together = iter(decide(gated, policy))
    found: list[Decision | None] = []
    for pair in paired:
        if pair.case is None:
            found.append(None)
        else:
            found.append(next(together) if pair.match.gated else decide([pair.case], policy)[0])
    return found


def _judged(pair: Paired, decision: Decision | None, policy: Policy) -> tuple[list[Check], dict[str, Any]]:
    """The checks that a decision and the costs of a task amount to, and its numbers."""
    task = pair.match.task
    checks, grown = cost_checks(pair, policy, policy.alpha)
    told = numbers_of(pair, decision, grown, policy)
    if pair.case is None or decision is None:
        if pair.match.gated:
            reason = "no sample has a usable score in both runs"
            checks.append(Check("margin", None, task, None, None, reason, Verdict.INCONCLUSIVE))
        return checks, told
    says = words.verdict(pair.metric, pair.case, decision, policy, told["samples_needed"])
    ok = {Verdict.ACCEPT: True, Verdict.REGRESSION: False}.get(decision.verdict)
    told["says"] = f"{task}: {says}"
    checks.append(_plausible(pair, pair.case, policy))
    margin = pair.case.margin.least
    checks.append(Check("margin", ok, task, pair.case.seen.gain, margin, says, decision.verdict))
    return checks, told


def cost_checks(pair: Paired, policy: Policy, alpha: float) -> tuple[list[Check], dict[str, Increase]]:
    """What tokens and latency amount to, with bounds held at `alpha`."""
    terms = pair.match.terms
    grown = {
        what: costs.increase(*costs.of(pair.pairs, what), pair.pairs.cluster, alpha) for what in ("tokens", "latency")
    }
    limits = (terms.max_tokens_increase if pair.match.baseline.generates else None, terms.max_latency_increase)
    named = (("verbosity", "tokens", "completion tokens"), ("latency", "latency", "latency"))
    point = policy.rule == "point"
    checks = [
        costs.check(name, grown[what], limit, pair.match.task, said, point=point)
        for (name, what, said), limit in zip(named, limits, strict=True)
    ]
    return checks, grown


def _plausible(pair: Paired, case: Case, policy: Policy) -> Check:
    """Whether a gain is small enough to believe: by the interval rule only one that chance does not explain is none."""
    seen = case.seen
    most = exact(pair.match.terms.max_gain, "max_gain") * exact(seen.width, "width")
    chance = policy.rule == "interval" and not above(seen.interval(policy.alpha).low, 0)
    ok = seen.gain <= most or chance
    rate = pair.metric.kind == "pass"
    found, limit = words.size(float(seen.gain), rate), words.size(float(most), rate)
    reason = (
        f"a gain of {found} is more than the {limit} that the policy takes for possible: look for a leak or a change"
    )
    return Check("gain", ok, pair.match.task, seen.gain, most, reason, Verdict.ANOMALOUS, FailureClass.UNKNOWN)
