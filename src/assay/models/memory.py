"""Memory safety: how much there is, and whether a model may and can be loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from assay.errors import ConfigError, MemoryTaken, ModelUnavailable, Problem
from assay.models.base import Size

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes that this process may still use: what the kernel has free, or less where a control group limits it.

    None where the system does not say (no /proc).
    """
    bounds = [bound for bound in (_kernel("MemAvailable"), *_groups(_left)) if bound is not None]
    return min(bounds, default=None)


def installed() -> int | None:
    """Bytes that there are at all, whoever uses them now, or fewer where a control group limits this process.

    None where the system does not say (no /proc).
    """
    bounds = [bound for bound in (_kernel("MemTotal"), *_groups(_limits)) if bound is not None]
    return min(bounds, default=None)


def _kernel(key: str) -> int | None:
    try:
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


_Files = tuple[str, str, str]
"""The files of a control group: its limit, what it uses, and which part of that is given back when asked for."""


def _groups(read: Callable[[Path, _Files], int | None]) -> Iterator[int | None]:
    """What is read of each control group that holds this process (version 2, then version 1)."""
    for hierarchy, group in _own_groups():
        if hierarchy == "":
            root, files = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in hierarchy.split(","):
            root = CGROUPS / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A limit holds for all below it, so every level up to the root is asked.
        folder = root / group
        yield from (read(level, files) for level in (folder, *folder.parents) if level.is_relative_to(root))


def _own_groups() -> list[tuple[str, str]]:
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    parts = [line.split(":", 2) for line in lines]
    return [(part[1], part[2].strip("/")) for part in parts if len(part) == 3]


def _left(level: Path, files: _Files) -> int | None:
    limit, used = _number(level / files[0]), _number(level / files[1])
    if limit is None or used is None:
        return None
    # Pages of files that nobody reads are given back before anything is refused.
    return max(0, limit - used + (_stat(level / "memory.stat", files[2]) or 0))


def _limits(level: Path, files: _Files) -> int | None:
    return _number(level / files[0])


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())  # "max" is no number: no limit
    except (OSError, ValueError):
        return None


def _stat(path: Path, key: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key:
                return int(value)
    except (OSError, ValueError):
        return None
    return None


def check(size: Size, name: str) -> None:
    """Refuse a model that would not fit in free memory. Raises ModelUnavailable that names both numbers; MemoryTaken, a
    kind of it, where the model would fit if nobody else used any.

    Passes where either number is unknown: then there is nothing to compare.
    """
    free, whole = available(), installed()
    if size.memory is None or free is None or size.memory <= free:
        return
    kind = MemoryTaken if whole is not None and size.memory <= whole else ModelUnavailable
    raise kind(
        f"{name} needs {gigabytes(size.memory)} of memory ({size.source}), {gigabytes(free)} are free",
        layer="memory",
        hint="free memory, or take a smaller model, fewer slots or a shorter context",
    )


def check_limit(size: Size | None, most: float | None, name: str) -> None:
    """Refuse a model of more than `most` billion parameters, or of unknown size where there is a limit.

    Raises ConfigError that names the size, where it was read from, and the limit.
    """
    if most is None:
        return
    allowed = f"at most {most:g} billion parameters (max_model_b)"
    if size is None or size.parameters is None:
        message = f"{name}: how many parameters it has cannot be known before it is loaded, and there is a limit"
        raise ConfigError(Problem(message, allowed=allowed))
    if size.parameters > most * 1e9:
        billions = f"{size.parameters / 1e9:.4g} billion parameters"
        raise ConfigError(Problem(f"{name} has {billions} ({size.source})", allowed=allowed))


def gigabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.2f} GB"
