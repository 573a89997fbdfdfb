"""Where a worker begins: a bare interpreter becomes the janitor, which makes the template and the nursery.

    launcher ── (full: new namespaces) ──▶ janitor ──▶ template ──▶ one solution at a time
                                              └──────▶ nursery  ──▶ one checker at a time

The janitor keeps what the others gave up: it can mount a fresh work folder and end everything in the worker.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn

from assay.sandbox import protocol
from assay.sandbox.kernel import PR_SET_CHILD_SUBREAPER, prctl
from assay.sandbox.late import Late
from assay.sandbox.layers import (
    CONFINED,
    LayerError,
    allow_packages,
    bound,
    confine_template,
    die_with_parent,
    enter_worker,
    refresh_work,
    work_folder,
)
from assay.sandbox.messages import MOST_SETTINGS, pair, receive, send
from assay.sandbox.preload import load
from assay.sandbox.protocol import Report, Tests
from assay.sandbox.template import Station, Template

LOW = 100
"""Descriptors that live as long as the worker are moved above this, so that a sample's own never overwrite them."""


REAP_S = 1.0
"""How long the janitor waits for what it has ended."""


def main(template_control: int, nursery_control: int) -> NoReturn:
    """Be a worker until assay hangs up. Both are descriptors of control sockets. Never returns."""
    code = 70
    try:
        template, checkers = _above(template_control), _above(nursery_control)
        _devnull()
        message, _ = receive(template, MOST_SETTINGS)
        settings = json.loads(message[1:])
        if settings["core"] is not None:
            os.sched_setaffinity(0, {settings["core"]})
        late = Late()
        try:
            enter_worker(settings)
        except LayerError as error:
            _tell_failure(template, error)
            code = 71
        else:
            Janitor(settings, template, checkers, late).serve()
            code = 0
    except Exception as error:
        _tell_failure(template, LayerError("worker", 0, repr(error)))
    finally:
        os._exit(code)


def _above(descriptor: int) -> socket.socket:
    import fcntl

    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOW)
    os.close(descriptor)
    return socket.socket(fileno=copy)


def _devnull() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def _tell_failure(control: socket.socket, error: LayerError) -> None:
    content = {"layer": error.layer, "errno": error.errno, "message": error.message}
    send(control, protocol.FAILED + json.dumps(content).encode())


def _bound(limits: dict[str, int]) -> None:
    """The limits of all solutions. Raises LayerError where this machine's own are lower, or there can be none such."""
    try:
        bound(limits)
    except (ValueError, OverflowError) as error:  # how Python tells EPERM and EINVAL of setrlimit
        raise LayerError("limits", errno.EPERM, f"{limits}: {error}") from error


class Janitor:
    """Starts template and nursery, and cleans up after solutions as the template asks."""

    def __init__(self, settings: dict[str, Any], template: socket.socket, checkers: socket.socket, late: Late) -> None:
        self._settings = settings
        self._late = late
        self._controls = (template, checkers)
        self._swept = False
        self._children: list[int] = []

    def serve(self) -> None:
        """Serve the template until it ends; then end the rest of the worker."""
        if sys.platform == "linux":
            prctl(PR_SET_CHILD_SUBREAPER, 1)  # who loses a parent on the way is ours to wait for
        try:
            self._serve()
        finally:
            self._end()

    def _serve(self) -> None:
        """Answer the template until it or the nursery ends: with half a worker nobody is served."""
        requests, nursery = self._start()
        while _speaks(requests, nursery):
            message, _ = receive(requests)
            if message[:1] == protocol.CLEAN:
                refresh_work()
                send(requests, protocol.CLEAN)
            elif message[:1] == protocol.SWEEP:
                requests.close()
                nursery.close()
                requests, nursery = self._sweep(message[1:])
            else:
                return

    def _end(self) -> None:
        """Leave nothing behind, not even processes that have ended: where assay is a container's first process nobody
        would wait for them.
        """
        for child in self._children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + REAP_S
        with suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    time.sleep(0.001)

    def _start(self) -> tuple[socket.socket, socket.socket]:
        """Make template and nursery; returns what is heard of each: requests, and nothing until it ends."""
        requests, theirs = (_above(end.detach()) for end in pair())
        nursery, held = (_above(end.detach()) for end in pair())
        template, checkers = self._controls
        self._children = []
        self._make(
            lambda: _run(lambda control: self._template(control, theirs), template, (checkers, requests, nursery, held))
        )
        self._make(lambda: _run(self._nursery, checkers, (template, requests, theirs, nursery)))
        theirs.close()
        held.close()
        return requests, nursery

    def _make(self, role: Callable[[], NoReturn]) -> None:
        child = os.fork()
        if child == 0:
            self._children = []  # it must never end those of its parent
            role()
        self._children.append(child)

    def _template(self, control: socket.socket, janitor: socket.socket) -> None:
        settings = self._settings
        # Tests that share a solution's process need there what they need in their own.
        shared = settings["test_packages"] if settings["shared"] else ()
        packages = (*settings["packages"], *shared)
        allow_packages(settings, packages)
        load(packages)
        work = work_folder() if settings["tier"] in CONFINED else settings["work"]
        judge = self._judge_shared() if settings["shared"] else None
        _bound(settings["limits"])
        self._confine(control)
        station = Station(control, janitor, settings["profile"], work, judge)
        Template(station).serve()

    def _judge_shared(self) -> Callable[[str, Tests], Report]:
        self._late.install()
        from assay.sandbox.checker import judge_shared

        return judge_shared

    def _nursery(self, control: socket.socket) -> None:
        self._late.install()
        from assay.sandbox import nursery

        allow_packages(self._settings, self._settings["test_packages"])
        load(self._settings["test_packages"])
        self._confine(control)
        nursery.serve(control)

    def _confine(self, control: socket.socket) -> None:
        environment = confine_template(self._settings)
        if not self._swept:  # after a sweep nobody waits for it
            send(control, protocol.READY + json.dumps(environment).encode())

    def _sweep(self, answer: bytes) -> tuple[socket.socket, socket.socket]:
        """End every process but this one, and begin again: only pid 1 of a namespace of its own may do so."""
        if os.getpid() != 1:
            raise AssertionError("outside a namespace of its own this would end processes of others")
        os.kill(-1, signal.SIGKILL)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                break
        refresh_work()
        self._swept = True
        heard = self._start()
        send(self._controls[0], answer)
        return heard


def _speaks(requests: socket.socket, nursery: socket.socket) -> bool:
    """Wait until the template has something to say; False where the nursery has ended."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    poll.register(nursery, select.POLLIN)
    return all(descriptor != nursery.fileno() for descriptor, _ in poll.poll())


def _run(role: Callable[[socket.socket], None], control: socket.socket, others: Iterable[socket.socket]) -> NoReturn:
    """Be the template or the nursery. What goes wrong is told where assay listens; it ends the worker either way."""
    code = 70
    try:
        die_with_parent()
        for other in others:
            other.close()
        role(control)
        code = 0
    except LayerError as error:
        _tell_failure(control, error)
    except Exception as error:
        _tell_failure(control, LayerError("worker", 0, repr(error)))
    finally:
        os._exit(code)
