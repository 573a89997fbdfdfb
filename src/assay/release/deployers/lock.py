"""One deployment at a time: a lock of the operating system in `$ASSAY_HOME`, held as long as the server lives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from assay.errors import MachineError
from assay.home import home

_POLL_S = 0.1


def acquire(what: str, wait_s: float = 0.0) -> int:
    """The descriptor of the lock, to be closed. The kernel frees it when the last process that has it open ends.

    Raises MachineError that names the holder's process id where another deployment is up after `wait_s` seconds.
    """
    path = home() / "deployment.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(held, time.monotonic() + wait_s)
        os.ftruncate(held, 0)
        os.pwrite(held, f"{os.getpid()} {what}\n".encode(), 0)
    except BaseException:
        os.close(held)
        raise
    return held


def _take(held: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise _busy(held) from None
            time.sleep(_POLL_S)
        else:
            return


def _busy(held: int) -> MachineError:
    pid, _, what = os.pread(held, 1000, 0).decode(errors="replace").strip().partition(" ")
    who = f"{what or 'a model'}, of process {pid or 'unknown'}"
    hint = "one set of weights at a time: wait for it, end it, or allow several at once"
    return MachineError(f"another deployment is up: {who}", layer="deployment", hint=hint)


@contextmanager
def alone(what: str, wait_s: float = 0.0) -> Iterator[int]:
    """The lock, for the length of a block."""
    held = acquire(what, wait_s)
    try:
        yield held
    finally:
        os.close(held)
