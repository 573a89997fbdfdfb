"""What two cells differ in, and whether the policy allows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from assay.errors import FailureClass
from assay.files import canonical
from assay.gates.evidence import CellEvidence
from assay.gates.policy import Policy
from assay.gates.result import Check, Verdict

FREE = ("model",)
"""What may differ always: it is what is compared."""

_WORDS = {
    "model": "the model",
    "task": "the task",
    "version": "the task's version",
    "dataset": "the data",
    "prompt": "the prompt",
    "system": "the system prompt",
    "demonstrations": "the demonstrations",
    "mode": "how the model is asked",
    "sampling": "how the model decodes",
    "seed": "the seed",
    "epochs": "the attempts at each sample",
    "scorer": "the scorer or its revision",
    "execution": "whether code is executed",
    "sandbox": "the sandbox tier",
    "determinism": "the determinism class",
    "cluster": "the clusters",
}


def differences(baseline: CellEvidence, candidate: CellEvidence, policy: Policy) -> Iterator[Check]:
    """One check a fact; a difference that the policy does not allow makes the comparison anomalous."""
    free = {*FREE, *policy.allow}
    for name in sorted({*baseline.facts, *candidate.facts}):
        left, right = baseline.facts.get(name), candidate.facts.get(name)
        same = canonical(left) == canonical(right)
        words = _WORDS.get(name, name)
        reason = f"{words} differs: {_shown(left)} and {_shown(right)}{_hint(name)}"
        observed = {"baseline": left, "candidate": right, "allowed": name in free}
        yield Check(
            f"same_{name}",
            same or name in free,
            baseline.task,
            None if same else observed,
            None,
            reason,
            Verdict.ANOMALOUS,
            FailureClass.SAMPLE_ACCOUNTING_FAILED if name in ("task", "epochs") else FailureClass.EVIDENCE_INVALID,
        )


def _hint(name: str) -> str:
    from typing import get_args

    from assay.gates.policy import Difference

    return f" (a policy may allow it: 'allow: [{name}]')" if name in get_args(Difference) else ""


def _shown(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
