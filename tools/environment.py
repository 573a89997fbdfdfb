"""Sets up `.venv` for `make`: the pinned packages, each checked against its hash, and assay itself, editable.

Standard library only, and old syntax, so that it can say what is missing on a machine that has little. pip is
used as the user configured it, so mirrors and proxies work; `constraints.txt` names no host. pip itself comes
first, from the same file, because older ones do not check hashes that stand in constraints.

One package is installed without a hash: torch, for the extra `hf`. Its builds differ by machine (CPU, CUDA,
ROCm) under one version number and come from different indexes, so that no list of hashes would fit.

    python3 tools/environment.py --extra local --group dev
"""
# ruff: noqa: S603

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "assay-setup.json"
OLDEST = (3, 11)
BUILD = ("hatchling", "editables")
UNHASHED = {"torch": "torch==2.13.0"}
TORCH_NEEDS = ("filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "typing_extensions")


class SetupError(Exception):
    """The set-up cannot go on: says what is missing and how to get it."""


def find_python() -> str:
    """A Python that is new enough: the one that runs this, or another on the PATH. Raises SetupError."""
    if sys.version_info >= OLDEST:
        return sys.executable
    found = [shutil.which(f"python3.{minor}") for minor in (13, 12, 11)]
    for path in found:
        if path and subprocess.run([path, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return path
    version = sys.version.split()[0]
    raise SetupError(
        f"Python 3.11 or newer is needed; {sys.executable} is {version}.\n"
        "  On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv"
    )


def make_venv(python: str) -> None:
    """Create `.venv`, or renew one whose Python no longer runs. Raises SetupError."""
    inside = VENV / "bin" / "python"
    if inside.exists() and _runs([str(inside), "-c", "import pip"]):
        return
    if not _runs([python, "-c", "import venv, ensurepip"]):
        raise SetupError(
            f"{python} cannot make virtual environments (no module ensurepip).\n"
            "  On Debian and Ubuntu: apt-get install python3-venv"
        )
    _run([python, "-m", "venv", "--clear", str(VENV)], "creating .venv")


def _runs(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: list[str], what: str) -> None:
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        raise SetupError(f"{what} failed; the reason stands above this line.")


def pip(what: str, *arguments: str) -> None:
    """Run `.venv`'s pip install. Raises SetupError with what to look at."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-input"]
    sys.stderr.write(f"set-up: {what}\n")
    try:
        _run([*command, "--disable-pip-version-check", *arguments], what)
    except SetupError as error:
        hint = "Packages come from the index of your own pip configuration: see `python3 -m pip config list`."
        raise SetupError(f"{error}\n  {hint}") from None


def requirements(extras: list[str], groups: list[str]) -> list[str]:
    """What pyproject.toml asks for, by extra and by group, with the tools that build it."""
    project = _pyproject()
    wanted = [*BUILD, *project["project"]["dependencies"]]
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    for group in groups:
        wanted += project["dependency-groups"][group]
    return wanted


def _pyproject() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def install(extras: list[str], groups: list[str]) -> None:
    """Install pip, the pinned packages and assay. Raises SetupError."""
    wanted = requirements(extras, groups)
    apart = [UNHASHED[_name(item)] for item in wanted if _name(item) in UNHASHED]
    locked = [item for item in wanted if _name(item) not in UNHASHED] + list(TORCH_NEEDS if apart else ())
    with tempfile.TemporaryDirectory() as folder:
        only_pip = Path(folder) / "pip.txt"
        only_pip.write_text(pinned("pip"))
        pip("pip itself", "--require-hashes", "-r", str(only_pip))
    constraints = str(ROOT / "constraints.txt")
    pip(
        f"pinned packages ({', '.join(extras + groups) or 'core'})",
        "--require-hashes",
        "-c",
        constraints,
        *locked,
    )
    if apart:
        pip(f"{', '.join(apart)} (without a hash)", *apart)
    pip("assay", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def pinned(name: str) -> str:
    """The lines of constraints.txt that pin one package. Raises SetupError."""
    text = (ROOT / "constraints.txt").read_text()
    match = re.search(rf"^{name}==.*\n(?:[ \t].*\n)*", text, re.MULTILINE)
    if match is None:
        raise SetupError(f"constraints.txt does not pin {name}; run `make constraints`.")
    return match[0]


def fingerprint() -> str:
    """A digest of all that decides what `.venv` should hold."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "tools/environment.py")]
    return hashlib.sha256(b"\0".join([*parts, str(ROOT).encode()])).hexdigest()


def stamp() -> dict[str, Any]:
    """What the last set-up left: the fingerprint, the extras, the groups; empty where there was none."""
    try:
        value = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def main() -> int:
    """Set up what is asked for, on top of what is there; quick where nothing changed."""
    parser = argparse.ArgumentParser(description="Set up .venv with pinned packages.")
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--group", action="append", default=[])
    options = parser.parse_args()
    old = stamp()
    extras = sorted({*options.extra, *old.get("extras", ())})
    groups = sorted({*options.group, *old.get("groups", ())})
    new = {"fingerprint": fingerprint(), "extras": extras, "groups": groups}
    try:
        python = find_python()
        if old == new and _runs([str(VENV / "bin" / "python"), "-c", "import assay"]):
            return 0
        if python != sys.executable:  # tomllib is new in 3.11
            os.execv(python, [python, __file__, *sys.argv[1:]])  # noqa: S606
        make_venv(python)
        install(extras, groups)
    except SetupError as error:
        sys.stderr.write(f"\nset-up failed: {error}\n")
        return 1
    STAMP.write_text(json.dumps(new, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
