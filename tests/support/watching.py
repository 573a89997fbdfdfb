"""What a more privileged process sees of another and of all below it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from support.gauntlet import descendants

_SETTLED_S = 10.0


class Look:
    """The processes, and how many descriptors and mounts each of them has, as far as one may look."""

    def __init__(self, pid: int) -> None:
        self.processes = [pid, *descendants(pid)]
        self.descriptors = sorted(_each(lambda number: len(list(Path(f"/proc/{number}/fd").iterdir())), self.processes))
        self.mounts = sorted(_each(lambda number: len(_lines(number, "mountinfo")), self.processes))
        self.own_mounts = _lines("self", "mountinfo")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Look) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def settled(cls, pid: int) -> Look:
        """Once two looks in a row see the same: processes may be about to start."""
        deadline = time.monotonic() + _SETTLED_S
        before = cls(pid)
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = cls(pid)
            if now == before:
                return now
            before = now
        raise AssertionError(f"it does not settle: {vars(before)}")


def memory(pid: int, *, itself: bool = True) -> float:
    """MiB that a process and those below it take; a page that several share counts in parts, once in all."""
    processes = [pid, *descendants(pid)] if itself else descendants(pid)
    return sum(_each(_share, processes)) / 1024


def _share(pid: int) -> int:
    return next(int(line.split()[1]) for line in _lines(pid, "smaps_rollup") if line.startswith("Pss:"))


def _lines(pid: int | str, name: str) -> list[str]:
    return Path(f"/proc/{pid}/{name}").read_text().splitlines()


def _each(look: Callable[[int], int], processes: list[int]) -> list[int]:
    """What is seen of every process that may be looked at."""
    found = []
    for pid in processes:
        try:
            found.append(look(pid))
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
    return found
