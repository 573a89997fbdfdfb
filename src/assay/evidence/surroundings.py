"""What a run ran in, for its manifest: interpreter, packages, machine, kernel, sandbox, and the git work tree.

Nothing here names the host, its user or its network: a manifest is made to be handed on.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.run import journal
from assay.run.folder import RunFolder

_GIT_SECONDS = 20.0
"""A work tree that git cannot look through in this time is not known to be clean."""


def surroundings(folder: RunFolder) -> dict[str, Any]:
    """Versions, machine, kernel, and for each task that executed code how it was confined."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": packages(),
        "platform": sys.platform,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_mib": memory_mib(),
    }
    boxes = sandboxes(folder)
    return found | ({"sandbox": boxes} if boxes else {})


def packages() -> dict[str, str]:
    """The versions of the packages that assay names as its own needs, extras included, where they are installed."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    found = {}
    for line in requires("assay") or ():
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {name: found[name] for name in sorted(found) if name != "assay"}


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The processor's name; None where the system does not say."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, None)


def memory_mib() -> int | None:
    """Physical memory in MiB; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return None


def sandboxes(folder: RunFolder) -> dict[str, Mapping[str, Any]]:
    """For each task whose code was executed, what the newest control says of the sandbox: its tier, its kernel."""
    return {record["task"]: record["sandbox"] for _, _, record in journal.read(folder.controls) if "sandbox" in record}


def work_tree(place: Path) -> dict[str, Any] | None:
    """The git work tree around `place`: the revision checked out (None before the first commit), and whether tracked
    files differ from it (None where git could not tell). None where there is no work tree or no git.
    """
    if _git(place, "rev-parse", "--is-inside-work-tree") != "true":
        return None
    status = _git(place, "status", "--porcelain", "--untracked-files=no")
    return {
        "revision": _git(place, "rev-parse", "--verify", "--quiet", "HEAD"),
        "dirty": None if status is None else bool(status),
    }


def _git(place: Path, *arguments: str) -> str | None:
    """What git says, None where it fails. It runs nothing that the work tree's configuration names."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(place), "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, env=clean, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
