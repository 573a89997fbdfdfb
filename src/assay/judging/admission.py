"""Admission: whether a model may judge what gates decide, by its measured agreement with people.

The lower end of every interval that the policy asks for must reach its threshold. Where even the upper end does not,
the judge is not admitted; where the threshold lies between the two, more units are needed to tell. That all must hold
is correction enough for asking several (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.errors import ConfigError, FailureClass, Problem
from assay.files import digest_of
from assay.gates.judges import COMPOSITE, JudgePolicy, covered
from assay.gates.result import Check, Verdict, reasons_of, weightiest
from assay.judging.agreement import Content, Settings, agreement
from assay.judging.ratings import Ratings

SCHEMA = "assay.admission.v1"
ADMITTED, REFUSED, UNDECIDED = "ADMITTED", "NOT_ADMITTED", "INCONCLUSIVE"
EXIT_CODES = {ADMITTED: 0, REFUSED: 1, UNDECIDED: 3}
_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE)
_NAMES = {"kappa": "kappa", "alpha": "alpha", "exact": "exact agreement", "bias": "the bias"}


def settings_of(policy: JudgePolicy) -> Settings:
    """How the policy wants intervals made."""
    return Settings(policy.confidence, policy.resamples, policy.seed)


def check_fits(policy: JudgePolicy, content: Content) -> None:
    """Raise ConfigError, with every problem, where the policy asks what this rubric cannot answer."""
    problems = []
    for name in policy.dimensions:
        if name not in (*content.names, COMPOSITE):
            allowed = ", ".join((*content.names, COMPOSITE))
            problems.append(Problem("the rubric judges no such dimension", key=f"dimensions.{name}", allowed=allowed))
    for scale in content.judged:
        if policy.of(scale.name).kappa is not None and scale.levels is None:
            message = f"{scale.name} has no levels, and kappa is for levels"
            allowed = f"an entry 'dimensions.{scale.name}' with alpha, exact or bias"
            problems.append(Problem(message, key=f"dimensions.{scale.name}.kappa", allowed=allowed))
    if not covered(policy, content.names):
        problems.append(Problem("asks nothing of any dimension of this rubric", allowed="thresholds under defaults"))
    if problems:
        raise ConfigError(problems)


def admission(
    ratings: Ratings,
    rubric: Mapping[str, Any],
    policy: JudgePolicy,
    parents: Sequence[Mapping[str, Any]],
    *,
    synthetic: bool,
) -> dict[str, Any]:
    """The document `assay.admission.v1`: the same ratings and policy give the same bytes.

    `rubric` is a rubric's content. `parents` name the sealed runs; `synthetic`: answers of a stand-in model are in
    them. Raises ConfigError where the policy does not fit the rubric.
    """
    content = Content.read(rubric)
    check_fits(policy, content)
    found = agreement(ratings, content, settings_of(policy))
    checks = [*_checks(found, policy, content.names, digest_of(dict(rubric)), synthetic=synthetic)]
    worst = weightiest(checks, _ORDER)
    verdict = ADMITTED if worst is None else REFUSED if worst.forces is Verdict.FAIL else UNDECIDED
    return {
        "schema": SCHEMA,
        "judge": ratings.judge.to_json(),
        "rubric": {"digest": digest_of(dict(rubric)), "content": dict(rubric)},
        "policy": policy.to_json(),
        "parents": [dict(parent) for parent in parents],
        "synthetic": synthetic,
        "ignored": dict(ratings.ignored),
        "agreement": found,
        "covers": list(covered(policy, content.names)),
        "checks": [check.to_json() for check in checks],
        "verdict": verdict,
        "admitted": verdict == ADMITTED,
        "reasons": list(reasons_of(checks, _ORDER)),
        "exit_code": EXIT_CODES[verdict],
    }


def _checks(
    found: Mapping[str, Any], policy: JudgePolicy, names: Sequence[str], rubric: str, *, synthetic: bool
) -> Iterator[Check]:
    """Everything that is asked, the units first."""
    judge = found["judge"]
    reason = "a person needs no admission"
    yield _failing("model", judge["kind"] == "model", "", judge["kind"], "model", reason)
    reason = f"it judged by the rubric {str(judge.get('rubric'))[:12]}, and this is {rubric[:12]}"
    yield _failing("rubric", judge.get("rubric") == rubric, "", judge.get("rubric"), rubric, reason)
    reason = "answers of a stand-in model are in it: agreement on them says nothing of real ones"
    yield _failing("synthetic", not synthetic, "", synthetic, False, reason)
    missing = policy.units - found["units"]
    reason = (
        f"{found['units']} answers were judged by it and by people, {missing} fewer than the {policy.units} asked for"
    )
    yield Check("units", missing <= 0 or None, "", found["units"], policy.units, reason, Verdict.INCONCLUSIVE)
    if policy.marked == "refuse":
        batches = ", ".join(f"{batch['batch']} by {batch['judge']}" for batch in found["marked"])
        reason = f"the policy refuses marked batches: {batches}"
        yield _failing("marked", not found["marked"], "", len(found["marked"]), 0, reason)
    for name in (*names, COMPOSITE):
        for measure, threshold in policy.of(name).given.items():
            yield _threshold(name, measure, threshold, found["dimensions"][name][measure])


def _failing(name: str, ok: bool, where: str, observed: Any, limit: Any, reason: str) -> Check:
    return Check(name, ok, where, observed, limit, reason, Verdict.FAIL, FailureClass.EVAL_JUDGE_FAILED)


def _threshold(where: str, measure: str, threshold: float, found: Mapping[str, Any]) -> Check:
    """One coefficient against its threshold, by both ends of its interval."""
    low, high, value = found["low"], found["high"], found["value"]
    ok = _reached(measure, threshold, low, high)
    name = _NAMES[measure]
    if value is None:
        reason = f"{name} has no value: {found['reason']}"
    else:
        wanted = f"within ±{threshold:g}" if measure == "bias" else f"at least {threshold:g}"
        reason = f"{name} is {_told(value, low, high)}, and {wanted} is asked for, the whole interval counted"
        if ok is None:
            reason += f"; {_needed(measure, threshold, found)}"
    forces = Verdict.INCONCLUSIVE if ok is None else Verdict.FAIL
    kind = FailureClass.EVAL_JUDGE_FAILED if ok is False else None
    return Check(measure, ok, where, {"value": value, "low": low, "high": high}, threshold, reason, forces, kind)


def _reached(measure: str, threshold: float, low: float | None, high: float | None) -> bool | None:
    if measure == "bias":
        if low is not None and high is not None and -threshold <= low and high <= threshold:
            return True
        return False if (low is not None and low > threshold) or (high is not None and high < -threshold) else None
    if low is not None and low >= threshold:
        return True
    return False if high is not None and high < threshold else None


def _told(value: float, low: float | None, high: float | None) -> str:
    ends = ["open" if end is None else f"{end:.3f}" for end in (low, high)]
    return f"{value:.3f} [{ends[0]}, {ends[1]}]"


def _needed(measure: str, threshold: float, found: Mapping[str, Any]) -> str:
    """Roughly how many units would decide it if the value stayed: an interval narrows with the root of their number."""
    value, low, high, n = found["value"], found["low"], found["high"], found["n"]
    if measure == "bias":
        threshold = math.copysign(threshold, value)
        end, inside = (high, value <= threshold) if value >= 0 else (low, value >= threshold)
        end = end if inside else (low if value >= 0 else high)
    else:
        end = low if value >= threshold else high
    room = abs(value - threshold)
    if end is None or room < 1e-9:
        return "how many units would decide it cannot be told"
    return f"about {max(n + 1, math.ceil(n * ((end - value) / room) ** 2)):,} units would decide it, {n:,} are there"
