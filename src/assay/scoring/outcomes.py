"""Why a program passed or failed, in words. The texts of an execution come from untrusted code."""

from __future__ import annotations

from collections.abc import Callable

from assay.sandbox.execution import Execution, Failure, Limits, Status

_LONGEST = 200


def explained(outcome: Execution, entry_point: str, limits: Limits) -> str:
    """What happened, on one line: the test that was false and what it got, the exception, the limit."""
    words = _WORDS.get(outcome.status)
    text = words(outcome, entry_point, limits) if words else outcome.status.value
    if outcome.deterministic is False:
        text += "; a second run ended otherwise"
    if outcome.passed and outcome.forgeable:
        text += "; the solution could have forged this"
    return text


def plain(text: str, limit: int = _LONGEST) -> str:
    """Untrusted text on one line, without control characters and not too long."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return line if len(line) <= limit else f"{line[:limit]}…"


def _passed(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"passed {_count(outcome.tests_passed)}"


def _failed(outcome: Execution, entry_point: str, limits: Limits) -> str:
    failure = outcome.failure or Failure("AssertionError")
    got = f"got {plain(failure.got)}" if failure.got else plain(failure.message) or "a test was false"
    return f"{_place(failure)}{got}{_share(outcome)}"


def _error(outcome: Execution, entry_point: str, limits: Limits) -> str:
    failure = outcome.failure
    return f"{_place(failure)}{_raised(failure)}{_share(outcome)}"


def _compile_error(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"not Python: {_raised(outcome.failure)}"


def _load_error(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"the program fails before any test: {_raised(outcome.failure)}"


def _missing(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"the program does not define {entry_point}"


def _no_tests(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return "no test was executed"


def _exited(outcome: Execution, entry_point: str, limits: Limits) -> str:
    code = f" (exit code {outcome.exit_code})" if outcome.exit_code is not None else ""
    return f"the program ended its own process{code}{_share(outcome)}"


def _crashed(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"the program crashed: {plain(outcome.signal or 'no signal known')}{_share(outcome)}"


def _memory(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return f"out of memory: more than {limits.memory_mb} MB{_share(outcome)}"


def _timeout(outcome: Execution, entry_point: str, limits: Limits) -> str:
    took = {
        "cpu": f"more than {limits.cpu_s:g} s of CPU time",
        "wall": f"more than {limits.wall_s:g} s",
        "checker": f"comparing its answers took more than {limits.cpu_s:g} s of CPU time",
    }
    return f"timed out: {took.get(outcome.timeout or '', 'no limit named')}{_share(outcome)}"


def _violation(outcome: Execution, entry_point: str, limits: Limits) -> str:
    return "the program interfered with the protocol between it and its tests"


_WORDS: dict[Status, Callable[[Execution, str, Limits], str]] = {
    Status.PASSED: _passed,
    Status.FAILED: _failed,
    Status.ERROR: _error,
    Status.COMPILE_ERROR: _compile_error,
    Status.LOAD_ERROR: _load_error,
    Status.MISSING_ENTRY_POINT: _missing,
    Status.NO_TESTS: _no_tests,
    Status.EXITED: _exited,
    Status.CRASHED: _crashed,
    Status.OUT_OF_MEMORY: _memory,
    Status.TIMEOUT: _timeout,
    Status.VIOLATION: _violation,
}


def _place(failure: Failure | None) -> str:
    if failure is None or failure.line is None:
        return ""
    source = f"`{plain(failure.source)}`, " if failure.source else ""
    return f"{source}line {failure.line}: "


def _raised(failure: Failure | None) -> str:
    if failure is None:
        return "no reason given"
    message = plain(failure.message)
    return f"{plain(failure.kind)}: {message}" if message else plain(failure.kind)


def _share(outcome: Execution) -> str:
    if not outcome.tests_total:
        return ""
    return f"; {outcome.tests_passed} of {_count(outcome.tests_total)} passed"


def _count(tests: int) -> str:
    return f"{tests} test" if tests == 1 else f"{tests} tests"
