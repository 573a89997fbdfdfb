"""What goes into the sandbox and what comes out: programs, limits, settings, executions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Tier = Literal["full", "reduced", "macos", "none"]
"""How much of a boundary there is: namespaces + Landlock + seccomp; Landlock + seccomp; sandbox-exec; nothing."""

Profile = Literal["strict", "fork-allowed"]
"""Whether a solution may start processes."""


class Status(StrEnum):
    """How an execution ended. Only `passed` passes; `sandbox_error` is nobody's score."""

    PASSED = "passed"
    FAILED = "failed"  # a test was false
    ERROR = "error"  # an exception left the tests
    COMPILE_ERROR = "compile_error"  # the solution is not Python
    LOAD_ERROR = "load_error"  # the solution's own top level raised
    MISSING_ENTRY_POINT = "missing_entry_point"  # it defines no such name
    NO_TESTS = "no_tests_executed"
    EXITED = "exited"  # it ended its own process (sys.exit, os._exit, KeyboardInterrupt)
    CRASHED = "crashed"  # a signal ended it
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    VIOLATION = "violation"  # what it sent is not the protocol
    SANDBOX_ERROR = "sandbox_error"


@dataclass(frozen=True, slots=True)
class Program:
    """One solution and the tests that judge it.

    `solution` is a whole program; `tests` is code that raises where the solution is wrong; `entry_point` is the
    function tested. `support` is trusted code that the tests may use (a prompt's helper functions, imports): it runs
    before the tests, in the checker. With `shared` the tests run in the solution's own process, where the solution
    can forge their outcome: for tests that cannot be asked across a process boundary. `cpu_s` is for a program that
    needs more CPU time than the settings allow all others, in seconds of the reference machine.
    """

    solution: str
    tests: str
    entry_point: str
    support: str = ""
    shared: bool = False
    cpu_s: float = 0.0


WALL_FACTOR = 5.0
"""The wall clock's backstop as a multiple of the CPU limit, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one execution may use. CPU and wall seconds are those of the reference machine: the pool scales them.

    `cpu_s` bounds the solution's and, separately, the checker's CPU time for all tests of an attempt; `wall_s`
    is the backstop for one that sleeps. `memory_mb` bounds the address space, `file_mb` the work folder and
    every single file, `output_kb` how much of stdout and of stderr is kept.
    """

    cpu_s: float = 3.0
    wall_s: float = 3.0 * WALL_FACTOR
    memory_mb: int = 1024
    file_mb: int = 16
    output_kb: int = 16
    open_files: int = 64
    processes: int = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """How executions are confined. `packages` may be imported by solutions, `test_packages` by tests (top-level
    names), both beyond the standard library. `shared`: whether programs may ask for tests in their own process.
    """

    tier: Tier = "full"
    profile: Profile = "strict"
    packages: tuple[str, ...] = ()
    test_packages: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the tests were not passed: `kind` is an exception's name (`AssertionError` for a test that was false),
    `line` counts in the tests from 1, `source` is that test's text, `got` what the solution returned last.
    All texts are cut short; they come from untrusted code.
    """

    kind: str
    message: str = ""
    line: int | None = None
    source: str = ""
    got: str = ""


_MEASURED = ("cpu_s", "wall_s", "memory_mb", "output_cut", "retried")
"""Left out where they are zero or false: a process always takes some time."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What happened to one program.

    `tests_total` is None where tests that were never reached cannot be counted. `cpu_s` and `memory_mb` (peak
    resident set) are the solution's own. `forgeable`: the solution could have decided the outcome itself. `retried`:
    it ran out of time once before. `deterministic`: whether a second run ended the same, where one was asked for.
    """

    status: Status
    compiled: bool | None = None
    loaded: bool | None = None
    tests_passed: int = 0
    tests_run: int = 0
    tests_total: int | None = None
    timeout: Literal["cpu", "wall", "checker"] | None = None
    failure: Failure | None = None
    stdout: str = ""
    stderr: str = ""
    output_cut: bool = False
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_mb: float = 0.0
    exit_code: int | None = None
    signal: str | None = None
    tier: Tier = "none"
    forgeable: bool = False
    retried: bool = False
    deterministic: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether every test was passed."""
        return self.status is Status.PASSED

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; what is absent is left out, and so are empty texts and what is not the case."""
        value = {name: part for name in _NAMES if (part := getattr(self, name)) is not None and part != ""}
        value["status"] = self.status.value
        if self.failure:
            value["failure"] = {name: getattr(self.failure, name) for name in _FAILURE}
        for name in _MEASURED:
            if not value[name]:
                del value[name]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Execution:
        """The reverse of `to_json`. Raises TypeError or ValueError on what is not one."""
        known = dict(value)
        known["status"] = Status(known["status"])
        if known.get("failure") is not None:
            known["failure"] = Failure(**known["failure"])
        return cls(**known)


_NAMES = tuple(Execution.__dataclass_fields__)
_FAILURE = tuple(Failure.__dataclass_fields__)
