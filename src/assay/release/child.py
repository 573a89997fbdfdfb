"""Long commands of other programs, run to their end: logged, watched, and ended whole with all that they started.

Covered: a time limit, Ctrl-C, an error here, `kill -9` of this process: in each case nothing is left running (the same
watchdog that servers have). The output goes to a log file, whose last line is the progress. Not covered: servers, which
go on (`assay.release.deployers`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from assay.data.sources import Progress
from assay.errors import MachineError
from assay.release.deployers import watchdog

GRACE_S = 2.0
"""How long a command may take to end when it is asked to."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
"""For tools that would ask the hub about files that are all here."""
_POLL_S = 0.05
_SAY_S = 3.0
_TAIL = 8192
_NOISE = ("Looking in ", "WARNING: Location ", "[notice]", "Requirement already ")
"""Beginnings of lines of pip's that tell a person nothing; the log has them."""


def run(
    command: Sequence[str],
    log: Path,
    what: str,
    *,
    layer: str,
    progress: Progress | None = None,
    timeout_s: float | None = None,
    environment: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> float:
    """Run a command to its end; returns the seconds it took. `what` names it to people, such as "pip".

    What it writes is appended to `log`; its temporary files go beside that, and go with it. Raises MachineError with
    the log's last lines where it ends with anything but 0, is killed, or takes longer than `timeout_s`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".run-", dir=log.parent.absolute()))
    started = time.monotonic()
    with log.open("ab") as file:
        begin = file.tell()
        process = subprocess.Popen(  # noqa: S603 - fixed commands of ours, no shell
            [sys.executable, "-I", watchdog.__file__, str(GRACE_S), str(scratch), "--", *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, **(environment or {}), "TMPDIR": str(scratch)},
        )
        try:
            code = _wait(process, log, begin, what, progress, timeout_s)
        finally:
            _end(process)
            shutil.rmtree(scratch, ignore_errors=True)
    if code != 0:
        said = tail(log, begin) or "it said nothing"
        why = f"took longer than {timeout_s:g} s" if code is None else f"ended with {code}"
        raise MachineError(f"{what} {why}: {said}\n  log: {log}", layer=layer, hint=hint)
    return time.monotonic() - started


def _wait(
    process: subprocess.Popen[bytes],
    log: Path,
    begin: int,
    what: str,
    progress: Progress | None,
    timeout_s: float | None,
) -> int | None:
    """The exit code; None where the time ran out."""
    started = said = time.monotonic()
    told = ""
    while (code := process.poll()) is None:
        now = time.monotonic()
        if timeout_s is not None and now - started >= timeout_s:
            return None
        if progress is not None and now - said >= _SAY_S:
            said = now
            last = tail(log, begin, lines=1)[:80]
            if last != told:
                told = last
                progress(f"{what}: {last}", 0)
        time.sleep(_POLL_S)
    return code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the watchdog end the command, where it has not ended; kill the group where even that hangs."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S + 10)
    if process.returncode in (None, -signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tail(log: Path, begin: int = 0, lines: int = 12) -> str:
    """The last lines of a log after byte `begin`: printable, without blank ones, of a progress bar its last state."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - _TAIL))
        text = file.read().decode(errors="replace")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    plain = ["".join(mark for mark in line if mark.isprintable()).strip()[:500] for line in shown]
    return "\n".join([line for line in plain if line and not line.startswith(_NOISE)][-lines:])
