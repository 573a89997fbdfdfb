"""Running code as root and as an unprivileged user, in a bare interpreter that both can read."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assay.sandbox.view import SITE_FOLDERS, interpreter

ROOT, NOBODY = 0, 65534

EVERYONE = pytest.mark.parametrize("uid", [pytest.param(ROOT, id="root"), pytest.param(NOBODY, id="nobody")])
"""Once as root and once as nobody; for who is not root, once as oneself in nobody's place."""

_PACKAGE = Path(sys.modules["assay"].__file__ or "").parent
_HEAD = "import sys\nsys.path.insert(0, {folder!r})\n"


def as_user(uid: int, code: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run code in a bare interpreter as `uid`; `assay.sandbox` can be imported. Skips where one cannot be that user."""
    command = _command(uid, code)
    return subprocess.run(**command, capture_output=True, timeout=timeout, check=False)


@contextmanager
def started(uid: int, code: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The same, to talk to on stdin and stdout while it runs. It must end by itself, and well."""
    command = _command(uid, code)
    command["env"] |= environment
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(**command, **pipes) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0


def _command(uid: int, code: str) -> dict[str, Any]:
    """What `subprocess` is told."""
    own = os.geteuid()
    if own != ROOT and uid == ROOT:
        pytest.skip("the tests do not run as root")
    change = {"user": uid, "group": uid, "extra_groups": []} if own == ROOT and uid != ROOT else {}
    python = _python_for_others() if change else interpreter()
    return {
        "args": [python, "-s", "-S", "-P", "-B", "-c", _HEAD.format(folder=str(_sources())) + code],
        "text": True,
        "cwd": "/",
        "env": {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", **_libraries_of(python)},
        **change,
    }


@functools.cache
def _public() -> tempfile.TemporaryDirectory[str]:
    """A folder that everyone can read, removed when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="assay-tests-", dir=next(_open_folders()))
    Path(folder.name).chmod(0o755)
    return folder


def _open_folders() -> Iterator[str]:
    for folder in ("/var/tmp", tempfile.gettempdir(), "/tmp"):  # in a worker /tmp is the work folder
        if Path(folder).is_dir() and all(
            parent.stat().st_mode & 0o005 == 0o005 for parent in (Path(folder), *Path(folder).parents)
        ):
            yield folder
    pytest.skip("there is no temporary folder that other users can read")


def public_folder() -> Path:
    """A folder that everyone can read and list; what a test leaves there goes when the tests end."""
    return Path(_public().name)


@functools.cache
def _sources() -> Path:
    """A copy of the sandbox's modules, alone: the package itself may be out of others' reach."""
    folder = Path(_public().name) / "sources"
    shutil.copytree(_PACKAGE / "sandbox", folder / "assay" / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "assay" / "__init__.py").write_text("")
    shutil.copy2(_PACKAGE / "errors.py", folder / "assay")
    (folder / "support").mkdir()
    for module in ("gauntlet.py", *(path.name for path in Path(__file__).parent.glob("attack*.py"))):
        shutil.copy2(Path(__file__).with_name(module), folder / "support")
    _open(folder)
    return folder


@functools.cache
def _python_for_others() -> str:
    """An interpreter that other users can run: this one, the system's, or a copy of this one."""
    for candidate in (interpreter(), os.path.realpath("/usr/bin/python3")):
        if _serves_others(candidate):
            return candidate
    return _copied_python()


def _libraries_of(python: str) -> dict[str, str]:
    """A copied interpreter looks for its library where the original's was."""
    folder = Path(python).parent.parent
    return {"LD_LIBRARY_PATH": str(folder / "lib")} if folder.is_relative_to(_public().name) else {}


def _serves_others(python: str) -> bool:
    code = "import ctypes, ssl, sys; sys.exit(sys.version_info[:2] < (3, 11))"
    try:
        done = subprocess.run(
            [python, "-S", "-c", code],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env=_libraries_of(python),
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _copied_python() -> str:
    """A copy of this interpreter's tree, without what is installed for it and without its own tests."""
    base, folder = Path(sys.base_prefix), Path(_public().name) / "python"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    unwanted = shutil.ignore_patterns(*SITE_FOLDERS, "test", "tests", "__pycache__", "idlelib", "ensurepip")
    shutil.copytree(library, folder / library.relative_to(base), ignore=unwanted, symlinks=True)
    for shared in (base / "lib").glob("libpython*"):
        shutil.copy2(shared, folder / "lib" / shared.name, follow_symlinks=False)
    python = folder / "bin" / Path(interpreter()).name
    python.parent.mkdir()
    shutil.copy2(interpreter(), python)
    _open(folder)
    if not _serves_others(str(python)):
        pytest.skip("no interpreter here can be run by another user")
    return str(python)


def _open(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
