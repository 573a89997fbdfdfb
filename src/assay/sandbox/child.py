"""The process that a solution runs in: forked from the template, confined, and only then told what to run."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from assay.sandbox import protocol, solution
from assay.sandbox.layers import LayerError, confine_sample
from assay.sandbox.messages import read_all
from assay.sandbox.protocol import Report, Tests

EXIT_S = 0.1
"""How long a solution that hung up may take to end, so that its own exit status is seen."""

Judge = Callable[[str, Tests], Report]

_CONFINED = b"."


class Job(NamedTuple):
    """The descriptors of one attempt; `report` only where its tests run in its own process."""

    program: int
    out: int
    err: int
    channel: int
    report: int | None


def _own_stdin() -> None:
    """A stdin that no later solution shares: the flags of an open file, which anyone may set, could tell it much."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


class Ended(NamedTuple):
    """How a process ended: wait status, and what it used."""

    status: int
    user_s: float
    system_s: float
    peak_kib: int


def fork(job: Job, judge_shared: Judge | None) -> tuple[int, int]:
    """Start a solution: its process, and a pipe that says whether it was confined before it read anything."""
    said, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(job, tell, judge_shared)
    os.close(tell)
    return pid, said


def confinement(said: int) -> str | None:
    """None where a child was confined before it read anything; otherwise why not. To be asked once it has ended."""
    text = os.read(said, 1000)
    os.close(said)
    return None if text == _CONFINED else text.decode() or "it ended before it was confined"


def _run(job: Job, tell: int, judge_shared: Judge | None) -> NoReturn:
    """In the child: confine, and only then read the code. Never returns."""
    code = 70
    try:
        _own_stdin()
        os.dup2(job.out, 1)
        os.dup2(job.err, 2)
        kept = (0, 1, 2, job.program, job.channel, tell)
        confine_sample(None, kept if job.report is None else (*kept, job.report))
        os.write(tell, _CONFINED)
        os.close(tell)
        text = read_all(job.program)
        if job.report is None:
            name, _, source = text.partition(b"\n")
            solution.serve(source.decode("utf-8", "surrogatepass"), name.decode(), job.channel)
        elif judge_shared is not None:
            gc.enable()
            content = json.loads(text)
            found = judge_shared(content["solution"], content["tests"])
            sys.stdout.flush()
            os.write(job.report, json.dumps(found).encode())
            code = 0
    except LayerError as error:
        os.write(tell, str(error).encode())
    finally:
        os._exit(code)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all threads; 0 where that cannot be read any more (or on this system).

    The clock's number is made as the C library's clock_getcpuclockid makes it.
    """
    if sys.platform != "linux":
        return 0.0
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def end(pid: int, *, at_once: bool) -> tuple[Ended, bool]:
    """Make sure that a child has ended, and reap it. Returns how it ended, and whether it had to be killed."""
    if at_once:
        os.kill(pid, signal.SIGKILL)
        return _reaped(os.wait4(pid, 0)), True
    deadline = time.monotonic() + EXIT_S
    while not (ended := os.wait4(pid, os.WNOHANG))[0]:
        if time.monotonic() >= deadline:
            return end(pid, at_once=True)
        time.sleep(0.0005)
    return _reaped(ended), False


def _reaped(waited: tuple[int, int, resource.struct_rusage]) -> Ended:
    _, status, usage = waited
    return Ended(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)


def warm() -> None:
    """Do what every solution does, a few times, before any is forked.

    Python adapts bytecode to what it meets; what it adapts in a child costs every child a copy of those pages.
    """
    for _ in range(_WARMING):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            server = solution.Server(theirs.fileno())
            namespace = server.load(_WARM_SOLUTION, "warm") or {}
            ours.recv(1 << 16)
            server.offer(namespace["warm"], namespace)
            for frame in _WARM_FRAMES:
                ours.sendall(protocol.FRAME.pack(len(frame)) + frame)
                server.step()
                ours.recv(1 << 16)
    sys.modules.pop(solution.MODULE, None)


_WARMING = 16
_WARM_SOLUTION = "def warm(value, other=None):\n    return value\n"
_WARM_FRAMES = tuple(
    f'[{number},"call","warm",[{value}]]'.encode()
    for number, value in enumerate(('1, "two"', "[1, 2, 3]", "[[1.5], [2.5]]", '{"t": [1, true, null]}', '"text"'), 1)
)
