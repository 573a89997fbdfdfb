"""The layers in order: what a worker enters once, what its template takes on once, what every sample takes on.

    enter_worker      namespaces and root (full), another user (reduced)
    confine_template  no capabilities, no new privileges, not dumpable, Landlock, the big system call filter
    confine_sample    limits, no descriptor but those named, no signals to others, the small filter

A layer that cannot be applied raises LayerError, and nothing untrusted is run. The settings of a worker are a JSON
object: `tier`, `profile`, `limits` (of which `file_mb` bounds the work folder) and `view` (`View.to_json`).
"""

from __future__ import annotations

import errno
import math
import os
import resource
import sys
from collections.abc import Iterable, Mapping

from assay.sandbox import kernel, landlock, namespaces, seccomp
from assay.sandbox.kernel import LayerError, die_with_parent, layer
from assay.sandbox.syscalls import NUMBERS
from assay.sandbox.view import Packages, View, readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "LayerError",
    "allow_packages",
    "confine_sample",
    "confine_template",
    "die_with_parent",
    "enter_worker",
    "mark_work",
    "refresh_work",
    "work_folder",
    "work_is_dirty",
]

CONFINED = ("full", "reduced")
"""The tiers with a boundary of Linux's own."""

WORK_FILES = 1024
"""How many files and folders the work folder holds at most."""

_DEVICES = [f"/dev/{name}" for name in namespaces.DEVICES]
_TRUNCATE_ABI = 3
_SPARE = 8
"""A worker's own processes, which count against a sample's limit too."""


class _State:
    """What one call leaves for the next, in this process and those forked from it."""

    tier = ""
    user = -1
    work_mb = 0
    mark: tuple[int, ...] = ()
    allowed: tuple[str, ...] = ()
    template = 0
    own_user = False
    kept_root = False
    filter: seccomp.SampleFilter | None = None
    scope: int | None = None
    abi = 0


_state = _State()


def enter_worker(settings: Mapping[str, Any]) -> None:
    """The layers that make a worker's world. In `full` this returns in process 1 of new namespaces (see
    `namespaces.enter`). Load what is needed later first: folders may be out of reach afterwards. Raises LayerError.
    """
    view = View.from_json(settings["view"])
    _state.tier = settings["tier"]
    _state.user = os.geteuid()
    _state.work_mb = settings["limits"]["file_mb"]
    if _state.tier in ("reduced", "macos") and _processes(settings):
        raise LayerError("processes", 0, f"the tier `{_state.tier}` cannot end the processes that a solution starts")
    if _state.tier == "full":
        _state.user = namespaces.enter(view, _state.work_mb, WORK_FILES)
        _state.own_user = True
    elif _state.tier == "reduced":
        _enter_reduced(view)


def _enter_reduced(view: View) -> None:
    os.chdir("/")
    if os.geteuid() != 0:
        return
    if _others_can_read(view):
        _state.user = namespaces.leave_root()
        _state.own_user = True
    else:
        _state.kept_root = (
            True  # but for its capabilities: files that only root may read are still Landlock's to refuse
        )


def _others_can_read(view: View) -> bool:
    """Whether root can become another user who still reaches what the view holds."""
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups([])
        os.setegid(namespaces.NOBODY)
        os.seteuid(namespaces.NOBODY)
    except OSError:  # a root without these capabilities stays what it is, and loses the others
        reached = False
    else:
        paths = (*view.folders, *view.files)
        reached = all(os.access(path, os.R_OK, effective_ids=True) for path in paths)
        os.seteuid(0)
    os.setegid(group)
    if os.getgroups() != groups:
        os.setgroups(groups)
    return reached


def allow_packages(settings: Mapping[str, Any], names: Iterable[str]) -> None:
    """Let this process and its samples import these packages of the view, beside the standard library; the view's
    others are out of their reach once `confine_template` has run.
    """
    _state.allowed = tuple(names)
    sys.meta_path.append(Packages(View.from_json(settings["view"]), _state.allowed))


def confine_template(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The layers of a process that samples are forked from; call it before any text of a sample is read, with every
    module loaded that is needed later. Returns the environment for the evidence. Raises LayerError.
    """
    system = os.uname()
    environment = {"tier": _state.tier, "uid": _state.user, "kernel": system.release, "machine": system.machine}
    if _state.kept_root:
        environment["kept_root"] = "other users cannot read the interpreter"
    if _state.tier in CONFINED:
        _state.filter = seccomp.SampleFilter(processes=_processes(settings))
        _drop_rights()
        _state.abi = _landlock(View.from_json(settings["view"]), processes=_processes(settings))
        environment |= {"landlock_abi": _state.abi, "filter": _seccomp(processes=_processes(settings))}
    mark_work()
    _state.template = os.getpid()
    return environment


def _processes(settings: Mapping[str, Any]) -> bool:
    return bool(settings["profile"] == "fork-allowed")


def _drop_rights() -> None:
    with layer("capabilities"):
        kernel.drop_capabilities()
    if kernel.effective_capabilities():
        raise LayerError("capabilities", errno.EPERM, "capabilities are left after dropping them")
    with layer("no new privileges"):
        kernel.no_new_privileges()
    with layer("not dumpable"):
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _landlock(view: View, *, processes: bool) -> int:
    """Confine to the view and the work folder; returns the version of Landlock."""
    full = _state.tier == "full"
    read = landlock.READ | (landlock.EXECUTE if processes else 0)
    own = view.without([name for name in view.packages if name not in _state.allowed])
    whole, listed = readable(own, expand=not full)
    rules = [(path, read) for path in whole] + [(path, landlock.READ_DIR) for path in listed]
    rules += [(path, landlock.READ_FILE) for path in _DEVICES]
    rules += [("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE | landlock.TRUNCATE)]
    if full:
        rules.append((namespaces.BOX, landlock.WRITE))  # the parent: rules bind to inodes, and the work folder changes
    with layer("landlock"):
        abi = landlock.confine(rules)
        _state.scope = landlock.scope() if processes else None  # without, the small filter says all about signals
    return abi


def _seccomp(*, processes: bool) -> str:
    """Install the big filter; returns the digest of both."""
    attributes, truncating = _state.tier == "full", _state.abi >= _TRUNCATE_ABI
    with layer("seccomp"):
        seccomp.Program(seccomp.big_filter(attributes=attributes, truncating=truncating)).install()
    return seccomp.digest(attributes=attributes, truncating=truncating, processes=processes)


def bound(limits: Mapping[str, float]) -> None:
    """Set the limits of this process, and so of every sample it forks: once, since each costs every sample more.

    `limits`: `memory_mb`, `file_mb`, `open_files`, `processes`, and perhaps `cpu_s`. Raises LayerError.
    """
    with layer("limits"):
        _limit(limits)


def confine_sample(limits: Mapping[str, float] | None, keep: Iterable[int], others: tuple[int, ...] = ()) -> None:
    """The last layers, of one solution or checker: call it right before its text is read.

    `limits` are as for `bound`, None where the template set them. `keep` are the descriptors that stay open. `others`,
    at most two, are processes that it must not signal even where it may start its own; the worker's first process and
    the parent are known. Raises LayerError: then end the process.
    """
    if not _state.template:
        raise LayerError("template", 0, "the template was not confined")
    with layer("parent"):
        _follow_parent()
    if limits is not None:
        bound(limits)
    if _state.scope is not None:
        with layer("landlock"):
            landlock.restrict(_state.scope, _state.abi)
    with layer("descriptors"):
        _close_all_but(tuple(keep))
    if _state.filter is not None:
        with layer("seccomp"):
            _state.filter.install_for(os.getpid(), (1, os.getppid(), *others))


def _follow_parent() -> None:
    """End with the template; where it ended before that could be asked for, end now."""
    if NUMBERS:
        die_with_parent()
    if os.getppid() != _state.template:
        raise LayerError("parent", errno.ESRCH, "the template has ended")


def _limit(limits: Mapping[str, float]) -> None:
    _bound(resource.RLIMIT_AS, int(limits["memory_mb"]) << 20)
    _bound(resource.RLIMIT_FSIZE, int(limits["file_mb"]) << 20)
    _bound(resource.RLIMIT_NOFILE, int(limits["open_files"]))
    _bound(resource.RLIMIT_CORE, 0)
    if "cpu_s" in limits:
        _bound(resource.RLIMIT_CPU, math.ceil(limits["cpu_s"]) + 1)  # whoever watches the process is first
    if _state.tier == "macos":
        _bound(resource.RLIMIT_NPROC, 1)  # the user has more already: none can be started
    elif _state.own_user:
        _bound(resource.RLIMIT_NPROC, int(limits["processes"]) + _SPARE)


def _bound(which: int, most: int) -> None:
    resource.setrlimit(which, (most, most))


def _close_all_but(keep: tuple[int, ...]) -> None:
    if NUMBERS:
        kernel.close_all_but(keep)
        return
    start = 0
    for descriptor in (*sorted(keep), os.sysconf("SC_OPEN_MAX")):
        os.closerange(start, descriptor)
        start = descriptor + 1


def work_folder() -> str:
    """Where a sample stands: an empty folder it may write to in `full`; elsewhere the root, where it may not."""
    return namespaces.WORK if _state.tier == "full" else "/"


def mark_work() -> None:
    """Remember the work folder as it is now as clean: call it in the template whenever it has a fresh one."""
    if _state.tier == "full":
        _state.mark = namespaces.work_mark()


def work_is_dirty() -> bool:
    """Whether anything was done to the work folder since `mark_work`."""
    if _state.tier != "full":
        return False
    try:
        return namespaces.work_mark() != _state.mark
    except LayerError:  # made unreadable
        return True


def refresh_work() -> None:
    """Throw the work folder away and mount an empty one; for process 1. Raises LayerError."""
    if _state.tier == "full":
        namespaces.refresh_work(_state.work_mb, WORK_FILES)
