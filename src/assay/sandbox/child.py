"""The processes that solutions run in: forked and confined ahead of need, told what to run when it is their turn.

A child that waits holds nothing but its gate, a socket to the template. What it is to run comes through the gate as
descriptors, after which the gate is closed: no solution has a way to the template.
"""

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
from contextlib import suppress
from typing import NamedTuple, NoReturn

from assay.sandbox import protocol, solution
from assay.sandbox.layers import LayerError, confine_sample
from assay.sandbox.messages import read_all, receive, send
from assay.sandbox.protocol import Report, Tests

EXIT_S = 0.1
"""How long a solution that hung up may take to end, so that its own exit status is seen."""

Judge = Callable[[str, Tests], Report]

_CONFINED = b"."


class Child(NamedTuple):
    """A child that waits, or runs: its process, and the template's end of its gate."""

    pid: int
    gate: socket.socket

    def tell(self, work: str, descriptors: list[int]) -> None:
        """Give it its turn: program, stdout, stderr, channel and perhaps report, in the folder `work`."""
        with suppress(OSError):  # it is gone, which whoever waits for it will see
            send(self.gate, work.encode(), descriptors)

    def confinement(self) -> str | None:
        """None where it was confined before it read anything; otherwise why not. To be asked once it has ended."""
        try:
            said = self.gate.recv(1000)
        except OSError:
            said = b""
        return None if said == _CONFINED else said.decode() or "it ended before it was confined"


class Ended(NamedTuple):
    """How a process ended: wait status, and what it used."""

    status: int
    user_s: float
    system_s: float
    peak_kib: int


def fork(judge_shared: Judge | None) -> Child:
    """Make a child that waits for its turn."""
    ours, theirs = socket.socketpair()  # a stream: the filter allows no other
    pid = os.fork()
    if pid == 0:
        _wait_and_run(theirs, judge_shared)
    theirs.close()
    return Child(pid, ours)


def _wait_and_run(gate: socket.socket, judge_shared: Judge | None) -> NoReturn:
    """Confine, wait, and only then read the code. Never returns."""
    code = 70
    try:
        _own_stdin()
        confine_sample(None, (0, 1, 2, gate.fileno()))
        send(gate, _CONFINED)
        work, descriptors = receive(gate)
        gate.close()
        if work:
            code = _run(work, descriptors, judge_shared)
    except LayerError as error:
        send(gate, str(error).encode())
    finally:
        os._exit(code)


def _own_stdin() -> None:
    """A stdin that no later solution shares: the flags of an open file could tell it something."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _run(work: bytes, descriptors: list[int], judge_shared: Judge | None) -> int:
    program, out, err, channel, *report = descriptors
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    os.chdir(work)
    text = read_all(program)
    if not report:
        name, _, source = text.partition(b"\n")
        solution.serve(source.decode("utf-8", "surrogatepass"), name.decode(), channel)
    if judge_shared is None:
        return 70
    gc.enable()
    content = json.loads(text)
    found = judge_shared(content["solution"], content["tests"])
    sys.stdout.flush()
    os.write(report[0], json.dumps(found).encode())
    return 0


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
