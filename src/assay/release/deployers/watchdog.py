"""Keeps one server: it lives no longer than the process that asked for it, however that one ends.

    python -I watchdog.py GRACE_S FOLDER -- COMMAND…

Its standard input is a pipe that assay holds open and never writes to. When that closes (assay is done, or was killed)
the server and all its descendants are ended: asked first, killed after GRACE_S. When the server ends by itself, what it
left behind is killed, and its exit code becomes ours. FOLDER (secrets of this one server) is removed in either case.

On Linux the server is killed as well when the watchdog itself is, and no descendant escapes by a session of its own.
This file imports nothing of assay: it is started with the bare interpreter, in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LINUX = sys.platform.startswith("linux")


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with(parent: int) -> None:
    """In the server's process, before its program: the kernel kills it when its parent goes."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _descendants(pid: int) -> set[int]:
    """All processes below `pid`, where the system can say (Linux)."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        try:
            tasks = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
            below = [int(word) for task in tasks for word in (task / "children").read_text().split()]
        except (OSError, ValueError):
            continue
        waiting += [child for child in below if child not in found]
        found.update(below)
    return found


def _signal(server: subprocess.Popen[bytes], number: int) -> None:
    for pid in _descendants(os.getpid()) or {server.pid}:
        try:
            os.kill(pid, number)
        except OSError:
            continue  # gone already


def _end(server: subprocess.Popen[bytes], grace: float) -> None:
    """Ask, wait, kill: until nothing is left below us."""
    until = time.monotonic() + grace
    _signal(server, signal.SIGTERM)
    while time.monotonic() < until and _left(server):
        time.sleep(0.02)
    while _left(server):
        _signal(server, signal.SIGKILL)
        time.sleep(0.02)


def _left(server: subprocess.Popen[bytes]) -> bool:
    """Whether a process is left; those that ended are collected, orphans of the server too."""
    server.poll()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _watch(server: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the server has ended, or the pipe is closed."""
    while server.poll() is None:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 1024)
        if 0 in ready and not os.read(0, 1024):
            return


def main(grace: float, folder: str, command: list[str]) -> int:
    """Start `command` and stay with it; the exit code is the server's, 128 and its signal where it was killed."""
    wake, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for ignored in (signal.SIGINT, signal.SIGHUP):  # a terminal's keys are for assay, which then closes the pipe
        signal.signal(ignored, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    me = os.getpid()
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: _die_with(me))  # noqa: S603
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    try:
        _watch(server, wake)
        code = server.poll()
        _end(server, grace if code is None else 0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    code = server.returncode if code is None else code
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2], sys.argv[4:]))
