"""Python environments that assay makes, keeps and reuses, each for one tool whose pins conflict with those of others.

`$ASSAY_HOME/environments/<name>-<digest of its requirements and its Python>/`, made with venv and filled by pip as
the user has configured it: index, mirror and proxy are the user's. An environment is made where it stays, because the
commands in it name their place, and counts as made once `ready.json` is in it, which is written last; one without it
is made anew. A lock keeps two processes from making the same one. `ASSAY_<NAME>_PYTHON` names a Python of the user's
own instead.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.data.sources import Progress
from assay.errors import ConfigError, MachineError, Problem
from assay.files import digest_of, write_atomic
from assay.home import home
from assay.release.child import run

SCHEMA = "assay.environment.v1"
_TIMEOUT_S = 3600.0
_HINT = "pip reads its index, mirror and proxy from its own configuration (`pip config list`)"
_ABOUT = (
    "import importlib.metadata as m, json, platform; "
    "print(json.dumps({'python': platform.python_version(), 'machine': platform.machine(), 'packages': "
    "sorted({(d.metadata['Name'] or '').lower() + '==' + d.version for d in m.distributions()})}))"
)
"""What a Python says of itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an environment must have. `name` in lower case; `packages` pinned; `disk`: bytes that it takes, about."""

    name: str
    packages: tuple[str, ...]
    disk: int
    pythons: tuple[str, ...] = ()
    """The Pythons that it can be made with, such as `3.11`, where not every one will do."""

    @property
    def variable(self) -> str:
        """The environment variable by which a user gives a Python of their own."""
        return f"ASSAY_{self.name.upper().replace('-', '_')}_PYTHON"


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python that has what was wanted. `own`: made by assay, not given by the user."""

    name: str
    python: Path
    own: bool

    def lock(self) -> Mapping[str, Any]:
        """What is installed, for the evidence: `python`, `packages` (sorted `name==version`), `digest` of both.

        Names no index and no path. Raises MachineError where that Python does not run.
        """
        about = _about(self.python)
        lock = {"name": self.name, "python": about["python"], "packages": about["packages"]}
        return {**lock, "digest": digest_of(lock)}


def prepared(wanted: Wanted, progress: Progress | None = None, python: Path | None = None) -> Environment:
    """The environment: the user's (`python`, else the variable), the one made before, or one made now.

    Raises ConfigError where the Python that was named is not there, MachineError where none can be made.
    """
    named, where = (str(python), "--python") if python else (os.environ.get(wanted.variable), wanted.variable)
    if named:
        path = Path(named).expanduser().absolute()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ConfigError(Problem(f"{path} is no program", where, allowed="the path of a Python"))
        return Environment(wanted.name, path, own=False)
    return _own(wanted, progress)


def folder(wanted: Wanted) -> Path:
    """Where the environment is, or will be. Raises MachineError where no Python fits it."""
    about = _about(interpreter(wanted))
    key = {"packages": sorted(wanted.packages), "python": about["python"], "machine": about["machine"]}
    return home() / "environments" / f"{wanted.name}-{digest_of(key)[:16]}"


def _own(wanted: Wanted, progress: Progress | None) -> Environment:
    place = folder(wanted)
    inside = place / "bin" / "python"
    if not _ready(place):
        with _lock(place, progress):
            if not _ready(place):
                _make(wanted, place, progress)
    return Environment(wanted.name, inside, own=True)


def _ready(place: Path) -> bool:
    """Whether it was made whole, and its Python still runs (it hangs on the Python it was made with)."""
    if not (place / "ready.json").is_file():
        return False
    command = [str(place / "bin" / "python"), "-I", "-c", ""]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def _make(wanted: Wanted, place: Path, progress: Progress | None) -> None:
    if place.exists():
        shutil.rmtree(place)
    room(place.parent, wanted.disk, f"the environment {wanted.name!r}")
    log = place.with_suffix(".log")
    log.unlink(missing_ok=True)
    what = f"setting up {wanted.name} (once, about {wanted.disk / 1e9:.1f} GB)"
    if progress is not None:
        progress(what, 0)
    try:
        _fill(wanted, place, log, what, progress)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _fill(wanted: Wanted, place: Path, log: Path, what: str, progress: Progress | None) -> None:
    venv = [str(interpreter(wanted)), "-I", "-m", "venv", str(place)]
    hint = "on Debian and Ubuntu: apt-get install python3-venv"
    run(venv, log, "python -m venv", layer="venv", timeout_s=_TIMEOUT_S, hint=hint)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command = [*pip, "--progress-bar=off", *wanted.packages]
    run(command, log, what, layer="pip", progress=progress, timeout_s=_TIMEOUT_S, hint=_HINT)
    made = Environment(wanted.name, place / "bin" / "python", own=True)
    ready = {"schema": SCHEMA, "wanted": list(wanted.packages), "lock": dict(made.lock())}
    write_atomic(place / "ready.json", orjson.dumps(ready, option=orjson.OPT_INDENT_2))


def interpreter(wanted: Wanted) -> Path:
    """The Python to make it with: the running one where it fits, else another on the PATH. Raises MachineError."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not wanted.pythons or running in wanted.pythons:
        return Path(sys.executable)
    for version in wanted.pythons:
        if found := shutil.which(f"python{version}"):
            return Path(found)
    names = " or ".join(wanted.pythons)
    message = f"{wanted.name} can be had for Python {names}; this is {running}, and no other is on the PATH"
    hint = f"install Python {wanted.pythons[-1]}, or name one that has the packages: {wanted.variable}=/path/to/python"
    raise MachineError(message, layer="python", hint=hint)


def _about(python: Path) -> dict[str, Any]:
    """Its version, machine and packages. Raises MachineError."""
    try:
        done = subprocess.run(  # noqa: S603 - a Python that the user or we chose, fixed code
            [str(python), "-I", "-c", _ABOUT], capture_output=True, check=False, timeout=60
        )
        value = orjson.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, orjson.JSONDecodeError) as error:
        raise MachineError(f"{python} does not run as a Python ({error})", layer="python") from None
    return dict(value)


def room(where: Path, needed: int, what: str) -> None:
    """Refuse what would not fit on the disk. Raises MachineError."""
    there = where
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needed:
        message = f"{what} needs about {needed / 1e9:.1f} GB and {there} has {free / 1e9:.1f} GB free"
        raise MachineError(message, layer="disk", hint="free some space, or name another folder")


@contextmanager
def _lock(place: Path, progress: Progress | None) -> Iterator[None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress is not None:
                progress(f"waiting for another process that sets up {place.name}", 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
