"""Runs one command and says what it cost: wall time, CPU time, peak memory. Keeps the stub server running."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "tests" / "support" / "stub.py"


class NotDoneError(Exception):
    """A measured command did not do its work, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one whole command took: seconds on the clock, seconds of CPU (children included), megabytes."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, {self.cpu_s:.2f} s of CPU, {self.peak_mb:.0f} MB"

    def to_json(self) -> dict[str, float]:
        """As a JSON object, rounded to what was truly measured."""
        return {key: round(value, 4) for key, value in asdict(self).items()}


def cores() -> tuple[set[int], set[int]]:
    """The core for the stub and the core for what is measured; both all there are where there is only one."""
    have = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ({have[0]}, {have[1]}) if len(have) > 1 else (set(have), set(have))


def _pinned(core: set[int]) -> None:
    if core:
        os.sched_setaffinity(0, core)


def measure(
    command: Sequence[str | Path],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    pin: bool = True,
    ok: Sequence[int] = (0,),
) -> Cost:
    """Run a command to its end in `folder`, on one core; its output in `log.txt`. Raises NotDoneError."""
    core = cores()[1] if pin else set()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("wb") as log:
        begun = time.perf_counter()
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: _pinned(core),
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in ok:
        tail = (folder / "log.txt").read_text(errors="replace")[-2000:]
        raise NotDoneError(f"{' '.join(map(str, command))} ended with {child.returncode}:\n{tail}")
    scale = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes here
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running stub server."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it has seen."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats") as answer:
            return dict(json.load(answer))


@contextmanager
def stub(*options: str) -> Iterator[Endpoint]:
    """The stub server on a core of its own."""
    core = cores()[0]
    process = subprocess.Popen(
        [sys.executable, str(STUB), *options], stdout=subprocess.PIPE, preexec_fn=lambda: _pinned(core)
    )
    try:
        assert process.stdout is not None
        yield Endpoint(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.wait()


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, memory, system, Python."""
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "machine": platform.machine(),
        "processor": _first(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }
    return facts


def _first(path: Path, key: str) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")
