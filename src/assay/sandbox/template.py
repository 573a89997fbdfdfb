"""The template: a confined, quiet process that forks solutions, gives them their turn one by one, and ends them.

It knows no program's text. What it says of an attempt (CPU, memory, how the process ended, which limit was hit) is
measured from outside the solution.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from typing import NamedTuple

from assay.sandbox import child, protocol
from assay.sandbox.child import Job, Judge, cpu_seconds
from assay.sandbox.layers import mark_work, work_is_dirty
from assay.sandbox.messages import receive, send

READY_S = 120.0
"""How long the checker may take to compile an attempt's tests, wall seconds."""

LINGER_S = 1.0
"""How long the checker may take to write its report once the solution is gone."""

CHECKER_FACTOR = 4.0
"""The checker's CPU limit as a multiple of the solution's: comparing is work too, but trusted work."""


class Station(NamedTuple):
    """Where the template works: its sockets, the profile, the folder that solutions stand in, and what judges one whose
    tests share its process, where that is allowed.
    """

    control: socket.socket
    janitor: socket.socket
    profile: str
    work: str
    judge_shared: Judge | None


class Bounds(NamedTuple):
    """One attempt's limits, and whether its tests run in its own process."""

    cpu_s: float
    wall_s: float
    shared: int


class Template:
    """Serves jobs until assay hangs up."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._checker: socket.socket | None = None
        self._checker_pid = 0
        self._poll = select.poll()

    def serve(self) -> None:
        """Serve until the control socket is closed. What every solution inherits as it is, is set once: the limits by
        now, the folder here.
        """
        os.chdir(self._station.work)
        child.warm()
        gc.collect()
        gc.freeze()
        gc.disable()
        while True:
            message, descriptors = receive(self._station.control)
            if not message:
                return
            if message[:1] == protocol.CHECKER:
                self._take_checker(descriptors[0])
            elif message[:1] == protocol.JOB:
                self._job(Bounds(*protocol.LIMITS.unpack(message[1:])), descriptors)

    def _take_checker(self, descriptor: int) -> None:
        self._drop_checker()
        self._checker = socket.socket(fileno=descriptor)
        self._checker.settimeout(READY_S)
        try:
            message, _ = receive(self._checker)
        except TimeoutError:
            message = b""
        if message[:1] != protocol.READY:
            self._drop_checker()
            return
        self._checker.settimeout(None)
        (self._checker_pid,) = protocol.PID.unpack(message[1:])
        self._poll.register(self._checker, select.POLLIN)

    def _drop_checker(self) -> None:
        if self._checker is not None:
            if self._checker_pid:
                self._poll.unregister(self._checker)
            self._checker.close()
        self._checker, self._checker_pid = None, 0

    def _job(self, bounds: Bounds, descriptors: list[int]) -> None:
        program, out, err, report = descriptors
        began = time.monotonic()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                job = Job(program, out, err, theirs.fileno(), report if bounds.shared else None)
                pid, said = child.fork(job, self._station.judge_shared)
            hung_up, limit = self._judge(pid, ours, report, bounds)
        ended, killed = child.end(pid, at_once=not hung_up)
        if refused := child.confinement(said):
            os.write(err, refused.encode())
        for descriptor in descriptors:
            os.close(descriptor)
        result = protocol.RESULT.pack(
            *ended,
            time.monotonic() - began,
            protocol.TIMEOUTS.index(limit),
            not refused,
            killed or limit is not None,
            self._checker is not None and self._strict,
        )
        self._answer(protocol.DONE + result)

    @property
    def _strict(self) -> bool:
        return self._station.profile == "strict"

    def _judge(self, pid: int, channel: socket.socket, report: int, bounds: Bounds) -> tuple[bool, str | None]:
        """Let the tests run to their end or to a limit: whether the solution hung up, and which limit was hit."""
        if bounds.shared:
            return self._wait_shared(pid, channel, bounds)
        if self._checker is None:
            return False, None
        try:
            send(self._checker, protocol.GO, [channel.fileno(), report])
        except OSError:
            self._drop_checker()
            return False, None
        channel.close()
        limit = self._wait(pid, bounds)
        if limit is not None:
            os.kill(pid, signal.SIGKILL)
            if limit == "checker" or not self._poll.poll(LINGER_S * 1000):
                self._drop_checker()
                return True, limit
        return self._heard(limit)

    def _heard(self, limit: str | None) -> tuple[bool, str | None]:
        assert self._checker is not None  # noqa: S101  it has just spoken
        message, _ = receive(self._checker)
        if message[:1] != protocol.OVER:
            self._drop_checker()
            return False, limit
        return message[1] == 1, limit

    def _wait(self, pid: int, bounds: Bounds) -> str | None:
        """Wait until the checker speaks; the limit that was hit first, if any."""
        deadline = time.monotonic() + bounds.wall_s
        tests_s = CHECKER_FACTOR * bounds.cpu_s + cpu_seconds(self._checker_pid)
        pause = min(bounds.cpu_s, bounds.wall_s)
        while not self._poll.poll(max(1.0, 1000 * pause)):
            left = {
                "wall": deadline - time.monotonic(),
                "cpu": bounds.cpu_s - cpu_seconds(pid),
                "checker": tests_s - cpu_seconds(self._checker_pid),
            }
            for name, seconds in left.items():
                if seconds <= 0:
                    return name
            pause = min(left.values())
        return None

    def _wait_shared(self, pid: int, channel: socket.socket, bounds: Bounds) -> tuple[bool, str | None]:
        """Wait until the solution closes its end of the channel, which it does by ending."""
        poll = select.poll()
        poll.register(channel, select.POLLIN)
        deadline = time.monotonic() + bounds.wall_s
        pause = min(bounds.cpu_s, bounds.wall_s)
        while not poll.poll(max(1.0, 1000 * pause)):
            left = {"wall": deadline - time.monotonic(), "cpu": bounds.cpu_s - cpu_seconds(pid)}
            for name, seconds in left.items():
                if seconds <= 0:
                    return False, name
            pause = min(left.values())
        return True, None

    def _answer(self, message: bytes) -> None:
        """Leave the worker as it was before the attempt, then say that the attempt is over."""
        if not self._strict:
            send(self._station.janitor, protocol.SWEEP + message)
            signal.pause()  # the janitor ends this process too, and answers in its place
        if work_is_dirty():
            send(self._station.janitor, protocol.CLEAN)
            receive(self._station.janitor)
            os.chdir(self._station.work)  # the one before is no longer there
            mark_work()
        send(self._station.control, message)
