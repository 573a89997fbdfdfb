"""What a gate says: a verdict, why, and every check behind it. The same evidence and policy give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

from assay.errors import FailureClass

SCHEMA = "assay.gate.v1"


class Verdict(StrEnum):
    """What a gate decided. `PASS` and `FAIL` are of gates on one run, the others of comparisons."""

    PASS = "PASS"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    ACCEPT = "ACCEPT"
    REGRESSION = "REGRESSION"
    ANOMALOUS = "ANOMALOUS"
    INFEASIBLE = "INFEASIBLE"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """What the command line ends with."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.ACCEPT: 0,
    Verdict.FAIL: 1,
    Verdict.REGRESSION: 1,
    Verdict.INCONCLUSIVE: 3,
    Verdict.ANOMALOUS: 4,
    Verdict.INFEASIBLE: 5,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    `ok` is None where it could not be decided. `reason` is a sentence, said where `ok` is not true. `forces` is the
    verdict that a failed check leads to, `failure_class` what kind of failure that is. `where` names the run, cell or
    task.
    """

    name: str
    ok: bool | None
    where: str = ""
    observed: Any = None
    limit: Any = None
    reason: str = ""
    forces: Verdict | None = None
    failure_class: FailureClass | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        value: dict[str, Any] = {"name": self.name, "where": self.where, "ok": self.ok}
        value |= {"observed": self.observed, "limit": self.limit}
        if self.reason and self.ok is not True:
            value["reason"] = self.reason
        if self.failure_class and self.ok is not True:
            value["failure_class"] = self.failure_class.value
        return value


@dataclass(frozen=True, slots=True)
class GateResult:
    """A verdict with all that led to it.

    `inputs` names what was read by its digests, `policy` is the policy itself with its digest, `numbers` what was
    measured, `reasons` says it in words, the weightiest first.
    """

    gate: str
    verdict: Verdict
    reasons: tuple[str, ...]
    failure_class: FailureClass | None = None
    checks: tuple[Check, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Mapping[str, Any], ...] = ()
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """What the command line ends with."""
        return self.verdict.exit_code

    def to_json(self) -> dict[str, Any]:
        """The document `assay.gate.v1`."""
        value = {
            "schema": SCHEMA,
            "gate": self.gate,
            "verdict": self.verdict.value,
            "exit_code": self.exit_code,
            "failure_class": self.failure_class.value if self.failure_class else None,
            "reasons": list(self.reasons),
            "checks": [check.to_json() for check in self.checks],
            "numbers": self.numbers,
            "inputs": list(self.inputs),
            "policy": self.policy,
        }
        # What was asked is kept to the last digit: its digest must follow from it.
        return {key: plain(part, 17 if key == "policy" else 12) for key, part in value.items()}


def plain(value: Any, digits: int = 12) -> Any:
    """`value` for JSON: fractions as floats, floats to so many significant digits, what is not finite as text.

    Twelve digits, since two machines' mathematics may differ in the last of sixteen, and verdicts are compared by byte.
    """
    if isinstance(value, bool) or value is None or isinstance(value, int | str):
        return str(value) if isinstance(value, StrEnum) else _short(value)
    if isinstance(value, Fraction):
        return plain(float(value), digits)
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if abs(value) < float("inf") else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [plain(item, digits) for item in value]
    return str(value)


def _short(value: Any) -> Any:
    """A whole number that JSON's readers cannot hold, as text."""
    return str(value) if type(value) is int and not -(2**53) <= value <= 2**53 else value


def weightiest(checks: Sequence[Check], order: Sequence[Verdict]) -> Check | None:
    """The failed check whose verdict comes first in `order`, the first found of several; None where none forces one."""
    failed = [check for check in checks if check.ok is not True and check.forces in order]
    return min(failed, key=lambda check: order.index(check.forces or order[-1])) if failed else None


def reasons_of(checks: Sequence[Check], order: Sequence[Verdict] = ()) -> tuple[str, ...]:
    """The reasons of all failed checks, each once, in the order of their verdicts."""
    failed = [check for check in checks if check.ok is not True and check.reason]
    ranked = sorted(failed, key=lambda check: order.index(check.forces) if check.forces in order else len(order))
    return tuple(dict.fromkeys(f"{check.where}: {check.reason}" if check.where else check.reason for check in ranked))
