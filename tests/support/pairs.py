"""A solution and a checker as two processes and a channel, without any layer of the kernel between them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from assay.sandbox import checker, solution

LONG_S = 20.0
"""After so many seconds a solution is killed, where a test does not say otherwise."""

Report = dict[str, Any]


def judge(source: str, tests: str, entry_point: str = "f", support: str = "", seconds: float = LONG_S) -> Report:
    """The report on one solution. `late` says whether it was killed, `exit` how its process ended."""
    return next(iter(judge_all([source], tests, entry_point, support, seconds)))


def judge_all(
    sources: Iterable[str], tests: str, entry_point: str, support: str = "", seconds: float = LONG_S
) -> list[Report]:
    """The reports on several solutions by one suite, as one checker makes them."""
    suite = checker.prepare({"tests": tests, "support": support, "entry_point": entry_point})
    return [_attempt(suite, source, seconds) for source in sources]


def _attempt(suite: checker.Suite, source: str, seconds: float) -> Report:
    ours, theirs = socket.socketpair()
    answer, report = os.pipe()
    with ours, theirs, os.fdopen(answer) as reading:
        child = _fork(lambda: _solve(source, suite.entry_point, theirs))
        theirs.close()
        judge = _fork(lambda: _judge(suite, ours, report))
        ours.close()
        os.close(report)
        late = not _wait(answer, seconds)
        if late:
            os.kill(child, signal.SIGKILL)
            if not _wait(answer, LONG_S):
                os.kill(judge, signal.SIGKILL)
        text = reading.read()
    os.waitpid(judge, 0)
    return (json.loads(text) if text else {"status": "checker_died"}) | {"late": late, "exit": _end(child)}


def _fork(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(99)
    return pid


def _solve(source: str, entry_point: str, theirs: socket.socket) -> None:
    _silence()
    os.dup2(theirs.fileno(), 3)
    os.closerange(4, 256)
    solution.serve(source, entry_point, 3)


def _judge(suite: checker.Suite, ours: socket.socket, report: int) -> None:
    _silence()
    found = suite.judge(ours.fileno())
    with os.fdopen(report, "w") as writing:
        json.dump(found, writing)
    os._exit(0)


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)


def _wait(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _end(pid: int) -> int:
    """How a child ended by itself within a second, else by SIGKILL."""
    pidfd = os.pidfd_open(pid)
    if not _wait(pidfd, 1):
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
