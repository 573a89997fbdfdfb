"""`gate run`: is this run fit to be compared? It must be whole, measured, and no more broken than the policy allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from assay.errors import FailureClass
from assay.gates import judges
from assay.gates.evidence import CODES, CellEvidence, Evidence, Metric
from assay.gates.inputs import closed, opened
from assay.gates.judges import Admission
from assay.gates.policy import Policy, Terms
from assay.gates.result import Check, GateResult, Verdict
from assay.records import Outcome
from assay.stats.exact import exact

GATE = "run"
ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE)
_TIERS = ("none", "macos", "reduced", "full")
_LIMITED = ("infra_error", "timeout", "skipped", "scorer_error", "empty", "truncated", "refused")
_INFRASTRUCTURE = (Outcome.INFRA_ERROR, Outcome.TIMEOUT, Outcome.SKIPPED)
_POINTS = Fraction(5, 100)
LARGE, SMALL = 1e12, 1e-9


def gate(evidence: Any, policy: Any, admissions: Sequence[Admission] = ()) -> GateResult:
    """PASS, FAIL, or INCONCLUSIVE for a run that has not ended. Takes evidence and a policy, or JSON; never raises.

    `admissions`: of the models whose scores the policy gates by.
    """
    found = opened(GATE, [("run", evidence)], policy, Verdict.FAIL)
    if isinstance(found, GateResult):
        return found
    (run,), held = found
    checks = [*readiness(run, "")]
    if all(check.ok for check in checks):
        checks += required(run, "", held)
        for cell in run.cells:
            shown = held.task(cell.task).tier == "advisory"
            found_here = (*fitness(cell, held, admissions=admissions), *external(cell, held))
            checks += [replace(check, forces=None) if shown else check for check in found_here]
    numbers = {"cells": [summary(cell, held.task(cell.task)) for cell in run.cells]}
    fit = "fit to be compared: every attempt is accounted for and every rate is within the policy"
    if run.stopped:
        fit = f"fit, and decided: it {_stop(run)}, and every attempt up to there is accounted for and within the policy"
    marked = [text for cell in run.cells for text in marked_in(cell, held.task(cell.task))]
    said = [*marked, *([] if any(check.ok is not True for check in checks) else [fit])]
    return closed(GATE, Verdict.PASS, checks, ORDER, [("run", run)], held, numbers, said, admissions)


def marked_in(cell: CellEvidence, terms: Terms) -> list[str]:
    """What is said of the judging behind a cell's gated metric, though it decides nothing."""
    judged = cell.judged_by(cell.metric(terms.metric))
    return judges.told(judged, cell.name) if judged else []


def readiness(run: Evidence, where: str) -> Iterator[Check]:
    """Whether there is evidence at all: sealed, undamaged, and of a real model."""
    if run.state in ("running", "resumable"):
        yield _check(
            "state", False, where, run.state, "sealed", run.why, FailureClass.INFRA_TRANSIENT, Verdict.INCONCLUSIVE
        )
        return
    if run.state != "sealed":
        reason = run.why or f"the run is {run.state}"
        yield _check("state", False, where, run.state, "sealed", reason, _class(run))
        return
    yield _check("state", True, where, run.state, "sealed", "")
    stand_in = "answers of a stand-in model are in it: synthetic evidence passes no gate"
    yield _check("synthetic", not run.synthetic, where, run.synthetic, False, stand_in, FailureClass.EVIDENCE_INVALID)
    empty = "there is no cell in it: nothing was measured"
    yield _check("cells", bool(run.cells), where, len(run.cells), 1, empty, FailureClass.SAMPLE_ACCOUNTING_FAILED)
    if run.until is not None and run.stopped:
        reason = f"it stopped at look {run.until.looks}, which had decided nothing ({run.until.verdict})"
        sound = run.until.verdict in ("ACCEPT", "REGRESSION")
        yield _check("decided", sound, where, run.until.verdict, None, reason, FailureClass.EVIDENCE_INVALID)
    names = [cell.name for cell in run.cells]
    twice = "two cells have the same model, prompt and task"
    yield _check(
        "cells_unique", len(set(names)) == len(names), where, len(names), len(set(names)), twice,
        FailureClass.SAMPLE_ACCOUNTING_FAILED,
    )  # fmt: skip


def _stop(run: Evidence) -> str:
    asked, planned = (
        sum(sizes) for sizes in zip(*((len(cell.samples), cell.of or 0) for cell in run.cells), strict=True)
    )
    return f"stopped because it was decided, after {asked} of {planned} samples"


def _class(run: Evidence) -> FailureClass:
    if run.state == "damaged":
        return FailureClass.EVIDENCE_INVALID
    try:
        return FailureClass(run.error or "")
    except ValueError:
        return FailureClass.UNKNOWN


def required(run: Evidence, where: str, policy: Policy) -> Iterator[Check]:
    """Whether the tasks are there that the policy wants."""
    tasks = {cell.task for cell in run.cells}
    for task in policy.wanted:
        reason = f"the policy requires the task {task}, and the run has not got it"
        yield _check(
            "required_task", task in tasks, where, task in tasks, task, reason, FailureClass.SAMPLE_ACCOUNTING_FAILED
        )


def fitness(
    cell: CellEvidence, policy: Policy, role: str = "", admissions: Sequence[Admission] = ()
) -> Iterator[Check]:
    """Everything that one cell must hold to by itself; where the policy gates by judges, their admissions too."""
    where = f"{role} ({cell.name})" if role else cell.name
    if cell.aggregate and not cell.finished:
        yield from _aggregate(cell, where)
        return
    yield from _accounting(cell, where)
    yield from _health(cell, where)
    yield from _outcomes(cell, policy, where)
    terms = policy.task(cell.task)
    judged = cell.judged_by(cell.metric(terms.metric))
    if judged:
        yield from judges.checks(judged, str(terms.metric), policy.judges, admissions, where)
    yield from _scores(cell, terms, where)
    if cell.executes:
        yield from _execution(cell, policy, where)


def _aggregate(cell: CellEvidence, where: str) -> Iterator[Check]:
    """What can be said of a cell of which only sums are known."""
    for name, (value, count) in cell.aggregate.items():
        metric = cell.metric(name) or Metric(name)
        accounting = FailureClass.SAMPLE_ACCOUNTING_FAILED
        yield _check("counted", count > 0, where, count, 1, f"{name} is of no samples: 0 of 0 is no score", accounting)
        low, high = scale_of(metric, None) or (-np.inf, np.inf)
        sound = bool(np.isfinite(value)) and low <= value <= high
        reason = f"{name} is {value}, outside its scale {low:g} to {high:g}"
        yield _check("scale", sound, where, value, [low, high], reason, FailureClass.EVIDENCE_INVALID)


def _accounting(cell: CellEvidence, where: str) -> Iterator[Check]:
    """Counts are there, positive, and equal to the plan's; every attempt is there once."""
    accounting = FailureClass.SAMPLE_ACCOUNTING_FAILED
    reason = "the plan's number of attempts is missing" if cell.planned is None else "no attempt was planned"
    yield _check("planned", bool(cell.planned), where, cell.planned, "at least 1", reason, accounting)
    reason = f"{cell.finished} of {cell.planned} planned attempts have ended"
    yield _check("complete", cell.finished == cell.planned, where, cell.finished, cell.planned, reason, accounting)
    distinct = len(set(cell.samples))
    reason = f"{len(cell.samples) - distinct} sample ids are there twice"
    yield _check("sample_ids", distinct == len(cell.samples), where, distinct, len(cell.samples), reason, accounting)
    unique = _distinct(cell)
    reason = f"{cell.finished - unique} attempts are there twice"
    yield _check("attempts_unique", unique == cell.finished, where, unique, cell.finished, reason, accounting)
    covered = int(np.count_nonzero(np.bincount(cell.position, minlength=1)))
    reason = f"{len(cell.samples) - covered} of {len(cell.samples)} samples were never tried"
    yield _check(
        "samples_tried", covered == len(cell.samples) > 0, where, covered, len(cell.samples), reason, accounting
    )


def _distinct(cell: CellEvidence) -> int:
    """How many different attempts there are."""
    if not cell.finished:
        return 0
    order = np.lexsort((cell.epoch, cell.position))
    position, epoch = cell.position[order], cell.epoch[order]
    return 1 + int(np.count_nonzero((position[1:] != position[:-1]) | (epoch[1:] != epoch[:-1])))


def _health(cell: CellEvidence, where: str) -> Iterator[Check]:
    """Whether anything answered at all."""
    if not cell.finished:
        return
    failed = sum(cell.count(outcome) for outcome in _INFRASTRUCTURE)
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(cell.errors.items()))
    reason = f"no attempt got an answer{f' ({kinds})' if kinds else ''}: the deployment is not serving"
    yield _check(
        "answered",
        failed < cell.finished,
        where,
        cell.finished - failed,
        1,
        reason,
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    )


def _outcomes(cell: CellEvidence, policy: Policy, where: str) -> Iterator[Check]:
    """How many attempts ended in each way that is limited, and how many answers held nothing to score."""
    for name in _LIMITED:
        count, words = cell.count(Outcome(name)), name.replace("_", " ")
        yield _rate(
            name, count, cell.finished, getattr(policy.outcomes, name), where, f"ended {words}", _kind_of(name, cell)
        )
    found = cell.values.get("extracted")
    if found is not None:
        asked = int(np.count_nonzero(~np.isnan(found)))
        missed = int(np.count_nonzero(found == 0))
        limit = policy.outcomes.extraction
        yield _rate(
            "extraction", missed, asked, limit, where, "held no answer that could be found", FailureClass.UNKNOWN
        )


def _kind_of(outcome: str, cell: CellEvidence) -> FailureClass:
    if outcome in ("infra_error", "timeout", "skipped"):
        return FailureClass.INFRA_TRANSIENT
    if outcome == "scorer_error":
        # A sandbox that fails fails for all programs; any other scorer that fails could not judge.
        return FailureClass.SYSTEMIC if cell.executes else FailureClass.EVAL_JUDGE_FAILED
    return FailureClass.UNKNOWN


def _rate(name: str, count: int, of: int, limit: float, where: str, words: str, kind: FailureClass) -> Check:
    """Compared as whole numbers, so that exactly the limit is within it."""
    within = count <= exact(limit, name) * of
    reason = f"{count} of {of} attempts {words}; the policy allows {_percent(limit)}"
    return _check(name, within, where, count, f"{_percent(limit)} of {of}", reason, kind)


def _scores(cell: CellEvidence, terms: Terms, where: str) -> Iterator[Check]:
    """Whether there is a score for all that can be scored, finite and on its declared scale."""
    metric = cell.metric(terms.metric)
    if metric is None:
        what = f"no metric {terms.metric!r}{_several(cell, terms.metric)}" if terms.metric else "no scores"
        yield _check(
            "metric", False, where, None, terms.metric, f"there are {what} in it", FailureClass.SAMPLE_ACCOUNTING_FAILED
        )
        return
    values = cell.values.get(metric.name, np.full(cell.finished, np.nan))
    scorable = np.isin(cell.outcome, [CODES[outcome.value] for outcome in Outcome if outcome.scorable])
    judged = cell.judged_by(metric)
    missing = int(np.count_nonzero(scorable & np.isnan(values)))
    missing -= min(missing, judged.pending) if judged else 0  # what is pending has a check of its own
    reason = f"{missing} answers have no {metric.name}: a missing score is no score of 0"
    yield _check("scored", missing == 0, where, missing, 0, reason, FailureClass.SAMPLE_ACCOUNTING_FAILED)
    if judged:  # people may judge an answer that a scorer failed on
        scorable |= cell.outcome == CODES[Outcome.SCORER_ERROR.value]
    stray = int(np.count_nonzero(~scorable & ~np.isnan(values)))
    reason = f"{stray} attempts without an answer have a {metric.name} all the same"
    yield _check("stray_scores", stray == 0, where, stray, 0, reason, FailureClass.EVIDENCE_INVALID)
    given = values[~np.isnan(values)]
    infinite = int(np.count_nonzero(np.isinf(given)))
    reason = f"{infinite} values of {metric.name} are not finite"
    yield _check("finite", infinite == 0, where, infinite, 0, reason, FailureClass.EVIDENCE_INVALID)
    if (scale := scale_of(metric, terms)) is not None:
        off = int(np.count_nonzero((given < scale[0]) | (given > scale[1])))
        if metric.kind == "pass":
            off = int(np.count_nonzero((given != 0) & (given != 1)))
        reason = f"{off} values of {metric.name} are off its scale, {scale[0]:g} to {scale[1]:g}"
        yield _check("scale", off == 0, where, off, 0, reason, FailureClass.EVIDENCE_INVALID)


def _several(cell: CellEvidence, name: str) -> str:
    """The judged metrics that a short name may mean."""
    found = [metric.name for metric in cell.judged_metrics if metric.name.rpartition(".")[2] == name]
    return f" (it may be {' or '.join(found)}: write it whole)" if len(found) > 1 else ""


def scale_of(metric: Metric, terms: Terms | None) -> tuple[float, float] | None:
    """A metric's scale: 0 to 1 for what passes, else as the scorer declares it, else as the policy does.

    Ends beyond 1e12, or closer than 1e-9, are none: sums over such scales would overflow, or vanish.
    """
    if metric.kind == "pass":
        return 0.0, 1.0
    low, high = metric.low, metric.high
    if low is not None and high is not None:
        return (low, high) if low >= -LARGE and high <= LARGE and high - low >= SMALL else None
    return terms.scale if terms else None


def fits(terms: Terms, scale: tuple[float, float] | None) -> bool:
    """Whether a loss on this scale can be larger than the margin."""
    if scale is None or terms.margin is None:
        return True
    return exact(terms.margin, "margin") < exact(scale[1], "scale") - exact(scale[0], "scale")


def _execution(cell: CellEvidence, policy: Policy, where: str) -> Iterator[Check]:
    """How the code was confined, and whether the reference solutions passed."""
    asked = policy.execution
    known = cell.tier in _TIERS
    reason = f"code was executed at the sandbox tier {cell.tier!r}; the policy asks for {asked.tier!r}"
    enough = known and _TIERS.index(str(cell.tier)) >= _TIERS.index(asked.tier)
    yield _check("sandbox_tier", enough, where, cell.tier, asked.tier, reason, FailureClass.SYSTEMIC)
    words = "could have forged their own outcome"
    yield _rate(
        "forgeable", cell.forgeable, cell.finished, asked.forgeable, where, words, FailureClass.EVIDENCE_INVALID
    )
    if not asked.controls:
        return
    controls = cell.controls
    reason = "no reference solution was executed: nothing shows that the harness works"
    executed = controls is not None and controls.executed > 0
    yield _check("controls", executed, where, controls.executed if controls else 0, 1, reason, FailureClass.SYSTEMIC)
    if controls and executed:
        passed = controls.executed - len(controls.failed)
        named = ", ".join(controls.failed[:5])
        reason = (
            f"{len(controls.failed)} of {controls.executed} reference solutions failed ({named}): the harness is broken"
        )
        enough = passed >= exact(asked.controls, "controls") * controls.executed
        yield _check(
            "control",
            enough,
            where,
            passed,
            f"{_percent(asked.controls)} of {controls.executed}",
            reason,
            FailureClass.SYSTEMIC,
        )


def external(cell: CellEvidence, policy: Policy) -> Iterator[Check]:
    """Whether the score agrees with the published one, where the policy names one."""
    terms = policy.task(cell.task)
    published, metric = terms.external, cell.metric(terms.metric)
    if published is None or metric is None:
        return
    value = value_of(cell, metric)
    kind = FailureClass.EXTERNAL_BASELINE_MISMATCH
    source = f" ({published.source})" if published.source else ""
    scale = scale_of(metric, terms)
    tolerance = _tolerance(published.tolerance, scale)
    if value is None or tolerance is None:
        reason = (
            f"cannot be held against the published {published.score:g}: {'no score' if value is None else 'no scale'}"
        )
        yield _check("external", False, cell.name, None, published.score, reason, kind)
        return
    off = abs(value - exact(published.score, "score"))
    reason = (
        f"{metric.name} is {float(value):.4g}, published is {published.score:g}{source}: off by {float(off):.4g}, "
        f"more than {float(tolerance):g}"
    )
    yield _check("external", off <= tolerance, cell.name, value, [published.score, float(tolerance)], reason, kind)


def _tolerance(given: float | None, scale: tuple[float, float] | None) -> Fraction | None:
    if given is not None:
        return exact(given, "tolerance")
    return _POINTS * (exact(scale[1], "scale") - exact(scale[0], "scale")) if scale else None


def value_of(cell: CellEvidence, metric: Metric) -> Fraction | None:
    """The mean of a cell's metric, exactly; None where there is none."""
    values = cell.values.get(metric.name, np.zeros(0))
    given = values[np.isfinite(values)]
    if len(given):
        return mean_of(given)
    if metric.name in cell.aggregate and np.isfinite(cell.aggregate[metric.name][0]):
        return exact(cell.aggregate[metric.name][0], metric.name)
    return None


def mean_of(values: Any) -> Fraction:
    """The mean of finite values, each taken as the decimal that it is written as."""
    kinds, times = np.unique(values, return_counts=True)
    total = sum(exact(kind, "value") * count for kind, count in zip(kinds.tolist(), times.tolist(), strict=True))
    return Fraction(total) / len(values)


def summary(cell: CellEvidence, terms: Terms | None = None) -> dict[str, Any]:
    """A cell's counts and scores; where `terms` ask for a judged metric, that one and who judged."""
    outcomes = {outcome.value: count for outcome in Outcome if (count := cell.count(outcome))}
    metric = cell.metric(terms.metric) if terms and terms.metric else None
    judged = cell.judged_by(metric)
    scores = {metric.name: value_of(cell, metric) for metric in cell.metrics if metric.kind != "label"}
    names = {"model": cell.model, "prompt": cell.prompt, "task": cell.task}
    counts = {"samples": len(cell.samples), "planned": cell.planned, "finished": cell.finished}
    if cell.of is not None:
        counts["samples_of_the_plan"] = cell.of
    value = {**names, **counts, "outcomes": outcomes, "scores": scores}
    if metric is None or judged is None:
        return value
    return {**value, "scores": {**scores, metric.name: value_of(cell, metric)}, "judged": judged.to_json()}


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _check(
    name: str,
    ok: bool,
    where: str,
    observed: Any,
    limit: Any,
    reason: str,
    kind: FailureClass | None = None,
    forces: Verdict = Verdict.FAIL,
) -> Check:
    return Check(name, bool(ok), where, observed, limit, reason, forces, kind)
