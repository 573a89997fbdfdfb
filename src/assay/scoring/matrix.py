"""Which scoring mode and which code execution policy fit which kind of task."""

from __future__ import annotations

from typing import Literal

from assay.errors import Problem
from assay.scoring.options import nearest

Kind = Literal["choice", "generate", "code"]
Policy = Literal["disabled", "sandboxed"]

MODES: dict[Kind, tuple[str, ...]] = {
    "choice": ("multiple_choice", "exact_match", "normalized_exact_match", "regex", "contains"),
    "generate": ("normalized_exact_match", "exact_match", "numeric", "regex", "contains", "json_schema", "structured"),
    "code": ("pass_at_1",),
}
"""The built-in scorers that make sense for each kind of task, the most natural first."""


def default_policy(kind: Kind) -> Policy:
    """Code tasks execute what the model wrote, in a sandbox; all others execute nothing."""
    return "sandboxed" if kind == "code" else "disabled"


def check(
    task_name: str, kind: Kind, supported: tuple[str, ...], mode: str, policy: str | None = None
) -> list[Problem]:
    """What is wrong with scoring this task by `mode` under `policy`; an empty list where it all fits.

    `supported` are the task's own modes (empty: all that fit its kind). A scorer that another package brought
    is let through on a task that executes nothing. A `policy` of None is the kind's default.
    """
    return [
        *_check_mode(task_name, kind, supported or MODES[kind], mode),
        *_check_policy(task_name, kind, policy),
    ]


def _check_mode(task_name: str, kind: Kind, supported: tuple[str, ...], mode: str) -> list[Problem]:
    if mode in supported or (kind != "code" and _foreign(mode)):
        return []
    return [
        Problem(
            f"the task {task_name!r} cannot be scored by {mode!r}",
            key="scoring_mode",
            allowed=", ".join(supported),
            nearest=nearest(mode, supported),
        )
    ]


def _foreign(mode: str) -> bool:
    from assay.scoring.registry import names

    built_in = {name for modes in MODES.values() for name in modes}
    return mode not in built_in and mode in names()


def _check_policy(task_name: str, kind: Kind, policy: str | None) -> list[Problem]:
    fits = default_policy(kind)
    if policy is None or policy == fits:
        return []
    reason = (
        "a code task executes what the model wrote, and only in a sandbox"
        if kind == "code"
        else "this task executes nothing"
    )
    return [
        Problem(
            f"the task {task_name!r} cannot run with the policy {policy!r}: {reason}",
            key="code_exec_policy",
            allowed=fits,
        )
    ]
