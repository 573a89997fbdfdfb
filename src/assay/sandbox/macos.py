"""macOS: the same view as a profile for `sandbox-exec`.

What this tier lacks and the others have: nothing ends what a solution started once its parent is gone, nothing bounds
its memory (RLIMIT_AS is not enforced there), and system calls are not filtered. So only `strict` is offered: the worker
itself must fork, and a sample is kept from it by a limit of no processes (`layers.confine_sample`), which exec does not
undo. A worker's samples have no work folder, as in `reduced`, since nothing could throw a hostile one away.
"""

from __future__ import annotations

import os
import subprocess

from assay.sandbox.kernel import LayerError
from assay.sandbox.view import View, interpreter, plan_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

COMMAND = "/usr/bin/sandbox-exec"

_SYSTEM = ("/usr/lib", "/System/Library", "/private/var/db/dyld", "/private/var/db/timezone")
"""What every process reads there: the system's libraries, the loader's cache, time zones."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_PROBE_S = 10.0

_ATTEMPTS = """
import os, resource, socket
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
def refused(act, *arguments):
    try:
        act(*arguments)
    except (PermissionError, BlockingIOError):
        return True
    return False
acts = {
    "reading": (open, "/etc/passwd"),
    "writing": (open, "/private/tmp/assay-probe", "w"),
    "network": (socket.create_connection, ("127.0.0.1", 9), 1),
    "fork": (os.fork,),
}
print(*(name for name, act in acts.items() if not refused(*act)))
"""


def quoted(path: str) -> str:
    """A path as the profile's language writes a string."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _each(kind: str, paths: tuple[str, ...]) -> str:
    return " ".join(f"({kind} {quoted(path)})" for path in paths)


def _parents(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Every folder on the way to the paths: what is in them stays unseen, but the way must be walked."""
    found = {"/"}
    for path in paths:
        while (path := os.path.dirname(path)) not in found:
            found.add(path)
    return tuple(sorted(found))


def profile(view: View, work: str | None = None) -> str:
    """The profile, which allows nothing that it does not name; `work` is the real path of a folder to write to.

    Of two rules that match the later one holds: what is masked comes after the folder it lies in, and an allowed
    package after its mask.
    """
    inner = tuple(folder for folder in view.folders if any(folder.startswith(f"{mask}/") for mask in view.masked))
    outer = tuple(folder for folder in view.folders if folder not in inner)
    ways = _parents((*view.folders, *view.files, *view.links, *([work] if work else [])))
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow sysctl-read)",
        f"(allow file-read-metadata {_each('literal', ways + tuple(view.links))})",
        f"(allow file-read* {_each('subpath', _SYSTEM + outer)} {_each('literal', view.files + _DEVICES)})",
    ]
    if view.masked:
        lines.append(f"(deny file-read* {_each('subpath', view.masked)})")
    if inner:
        lines.append(f"(allow file-read* {_each('subpath', inner)})")
    if work:
        lines.append(f"(allow file-read* file-write* {_each('subpath', (work,))})")
    lines += [
        f"(allow file-write-data {_each('literal', ('/dev/null',))})",
        "(allow signal (target self))",
        "(deny network*)",
        f"(allow process-exec {_each('literal', (interpreter(),))})",  # how the worker itself begins
        "(allow process-fork)",
    ]
    return "\n".join(lines) + "\n"


def wrapped(python: str, worker: Mapping[str, Any]) -> list[str]:
    """The start of the command line of a worker with these settings: its own arguments follow."""
    return [COMMAND, "-p", profile(View.from_json(worker["view"])), python]


def probe() -> None:
    """Try what the profile forbids. Raises LayerError where it is not refused, or nothing runs at all."""
    start = wrapped(interpreter(), {"view": plan_view().to_json()})
    line = [*start, "-s", "-S", "-P", "-B", "-c", _ATTEMPTS]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter
            line, capture_output=True, text=True, timeout=_PROBE_S, check=False, cwd="/", env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LayerError("sandbox-exec", getattr(error, "errno", 0) or 0, str(error)) from error
    if done.returncode:
        raise LayerError("sandbox-exec", 0, f"the interpreter ended with {done.returncode}: {done.stderr[-500:]}")
    if done.stdout.strip():
        raise LayerError("sandbox-exec", 0, f"not refused: {done.stdout.strip()}")
