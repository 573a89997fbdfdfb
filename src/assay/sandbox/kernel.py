"""The system calls that the layers are made of, each raising OSError with its errno.

Everything goes through `syscall(2)`: the newer calls have no wrapper in older C libraries.
"""

from __future__ import annotations

import ctypes
import errno
import os

from assay.sandbox.syscalls import NUMBERS

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWTIME = 0x10000000, 0x20000000, 0x40000000, 0x00000080

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 3, 4, 24
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 39, 47, 4
PR_SET_CHILD_SUBREAPER = 36

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4

SECCOMP_SET_MODE_FILTER = 1
CLOSE_RANGE_MAX = 0xFFFFFFFF

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7
_ZEROS = (0,) * 6

_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


def call(name: str, *arguments: int) -> int:
    """Make the system call `name`; pointers are addresses. Raises OSError; ENOSYS where it has no number here."""
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"{name}: {os.strerror(errno.ENOSYS)}")
    result: int = _syscall(NUMBERS[name], *arguments, *_ZEROS[len(arguments) :])
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def _text(value: str | bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(os.fsencode(value))


def _words(*values: int) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * len(values))(*values)


class LayerError(Exception):
    """A layer that could not be applied: nothing untrusted has run. `errno` is 0 where no system call failed."""

    def __init__(self, layer: str, errno: int, message: str) -> None:
        super().__init__(f"{layer}: {message}")
        self.layer = layer
        self.errno = errno
        self.message = message


class layer:  # noqa: N801  read as `with layer("..."):`
    """Turns an OSError within into a LayerError of this name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise LayerError(self.name, error.errno or 0, error.strerror or str(error)) from error


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` (CLONE_NEW*) for new ones."""
    call("unshare", flags)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2): `kind` is the file system's type, `options` its own."""
    texts = [_text(value) for value in (source, target, kind, options)]
    at = [ctypes.addressof(text) for text in texts]
    call("mount", at[0], at[1], at[2], flags, at[3])


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    text = _text(target)
    call("umount2", ctypes.addressof(text), flags)


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the present one at `old`."""
    texts = _text(new), _text(old)
    call("pivot_root", ctypes.addressof(texts[0]), ctypes.addressof(texts[1]))


def open_tree(path: str, flags: int = OPEN_TREE_CLONE | AT_RECURSIVE) -> int:
    """A descriptor of a detached copy of the mount at `path`, and of those below it."""
    text = _text(path)
    return call("open_tree", AT_FDCWD, ctypes.addressof(text), flags | os.O_CLOEXEC)


def move_mount(tree: int, target: str) -> None:
    """Attach what `open_tree` gave at `target`."""
    empty, text = _text(""), _text(target)
    call("move_mount", tree, ctypes.addressof(empty), AT_FDCWD, ctypes.addressof(text), MOVE_MOUNT_F_EMPTY_PATH)


def mount_setattr(tree: int, attributes: int, *, recursive: bool = True) -> None:
    """Set MOUNT_ATTR_* on the mount that `tree` is open on, and on those below it."""
    empty, settings = _text(""), _words(attributes, 0, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    call("mount_setattr", tree, ctypes.addressof(empty), flags, ctypes.addressof(settings), ctypes.sizeof(settings))


def prctl(option: int, *arguments: int) -> int:
    """prctl(2)."""
    return call("prctl", option, *arguments)


def drop_capabilities() -> None:
    """Leave no capability: none in the bounding, ambient, inheritable, permitted and effective sets.

    The bounding set can only be emptied by one who may (CAP_SETPCAP); for another it does not matter, since
    `no_new_privileges` keeps exec from gaining any.
    """
    for number in range(_MOST_CAPABILITIES):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:  # EINVAL past the last one, EPERM for one who may not
            break
    _ignore_missing(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    call("capset", ctypes.addressof(header), ctypes.addressof(sets))


def _ignore_missing(*arguments: int) -> None:
    try:
        prctl(*arguments)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a kernel without ambient capabilities has none to clear
            raise


def effective_capabilities() -> int:
    """The effective capabilities as a bit set."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    call("capget", ctypes.addressof(header), ctypes.addressof(sets))
    return sets[0] | sets[3] << 32


def no_new_privileges() -> None:
    """No exec gives this process or its children more rights, for ever."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(signal: int = 9) -> None:
    """Have the kernel send `signal` here when the thread that made this process ends."""
    prctl(PR_SET_PDEATHSIG, signal)


def close_range(first: int, last: int = CLOSE_RANGE_MAX) -> None:
    """Close every descriptor from `first` to `last`, both included."""
    call("close_range", first, last)


def close_all_but(keep: tuple[int, ...]) -> None:
    """Close every descriptor but these."""
    start = 0
    for descriptor in sorted(set(keep)):
        if descriptor > start:
            close_range(start, descriptor - 1)
        start = descriptor + 1
    close_range(start)


def install_filter(program: int) -> None:
    """Put the seccomp filter at the address of a `sock_fprog` on this thread, above those already there."""
    call("seccomp", SECCOMP_SET_MODE_FILTER, 0, program)


def pidfd_open(pid: int) -> int:
    """A descriptor of process `pid` that becomes readable when it ends."""
    return call("pidfd_open", pid)


def set_host_name(name: str) -> None:
    """sethostname(2)."""
    text = _text(name)
    call("sethostname", ctypes.addressof(text), len(name))
