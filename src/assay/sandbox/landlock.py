"""Landlock: which paths a process may open, and that it may neither connect, nor signal, nor trace beyond itself.

A right given on a folder covers what lies below it, through mounts too; there is no way to take one back below, which
is why `view.readable` lists entries. A kernel knows a number of versions (ABI); what an older one cannot handle is the
system call filter's to refuse.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from assay.sandbox import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (
    1 << bit for bit in range(4, 13)
)
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = READ_FILE | READ_DIR
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_MAKE = MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | _MAKE | REFER | TRUNCATE

_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK = 3  # bind and connect, TCP
_SCOPES = 3  # abstract unix sockets and signals
_QUIET = 1  # LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF: what is refused here is no news for the audit log

_CREATE_VERSION, _PATH_BENEATH = 1, 1
_RULESET = struct.Struct("=QQQ")
_BENEATH = struct.Struct("=Qi")


def abi() -> int:
    """The newest version that this kernel knows. Raises OSError: ENOSYS or EOPNOTSUPP where there is none."""
    return kernel.call("landlock_create_ruleset", 0, 0, _CREATE_VERSION)


def handled(version: int) -> int:
    """Every right on files that a version can refuse."""
    return _ALL_BY_ABI[max(known for known in _ALL_BY_ABI if known <= version)]


def _create(version: int, files: int, network: int, scopes: int) -> int:
    size = 8 if version < 4 else 16 if version < 6 else 24
    head = ctypes.create_string_buffer(_RULESET.pack(files, network, scopes)[:size], size)
    return kernel.call("landlock_create_ruleset", ctypes.addressof(head), size, 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """A rule for `path`, which is not followed where it is a link."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(_BENEATH.pack(rights, descriptor), _BENEATH.size)
        kernel.call("landlock_add_rule", ruleset, _PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(descriptor)


def confine(rules: list[tuple[str, int]]) -> int:
    """Allow this process only these rights (`READ`, `WRITE`...) at these paths, no TCP, and no signal or abstract
    socket beyond its own. Needs `no_new_privileges`. Returns the version; raises OSError.
    """
    version = abi()
    rights = handled(version)
    ruleset = _create(version, rights, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    try:
        for path, asked in rules:
            _allow(ruleset, path, asked & rights)
        restrict(ruleset, version)
    finally:
        os.close(ruleset)
    return version


def scope() -> int | None:
    """A ruleset that only separates: whoever takes it on cannot signal the others. None where the kernel is too old."""
    version = abi()
    return _create(version, 0, 0, _SCOPES) if version >= 6 else None


def restrict(ruleset: int, version: int) -> None:
    """Take a ruleset on, for this thread and what it makes."""
    kernel.call("landlock_restrict_self", ruleset, _QUIET if version >= 7 else 0)
