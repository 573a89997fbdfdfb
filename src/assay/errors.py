"""Every error that assay raises on purpose, in one tree.

    AssayError                          exit   failure class
    ├── ConfigError                     2      USER_CONFIG_ERROR     the user's input is wrong
    ├── MachineError                    6      SYSTEMIC              this machine cannot do it
    │   ├── MissingExtra                                             an optional package is not installed
    │   ├── DataUnavailable                                          a data set could not be had from any source
    │   ├── ModelUnavailable                   MODEL_UNSUPPORTED     a model could not be loaded
    │   ├── BackendUnreachable                                       nobody answers at the endpoint
    │   └── DeploymentFailed                   DEPLOYMENT_HEALTH_FAILED   a server did not come up as it should
    ├── EvidenceError                   1      EVIDENCE_INVALID      stored bytes are not what they claim to be
    │   ├── DigestMismatch                                           a file's SHA-256 differs from its pin
    │   ├── JournalCorrupt                                           a line of a journal cannot be trusted
    │   └── SecretFound                                              what would be sealed or exported holds a secret
    ├── Incomparable                    4, 5                         a gate refuses before anything was asked
    ├── JudgeFailed                     1      EVAL_JUDGE_FAILED     a model judge gave no usable votes on some answers
    ├── BudgetExhausted                 3      -                     the run stopped at its budget, resumable
    ├── Interrupted                     130    -                     Ctrl-C; resumable
    ├── ScorerError                     -      -                     one attempt could not be scored
    └── BackendError                    -      INFRA_TRANSIENT       one request failed; never leaves the engine
        ├── Transient                                                worth another try
        │   ├── RateLimited                                          429 or 503, perhaps with Retry-After
        │   ├── ServerError                                          any other 5xx
        │   ├── ConnectionLost                                       refused, reset or closed half-way
        │   ├── BadResponse                                          an answer that is not what the protocol says
        │   └── AttemptTimeout                                       no answer in time
        └── Rejected                                                 4xx: the same request would fail again
            └── Denied                                               401, 403, 404: every request would fail
                └── NotFound                                         404 alone: no such model, or no such page

Failure classes come from these types, never from words found in a message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class FailureClass(StrEnum):
    """What kind of failure this is; each kind has one action (see docs/errors.md)."""

    INFRA_TRANSIENT = "INFRA_TRANSIENT"
    SYSTEMIC = "SYSTEMIC"
    MODEL_UNSUPPORTED = "MODEL_UNSUPPORTED"
    QUANT_COVERAGE_FAILURE = "QUANT_COVERAGE_FAILURE"
    DEPLOYMENT_HEALTH_FAILED = "DEPLOYMENT_HEALTH_FAILED"
    EVAL_JUDGE_FAILED = "EVAL_JUDGE_FAILED"
    SAMPLE_ACCOUNTING_FAILED = "SAMPLE_ACCOUNTING_FAILED"
    EXTERNAL_BASELINE_MISMATCH = "EXTERNAL_BASELINE_MISMATCH"
    EVIDENCE_INVALID = "EVIDENCE_INVALID"
    USER_CONFIG_ERROR = "USER_CONFIG_ERROR"
    UNKNOWN = "UNKNOWN"


class AssayError(Exception):
    """The root: `exit_code` is what the command line ends with, `hint` says how to fix it."""

    exit_code = 1
    failure_class: FailureClass | None = FailureClass.UNKNOWN

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what the user wrote.

    `where` is a file, or an option such as `--limit`; `line` counts from 1; `key` is a dotted path such as
    `tasks[1].few_shot`; `allowed` says what would be right; `nearest` is the closest valid name.
    """

    message: str
    where: str | None = None
    line: int | None = None
    key: str | None = None
    allowed: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.where and self.line else self.where or ""
        head = ": ".join(part for part in (place, self.key, self.message) if part)
        tail = [f"did you mean {self.nearest!r}?"] if self.nearest else []
        tail += [f"allowed: {self.allowed}"] if self.allowed else []
        return "\n    ".join([head, *tail])


class ConfigError(AssayError):
    """The user's input is wrong. Carries every problem found, not only the first."""

    exit_code = 2
    failure_class = FailureClass.USER_CONFIG_ERROR

    def __init__(self, problems: str | Problem | Iterable[Problem], *, hint: str | None = None) -> None:
        if isinstance(problems, str):
            problems = [Problem(problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)


class MachineError(AssayError):
    """This machine cannot do what was asked: names the layer and, where there is one, the errno."""

    exit_code = 6
    failure_class = FailureClass.SYSTEMIC

    def __init__(self, message: str, *, layer: str, errno: int | None = None, hint: str | None = None) -> None:
        code = f", errno {errno} ({os.strerror(errno)})" if errno else ""
        super().__init__(f"{message} [{layer}{code}]", hint=hint)
        self.layer = layer
        self.errno = errno


class MissingExtra(MachineError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"the package {package!r} is not installed", layer=extra, hint=f"pip install 'assay[{extra}]'")
        self.package = package
        self.extra = extra


class DataUnavailable(MachineError):
    """A data set could not be had from any of its sources; the message lists what was tried."""


class ModelUnavailable(MachineError):
    """A model could not be loaded: too large, not found, or not in a format the backend reads."""

    failure_class = FailureClass.MODEL_UNSUPPORTED


class MemoryTaken(ModelUnavailable):
    """A model would fit into this machine's memory, and does not beside what uses it just now: that passes."""

    failure_class = FailureClass.SYSTEMIC


class BackendUnreachable(MachineError):
    """Nobody answers at the endpoint, or it refuses everything."""


class DeploymentFailed(MachineError):
    """A server did not come up, ended before it answered, or serves another model than it was given."""

    failure_class = FailureClass.DEPLOYMENT_HEALTH_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, layer="deployment", hint=hint)


class EvidenceError(AssayError):
    """Stored bytes are not what they claim to be."""

    exit_code = 1
    failure_class = FailureClass.EVIDENCE_INVALID


class DigestMismatch(EvidenceError):
    """A file's SHA-256 differs from the one it is pinned to."""

    def __init__(self, path: str | Path, expected: str, found: str, *, hint: str | None = None) -> None:
        super().__init__(f"{path}: SHA-256 is {found}, expected {expected}", hint=hint)
        self.path = str(path)
        self.expected = expected
        self.found = found


class JournalCorrupt(EvidenceError):
    """A line of a journal cannot be trusted: unreadable in the middle, repeated, or not of this plan."""

    def __init__(self, path: str | Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}", hint="nothing was changed; restore the file or start over")
        self.path = str(path)
        self.line = line


class SecretFound(EvidenceError):
    """What would be sealed or exported holds what looks like a secret; the message names it by a digest."""


class Incomparable(AssayError):
    """A run could not be decided against its baseline, so it is not begun: the gate's verdict, in its words."""

    def __init__(
        self, verdict: str, reasons: Iterable[str], exit_code: int, failure_class: FailureClass | None
    ) -> None:
        super().__init__("\n".join([verdict, *reasons]), hint="nothing was asked and nothing written")
        self.exit_code = exit_code
        self.failure_class = failure_class


class JudgeFailed(AssayError):
    """A model judge gave no usable judgement of some candidates: they stay pending, and all others are applied.

    `report` says what was applied and what failed, as `assay judge auto --json` has it.
    """

    exit_code = 1
    failure_class = FailureClass.EVAL_JUDGE_FAILED

    def __init__(self, message: str, report: Mapping[str, Any], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class BudgetExhausted(AssayError):
    """The run stopped at its budget; what is finished is kept and asking again goes on."""

    exit_code = 3
    failure_class = None


class Interrupted(AssayError):
    """Ctrl-C: the journal is complete up to here and asking again goes on."""

    exit_code = 130
    failure_class = None


class ScorerError(AssayError):
    """One attempt could not be scored; recorded as `scorer_error`, never as a wrong answer."""


class BackendError(AssayError):
    """One request failed. The engine turns it into a retry or an outcome; it never reaches the user raw."""

    failure_class = FailureClass.INFRA_TRANSIENT


class Transient(BackendError):
    """Worth another try."""


class RateLimited(Transient):
    """The server asks us to slow down (429 or 503); `retry_after` in seconds, where it said so."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerError(Transient):
    """The server failed (5xx other than 503)."""


class ConnectionLost(Transient):
    """The connection was refused, reset, or closed before the answer was whole."""


class BadResponse(Transient):
    """An answer arrived that is not what the protocol promises: broken JSON, no choices."""


class AttemptTimeout(Transient):
    """No answer within the attempt's time limit."""


class Rejected(BackendError):
    """The server refuses this request (4xx): the same request would be refused again."""


class Denied(Rejected):
    """The server refuses us (401, 403) or does not know the model (404): every request would fail."""


class NotFound(Denied):
    """The server does not know the model, or the page (404)."""
