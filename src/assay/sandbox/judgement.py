"""What became of an attempt: what the checker reported, with what was measured from outside."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from assay.sandbox import protocol
from assay.sandbox.execution import Execution, Failure, Status
from assay.sandbox.messages import contents

_MOST_REPORT = 1 << 20
_MOST_TESTS = 1 << 31
_NONE = type(None)
_REPORT: dict[str, set[type]] = {
    "status": {str},
    "compiled": {bool, _NONE},
    "loaded": {bool, _NONE},
    "tests_passed": {int},
    "tests_run": {int},
    "tests_total": {int, _NONE},
    "failure": {dict, _NONE},
}
_FAILURE: dict[str, set[type]] = {
    "kind": {str},
    "message": {str},
    "line": {int, _NONE},
    "source": {str},
    "got": {str},
}


def judged(measured: Execution, report: protocol.Report | None) -> Execution:
    """What was measured from outside, with what the checker found.

    The checker alone can say that tests were passed; how a process ended, only the kernel. A solution that had failed
    a test before its time ran out has failed, and one that ended by itself ended as its exit status says.
    """
    if report is None:
        if measured.timeout:
            return replace(measured, status=Status.TIMEOUT)
        if measured.signal or measured.exit_code is not None:
            return replace(measured, status=_ended(measured))
        return replace(measured, failure=Failure("NoReport", "the checker left no report"))
    failure = report.get("failure")
    found = replace(
        measured,
        status=Status(report["status"]),
        compiled=report.get("compiled"),
        loaded=report.get("loaded"),
        tests_passed=report.get("tests_passed", 0),
        tests_run=report.get("tests_run", 0),
        tests_total=report.get("tests_total"),
        failure=Failure(**failure) if failure else None,
    )
    failed = found.tests_passed < found.tests_run
    if measured.timeout:
        return replace(found, status=Status.FAILED if failed else Status.TIMEOUT)
    if found.status is Status.EXITED:
        return replace(found, status=_ended(measured))
    return found


def _ended(measured: Execution) -> Status:
    return Status.CRASHED if measured.signal else Status.EXITED


def read_report(descriptor: int) -> tuple[protocol.Report | None, str]:
    """The checker's report, if there is one, or what is wrong with what stands in its place: a solution that shares
    its tests' process can write there too.
    """
    content, cut = contents(descriptor, _MOST_REPORT)
    if not content:
        return None, ""
    try:
        report: Any = None if cut else json.loads(content)
    except (ValueError, RecursionError) as error:
        return None, f"the report is no JSON: {type(error).__name__}"
    if not _is_report(report):
        return None, "the report is none"
    if report.get("failure"):
        report["failure"] = {name: _clean(part) for name, part in report["failure"].items()}
    return report, ""


def _is_report(report: Any) -> bool:
    """Whether every field is one, and of the type that it should have."""
    if not _has_types(report, _REPORT) or report.get("status") not in set(Status):
        return False
    counts = [report.get(name) or 0 for name in ("tests_passed", "tests_run", "tests_total")]
    failure = report.get("failure") or {"kind": ""}
    return all(0 <= count <= _MOST_TESTS for count in counts) and _has_types(failure, _FAILURE) and "kind" in failure


def _has_types(value: Any, types: dict[str, set[type]]) -> bool:
    if type(value) is not dict or not value.keys() <= types.keys():
        return False
    return all(type(part) in types[name] for name, part in value.items())


def _clean(part: Any) -> Any:
    """A text without halves of surrogate pairs, which no file can hold."""
    return part.encode("utf-8", "replace").decode() if type(part) is str else part
