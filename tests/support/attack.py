"""What hostile solutions do, as programs, and what must come of each.

An attack passes its tests only where it succeeded. Most say on stdout, as a line of JSON, what became of every
forbidden act, so that it can be told that an act was refused and did not merely fail. Only the standard library is
used here: other users load this file too.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TESTS = "assert candidate(1) == 2\nassert candidate(20) == 21\n"

HEAD = """
import errno, json, os, sys
DONE = "done"
def tried(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except BaseException as error:
        return type(error).__name__
    return DONE
def say(**found):
    os.write(1, json.dumps(found).encode() + b"\\n")
"""

CALLS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
buffer = ctypes.create_string_buffer(4096)
at = ctypes.addressof(buffer)
X86 = os.uname().machine == "x86_64"
def call(x86, arm, *arguments):
    if libc.syscall(ctypes.c_long(x86 if X86 else arm), *map(ctypes.c_long, arguments)) == -1:
        raise OSError(ctypes.get_errno(), "")
"""

_TAIL = """
found = {name: tried(act) for name, act in acts.items()}
say(found=found)
def f(x):
    return x + 1 if DONE in found.values() else None
"""

DENIED = frozenset({"EPERM", "EACCES"})
HIDDEN = DENIED | {"ENOENT", "EROFS", "EXDEV"}
TIERS = ("full", "reduced")
PROFILES = ("strict", "fork-allowed")


@dataclass(frozen=True)
class Attack:
    """`solution` may hold names in `@`, which whoever runs it fills in (see `gauntlet`). It must end in one of
    `statuses`; where `refused` is not empty, every act must have been refused with one of these errnos (or exceptions).
    `expected` are further fields of the execution. `earlier` are programs that run before it. `hangs`: it takes
    all the time it is given; `heavy`: it takes more than a few milliseconds.
    """

    name: str
    solution: str
    statuses: tuple[str, ...] = ("failed",)
    refused: frozenset[str] = frozenset()
    tests: str = TESTS
    expected: dict[str, object] = field(default_factory=dict)
    earlier: tuple[tuple[str, str], ...] = ()
    hangs: bool = False
    heavy: bool = False
    times: int = 1
    tiers: tuple[str, ...] = TIERS
    profiles: tuple[str, ...] = PROFILES


def acts(name: str, code: str, refused: frozenset[str] | set[str] = DENIED, **more: object) -> Attack:
    """An attack of forbidden acts: `code` defines `acts`, a dictionary of functions."""
    return Attack(name, HEAD + CALLS + code + _TAIL, refused=frozenset(refused), **more)  # type: ignore[arg-type]


def program(name: str, code: str, *statuses: str, **more: object) -> Attack:
    """An attack that is a program of its own."""
    return Attack(name, HEAD + code, statuses or ("failed",), **more)  # type: ignore[arg-type]
