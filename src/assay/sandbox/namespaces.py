"""The worker's own world: namespaces with nothing in them, and a root that holds only what Python needs.

The process that was started stays outside, holds nothing but the wait for the one inside, and ends as that one did; if
it is killed, the kernel kills everything inside. As root the root is built first, since other users may not reach the
interpreter's folder, and left read-only to an unprivileged user before the rest is unshared.
"""

# pathlib costs a bare interpreter more than all that is done here

from __future__ import annotations

import os
import select
import signal
import stat

from assay.sandbox import kernel
from assay.sandbox.kernel import layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from assay.sandbox.view import View

BOX = "/box"
WORK = "/box/work"
INSIDE = 1000
"""Who one is inside."""

DEVICES = ("null", "zero", "urandom", "random")
_LINKS = {"/tmp": WORK, "/dev/shm": WORK}  # noqa: S108  inside, where it is the worker's own

_HIGH = 0x70000000
"""From here to 2³¹ no user is ever given out (systemd's table of user numbers)."""
NOBODY = 65534

_SPACES = {
    "mount namespace": kernel.CLONE_NEWNS,
    "pid namespace": kernel.CLONE_NEWPID,
    "network namespace": kernel.CLONE_NEWNET,
    "ipc namespace": kernel.CLONE_NEWIPC,
    "uts namespace": kernel.CLONE_NEWUTS,
    "cgroup namespace": kernel.CLONE_NEWCGROUP,
}
_CAP_SYS_ADMIN = 21
_STAGES = ("/tmp", "/mnt", "/run", "/home", "/usr")  # noqa: S108  where the root is built, unseen by others
_READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID
_WORK_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def enter(view: View, work_mb: int, work_files: int) -> int:
    """Return as process 1 of namespaces of its own, with `view` as the root and the work folder mounted.

    The process that called waits for it outside. Returns who that is to the rest of the machine. Raises LayerError in
    the caller, where nothing untrusted has run.
    """
    os.umask(0o022)
    user = os.geteuid()
    if may_mount():
        _stage_as_root(view)
        user = leave_root()
        own_user_namespace()
        own_spaces()
    else:
        own_user_namespace()
        own_spaces()
        _build(view)
    _change_root()
    with layer("work folder"):
        mount_work(work_mb, work_files)
    _become_first()
    return user


def may_mount() -> bool:
    """Whether this process is a root that may mount, as one without user namespaces must be."""
    return os.geteuid() == 0 and bool(kernel.effective_capabilities() >> _CAP_SYS_ADMIN & 1)


def leave_root() -> int:
    """Become a user who owns nothing, for good; returns its number. Raises LayerError."""
    with layer("unprivileged user"):
        os.setgroups([])
        for uid in (_HIGH + os.getpid(), NOBODY):
            try:
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            except OSError:  # EINVAL in a container that does not map the high numbers
                if uid == NOBODY:
                    raise
                continue
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map stays root's
            return uid
    raise AssertionError("unreachable")


def own_user_namespace() -> None:
    """A user namespace in which one is an ordinary user with every capability over what it owns."""
    uid, gid = os.geteuid(), os.getegid()
    with layer("user namespace"):
        kernel.unshare(kernel.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{INSIDE} {uid} 1")
        _write("/proc/self/gid_map", f"{INSIDE} {gid} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def own_spaces() -> None:
    """The other namespaces, at once; where that fails one by one, to name the one that is missing."""
    try:
        kernel.unshare(sum(_SPACES.values()))
    except OSError:
        for name, flag in _SPACES.items():
            with layer(name):
                kernel.unshare(flag)
    with layer("uts namespace"):
        kernel.set_host_name("box")


def _stage_as_root(view: View) -> None:
    with layer("mount namespace"):
        kernel.unshare(kernel.CLONE_NEWNS)
    _build(view)


def _build(view: View) -> None:
    """Build the root in a tmpfs, read-only, and stand in it."""
    with layer("root view"):
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        trees = _copies(view)
        kernel.mount("tmpfs", stage(), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=4m,nr_inodes=8192")
        os.chdir(stage())
        for path in sorted({*trees, *view.masked}):
            _attach(path, trees.get(path))
        _furnish(view)
        root = os.open(".", os.O_PATH | os.O_CLOEXEC)
        kernel.mount_setattr(root, kernel.MOUNT_ATTR_RDONLY)
        os.close(root)


def stage() -> str:
    """A folder to mount over, in a mount namespace of one's own."""
    return next(filter(os.path.isdir, _STAGES))


def _copies(view: View) -> dict[str, int]:
    """Detached read-only copies of the mounts at every path, taken before anything is mounted over them."""
    trees: dict[str, int] = {}
    for path in (*view.folders, *view.files):
        trees[path] = kernel.open_tree(path)
        kernel.mount_setattr(trees[path], _READ_ONLY | kernel.MOUNT_ATTR_NODEV)
    for name in DEVICES:
        trees[f"/dev/{name}"] = kernel.open_tree(f"/dev/{name}")
        kernel.mount_setattr(trees[f"/dev/{name}"], _READ_ONLY | kernel.MOUNT_ATTR_NOEXEC)
    return trees


def _attach(path: str, tree: int | None) -> None:
    """Mount a copy at its own path below the new root, or where there is none an empty folder that hides it."""
    target = f".{path}"
    if tree is None:
        os.makedirs(target, exist_ok=True)
        kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m,nr_inodes=1024")
        return
    if not os.path.lexists(target):
        _place(target, folder=stat.S_ISDIR(os.fstat(tree).st_mode))
    kernel.move_mount(tree, target)
    os.close(tree)


def _place(target: str, *, folder: bool) -> None:
    if folder:
        os.makedirs(target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _furnish(view: View) -> None:
    """The links on the way to what was mounted, and the work folder's place."""
    os.makedirs(f".{WORK}")
    for link, target in (*view.links.items(), *_LINKS.items()):
        os.makedirs(os.path.dirname(f".{link}"), exist_ok=True)
        if not os.path.lexists(f".{link}"):
            os.symlink(target, f".{link}")


def _change_root() -> None:
    """Make the folder one stands in, a mount, the root, and let go of the old one."""
    with layer("root view"):
        tree = kernel.open_tree(".")
        kernel.move_mount(tree, ".")
        os.fchdir(tree)
        os.close(tree)
        kernel.pivot_root(".", ".")
        kernel.umount(".")
        os.chdir("/")


def mount_work(work_mb: int, work_files: int) -> None:
    """Mount an empty work folder of so many MiB and so many files and folders. Raises OSError."""
    options = f"size={work_mb}m,nr_inodes={work_files + 1},mode=0700"
    kernel.mount("tmpfs", WORK, "tmpfs", _WORK_FLAGS, options)


def refresh_work(work_mb: int, work_files: int) -> None:
    """Throw the work folder away with all in it and mount an empty one. Raises LayerError."""
    with layer("work folder"):
        kernel.umount(WORK)
        mount_work(work_mb, work_files)


def work_mark() -> tuple[int, ...]:
    """What differs between a work folder just mounted and one that was written to since: its change time, which
    nobody can set, its mode, and whether anything is in it. Nothing below it is looked at. Raises LayerError.
    """
    with layer("work folder"):
        state = os.stat(WORK)
        with os.scandir(WORK) as entries:
            anything = next(entries, None) is not None
    return (state.st_dev, state.st_ino, state.st_ctime_ns, state.st_mode, anything)


def _become_first() -> None:
    """Fork: the child, process 1, returns; the parent waits for it and ends as it ends."""
    outside = os.getppid()
    alive, held = os.pipe()
    with layer("pid namespace"):
        child = os.fork()
    if child:
        os.close(alive)
        _stand_by(child, outside, held)
    os.close(held)
    kernel.die_with_parent()
    if _hung_up(alive):
        os._exit(1)
    os.close(alive)


def _hung_up(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


def _stand_by(child: int, outside: int, held: int) -> None:
    """Hold nothing, wait, and end as the child did. Never returns."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
        kernel.die_with_parent()
        if os.getppid() != outside:
            return
        kernel.close_all_but((held,))
        kernel.drop_capabilities()
        code = _end_of(child)
    finally:
        os._exit(code)


def _end_of(child: int) -> int:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # the same signal, but no core file
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)
