"""A worker from outside, and what is made of what it says."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from assay.sandbox.execution import Execution, Failure, Limits, Program, Settings, Status
from assay.sandbox.judgement import judged, read_report
from assay.sandbox.messages import anonymous_file
from assay.sandbox.pool import Pool
from assay.sandbox.probes import best_tier
from assay.sandbox.setup import worker_settings
from assay.sandbox.worker import Worker, WorkerLost, key_of
from support.gauntlet import descendants

TIER = best_tier()
TESTS = "assert candidate(1) == 2\n"
PASSES = Program("def f(x):\n    return x + 1\n", TESTS, "f")
SLEEPS = Program("import time\ndef f(x):\n    time.sleep(9)\n", TESTS, "f")
WRITES = """
import os
text = {text!r} * {times}
for descriptor in range(3, 64):
    try:
        os.pwrite(descriptor, text, 0)
    except OSError:
        pass
os._exit(0)
"""
COUNTS = """
import os
opened = 0
for descriptor in range(256):
    try:
        os.fstat(descriptor)
        opened += 1
    except OSError:
        pass
assert opened <= 6
"""
NO_REPORTS = [
    b"{",
    b"[]",
    b"7",
    b"\xff",
    b"{}",
    b'{"status": "nonsense"}',
    b'{"status": ["passed"]}',
    b'{"status": "passed", "more": 1}',
    b'{"status": "passed", "tests_passed": "2"}',
    b'{"status": "passed", "tests_passed": true}',
    b'{"status": "passed", "tests_run": -1}',
    b'{"status": "passed", "tests_total": 1e400}',
    b'{"status": "passed", "tests_run": 99999999999999999999}',
    b'{"status": "passed", "compiled": "yes"}',
    b'{"status": "failed", "failure": {"message": "x"}}',
    b'{"status": "failed", "failure": {"kind": 7}}',
    b'{"status": "failed", "failure": {"kind": "x", "more": 1}}',
    b"[" * 100_000,
    b"1" * 10_000,
    b" " * (1 << 21),
]


def worker(settings: Settings) -> Worker:
    return Worker(settings, worker_settings(settings, settings.limits, "/"), settings.limits, 1.0)


def test_a_report_is_read():
    failure = {"kind": "ValueError", "message": "\ud800x", "line": 3, "source": "s", "got": "g"}
    report = {
        "status": "failed",
        "compiled": True,
        "loaded": True,
        "tests_passed": 1,
        "tests_run": 2,
        "tests_total": None,
    }
    file = anonymous_file(json.dumps({**report, "failure": failure}).encode())
    found, fault = read_report(file)
    os.close(file)
    assert fault == ""
    assert found == {**report, "failure": {**failure, "message": "?x"}}
    empty = anonymous_file()
    assert read_report(empty) == (None, "")
    os.close(empty)


@pytest.mark.parametrize("text", NO_REPORTS, ids=range(len(NO_REPORTS)))
def test_what_is_no_report(text: bytes):
    file = anonymous_file(text)
    found, fault = read_report(file)
    os.close(file)
    assert found is None
    assert fault


@pytest.mark.skipif(TIER == "none", reason="no tier can be had on this machine")
def test_a_shared_solution_that_writes_a_report_of_its_own():
    async def run() -> list[Execution]:
        async with Pool(Settings(TIER, shared=True), 1) as pool:
            solutions = [WRITES.format(text=text[:50], times=len(text) // 50 + 1) for text in NO_REPORTS]
            programs = [Program(solution, TESTS, "f", shared=True) for solution in solutions]
            return [await pool.run(program) for program in (*programs, PASSES)]

    *found, honest = asyncio.run(run())
    assert {execution.status for execution in found} == {"violation"}
    assert all(execution.forgeable for execution in found)
    assert honest.passed


MEASURED = Execution(Status.SANDBOX_ERROR, tier="full")
PASSED: Any = {"status": "passed", "tests_passed": 2, "tests_run": 2}
FAILED: Any = {"status": "failed", "tests_passed": 1, "tests_run": 2, "failure": {"kind": "AssertionError"}}
GONE: Any = {"status": "exited", "tests_passed": 0, "tests_run": 0}


@pytest.mark.parametrize(
    ("measured", "report", "status"),
    [
        ({}, PASSED, "passed"),
        ({}, FAILED, "failed"),
        ({"timeout": "cpu"}, PASSED, "timeout"),  # the checker was not asked: time was up
        ({"timeout": "cpu"}, FAILED, "failed"),
        ({"timeout": "wall"}, None, "timeout"),
        ({"timeout": "cpu"}, GONE, "timeout"),
        ({"exit_code": 0}, GONE, "exited"),
        ({"signal": "SIGSEGV"}, GONE, "crashed"),
        ({"signal": "SIGKILL"}, None, "crashed"),
        ({"exit_code": 1}, None, "exited"),
        ({}, None, "sandbox_error"),
    ],
)
def test_the_checker_says_what_passed_and_the_kernel_how_it_ended(measured: dict[str, Any], report: Any, status: str):
    found = judged(Execution(**{"status": Status.SANDBOX_ERROR, "tier": "full", **measured}), report)
    assert found.status == status
    assert found.failure == (Failure("AssertionError") if report is FAILED else found.failure)


@pytest.mark.skipif(TIER == "none", reason="no tier can be had on this machine")
def test_a_worker_runs_is_lost_and_revives():
    async def run() -> None:
        one = worker(Settings(TIER))
        await one.start()
        assert (await one.run(PASSES)).passed
        assert one.key == key_of(PASSES)
        assert one.environment["tier"] == TIER
        lost = asyncio.ensure_future(one.run(SLEEPS))
        await asyncio.sleep(0.2)
        assert one.busy == 1
        for pid in descendants(os.getpid())[:1]:
            os.kill(pid, 9)
        with pytest.raises(WorkerLost):
            await lost
        assert one.busy == 0
        await one.revive(one.starts)
        await one.revive(1)
        assert one.starts == 2
        assert (await one.run(PASSES)).passed
        await one.stop()
        await one.stop()

    asyncio.run(run())
    assert descendants(os.getpid()) == []


@pytest.mark.skipif(TIER == "none", reason="no tier can be had on this machine")
def test_a_worker_holds_no_descriptor_of_ours():
    async def run() -> int:
        secret = os.open(os.devnull, os.O_RDONLY)
        os.set_inheritable(secret, True)
        try:
            async with Pool(Settings(TIER, limits=Limits(output_kb=1)), 1) as pool:
                tests = COUNTS + TESTS
                found = await pool.run(Program(PASSES.solution, tests, "f"))
                assert found.passed, found
        finally:
            os.close(secret)
        return len(descendants(os.getpid()))

    assert asyncio.run(run()) == 0
