"""A process that outlives the command that started it: which one it is, whether it still runs, and ending it.

A number alone does not name a process: numbers are used again. With the time at which it started it does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def started(pid: int) -> str | None:
    """When a process started, in words that no other process of this number has; None where it does not run."""
    if _PROC.joinpath("self", "stat").exists():
        return _started_by_kernel(pid)
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(maxsplit=1)  # noqa: S603
    return None if len(listed) < 2 or listed[0].startswith("Z") else listed[1].strip()


def _started_by_kernel(pid: int) -> str | None:
    """The ticks since boot from /proc, and the boot's own id: ticks begin again at every boot."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def end_group(pid: int, patience_s: float = 10.0) -> None:
    """End a process that leads a group, and its group: asked first, made to after `patience_s`."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        if not _gone(pid, patience_s):
            os.killpg(pid, signal.SIGKILL)
            _gone(pid, patience_s)


def _gone(pid: int, seconds: float) -> bool:
    """Wait until nothing of a group runs any more. A child of ours is reaped, or it would count as running."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if not _runs(pid):
            return True
        time.sleep(0.05)
    return False


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # macOS says so of a group of zombies, too; the caller's patience ends it
    return True
