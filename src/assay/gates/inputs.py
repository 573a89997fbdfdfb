"""The door of every gate: whatever is handed in becomes evidence and a policy, or a result that says why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from assay.errors import AssayError
from assay.gates import evidence as views
from assay.gates import policy as policies
from assay.gates.evidence import Evidence
from assay.gates.judges import Admission
from assay.gates.policy import Policy
from assay.gates.result import Check, GateResult, Verdict, reasons_of, weightiest


def opened(
    gate: str, given: Iterable[tuple[str, Any]], policy: Any, unfit: Verdict
) -> tuple[list[Evidence], Policy] | GateResult:
    """The evidence of each (role, value) and the policy; a result where one is none, `unfit` being its verdict."""
    try:
        held = policy if isinstance(policy, Policy) else policies.parse(policy)
    except AssayError as error:
        return GateResult(gate, Verdict.INFEASIBLE, (f"the policy: {error.message}",), error.failure_class)
    read: list[Evidence] = []
    for role, value in given:
        try:
            read.append(value if isinstance(value, Evidence) else views.from_json(value))
        except AssayError as error:
            return GateResult(gate, unfit, (f"{role}: {error.message}",), error.failure_class, policy=held.to_json())
    return read, held


def closed(
    gate: str,
    good: Verdict,
    checks: Sequence[Check],
    order: Sequence[Verdict],
    inputs: Sequence[tuple[str, Evidence]],
    policy: Policy,
    numbers: dict[str, Any],
    said: Sequence[str] = (),
    admissions: Sequence[Admission] = (),
) -> GateResult:
    """The result of `checks`: the first verdict of `order` that one forces, else `good`, for which `said` speaks."""
    worst = weightiest(checks, order)
    reasons = tuple(dict.fromkeys((*reasons_of(checks, order), *said)))
    return GateResult(
        gate=gate,
        verdict=worst.forces if worst and worst.forces else good,
        reasons=reasons,
        failure_class=worst.failure_class if worst else None,
        checks=tuple(checks),
        numbers=numbers,
        inputs=(*(evidence.identity(role) for role, evidence in inputs), *(one.to_json() for one in admissions)),
        policy=policy.to_json(),
    )
