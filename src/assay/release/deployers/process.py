"""A server in a process group of its own, that never outlives us: start it, wait until it answers, end it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from assay.errors import DeploymentFailed, MachineError
from assay.home import home
from assay.release.deployers import watchdog

GRACE_S = 5.0
"""How long a server may take to end when it is asked to."""
_TAIL = 8192
_LINES = 15
LAYER = "deployment"


class Process:
    """One running server. `folder` is private to it (keys, configuration) and goes when it ends.

    `log` gets all that it writes, after `log_start` bytes of earlier ones.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.log_start = log.stat().st_size if log.exists() else 0
        self.folder = _private_folder()
        self._started = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str], keep: Sequence[int] = ()) -> None:
        """Start `command` under the watchdog; `keep` are descriptors that stay open as long as it lives (a lock).

        Raises MachineError where no process can be started.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        watched = [sys.executable, "-I", watchdog.__file__, str(GRACE_S), str(self.folder), "--", *command]
        try:
            with self.log.open("ab") as log:
                log.write(f"$ {' '.join(command)}\n".encode())
                log.flush()
                self._process = subprocess.Popen(  # noqa: S603 - the command is a deployer's
                    watched,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    start_new_session=True,
                    pass_fds=tuple(keep),
                )
        except OSError as error:
            raise MachineError(f"{command[0]}: {error.strerror}", layer=LAYER, errno=error.errno) from error

    @property
    def group(self) -> int:
        """The id of the process group, which is that of the watchdog."""
        return self._process.pid if self._process else 0

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._started

    def alive(self) -> bool:
        """Whether the server is running."""
        return self._process is not None and self._process.poll() is None

    def code(self) -> int | None:
        """Its exit code (128 and the signal where it was killed); None while it runs."""
        return self._process.poll() if self._process else None

    def members(self) -> list[int]:
        """The ids of the processes in its group, where the system can say (Linux); the watchdog is one of them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getpgid(int(entry.name)) == self.group:
                    found.append(int(entry.name))
        return found

    def wait_until(self, answers: Callable[[], bool], deadline_s: float, what: str) -> float:
        """Wait until `answers`; the seconds since the start.

        Raises DeploymentFailed, with the end of the log, where the server ends first or the deadline passes.
        """
        pause = 0.02
        while self.alive():
            if answers() and self.alive():
                return self.seconds
            if self.seconds > deadline_s:
                self.stop()
                raise self.failed(f"{what} did not answer within {deadline_s:g} s")
            time.sleep(pause)
            pause = min(0.5, pause * 1.5)
        self.stop()
        raise self.failed(f"{what} ended with exit code {self.code()} before it answered")

    def failed(self, message: str) -> DeploymentFailed:
        """The error of a server that does not work, with what it said last."""
        said = tail(self.log)
        return DeploymentFailed("\n".join([message, *(f"  | {line}" for line in said)]), hint=f"its log: {self.log}")

    def stop(self) -> None:
        """End the server and everything it started. Safe to call twice."""
        process = self._process
        if process is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S + 10)
        if process.returncode in (None, -signal.SIGKILL):  # it hangs, or was killed and may have left somebody behind
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _private_folder() -> Path:
    folder = home() / "deployments" / f"{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def free_port() -> int:
    """A port of this machine's loopback that nobody listens on now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def tail(log: Path, lines: int = _LINES) -> list[str]:
    """The last lines of a log, printable and cut at 300 characters each; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    shown = ["".join(mark for mark in line if mark.isprintable())[:300] for line in text.splitlines()]
    return [line for line in shown if line.strip()][-lines:]
