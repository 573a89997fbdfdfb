"""Which system calls code in the sandbox may make.

Two filters, of which the kernel takes the stricter verdict. The big one goes on the template once: an allowlist, so
that a call not named here does not exist. The small one goes on every solution and checker: it takes away what only
the template needs (making processes, ending them) and keeps signals and limits to the process itself. The kernel
remembers which calls the big one always allows, so that these cost next to nothing.

What a filter cannot see is memory behind pointers: calls whose flags lie there (clone3, openat2) do not exist.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from errno import EACCES, EINVAL, ENOSYS, ENOTTY, EPERM

# hashlib would bring OpenSSL into every process of a worker.
try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found]
except ImportError:  # Python 3.11
    from _sha256 import sha256 as _sha256  # type: ignore[import-not-found]

from assay.sandbox import bpf, kernel
from assay.sandbox.bpf import AT_LEAST, EQUAL, GREATER, Step, give, high, label, low, masked, refuse, when
from assay.sandbox.syscalls import MACHINE, numbers_of

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
"""On x86_64, set in the number of a call from the x32 world, which would pass by another number."""


def _names(text: str) -> list[str]:
    return text.split()


ALLOWED = _names("""
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 sendfile copy_file_range
open openat creat close close_range lseek dup dup2 dup3 pipe pipe2 flock fsync fdatasync ftruncate fadvise64 readahead
stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir
getdents getdents64 mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat umask
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
mmap mprotect munmap mremap msync mincore madvise brk
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause restart_syscall
kill tkill tgkill alarm getitimer setitimer signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime
futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list rseq set_tid_address membarrier getcpu
arch_prctl map_shadow_stack mseal
exit exit_group fork vfork execve wait4 waitid pidfd_open pidfd_send_signal
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid setsid setpgid
capget uname sysinfo times getrusage getrlimit setrlimit prlimit64 getrandom
time gettimeofday clock_gettime clock_getres nanosleep clock_nanosleep
sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
sched_rr_get_interval getpriority
select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
sendmsg recvmsg recvfrom shutdown getsockopt getsockname getpeername
landlock_restrict_self
""")
"""What the template or what it runs may do, whatever the arguments."""

ATTRIBUTES = _names("""
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat truncate
""")
"""Allowed only where the whole root is read-only but for the work folder: Landlock does not cover these."""

FORBIDDEN = _names("""
socket connect bind listen accept accept4 setsockopt sendmmsg recvmmsg
memfd_create memfd_secret fallocate splice tee vmsplice mknod mknodat
ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp get_robust_list pidfd_getfd
rt_sigqueueinfo rt_tgsigqueueinfo setpriority sched_setparam sched_setscheduler sched_setaffinity sched_setattr
sched_getattr ioprio_set ioprio_get migrate_pages move_pages mbind set_mempolicy get_mempolicy
set_mempolicy_home_node mlock mlock2 mlockall munlock munlockall
io_uring_setup io_uring_enter io_uring_register io_setup io_submit bpf perf_event_open userfaultfd
keyctl add_key request_key unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount
fspick mount_setattr open_tree_attr name_to_handle_at open_by_handle_at quotactl quotactl_fd execveat
setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr setxattrat removexattrat file_setattr
inotify_init inotify_init1 inotify_add_watch fanotify_init fanotify_mark
shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink
setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset personality
clock_settime settimeofday adjtimex clock_adjtime sethostname setdomainname syslog acct swapon swapoff reboot
kexec_load kexec_file_load init_module finit_module delete_module iopl ioperm modify_ldt vhangup
sync syncfs sync_file_range landlock_create_ruleset landlock_add_rule timer_create
""")
"""Known, and refused with EPERM. Any other call does not exist (ENOSYS), which a C library takes as an old kernel."""

ONLY_TEMPLATE = ["pidfd_open", "pidfd_send_signal", "seccomp", "landlock_restrict_self"]
"""What the small filter takes away from every solution and checker."""

ONLY_PROCESSES = ["fork", "vfork", "execve"]
"""What it takes away besides where no processes may be made."""

_THREAD = 0x00010000
_NEW = 0x7E020080  # CLONE_NEWUSER, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP, NEWNS, NEWTIME
_LOOSE = 0x00008000 | 0x00002000 | 0x00800000  # CLONE_PARENT, PTRACE and UNTRACED: out of the template's hands

_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
"""F_DUPFD, GETFD, SETFD, GETFL, SETFL, GETLK, SETLK, SETLKW, OFD_GETLK, OFD_SETLK, OFD_SETLKW, DUPFD_CLOEXEC,
GETPIPE_SZ, GET_SEALS."""

_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""

_PRCTL = (1, 2, 3, 15, 16, 21, 30, 38, 39, 0x53564D41)
"""SET and GET_PDEATHSIG, GET_DUMPABLE, SET and GET_NAME, GET_SECCOMP, GET_TIMERSLACK, SET and GET_NO_NEW_PRIVS, SET_VMA
(with which malloc names its memory)."""

_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 1, 1, 0xF
_O_TRUNC = 0o1000
_DENIED = refuse(EPERM)
_WORD = struct.Struct("=I")
_CONSTANT_AT = 4

Check = list[Step]
"""Steps that look at a call's arguments; they end in a verdict."""


class FilterError(Exception):
    """No filter can be made for this machine."""


def _one_of(argument: int, values: Iterable[int], otherwise: int = _DENIED) -> Check:
    """Allowed where the lower half of the argument is one of the values."""
    values = tuple(values)
    checks = [when(EQUAL, value & 0xFFFFFFFF, f"one of {values}") for value in values]
    return [low(argument), *checks, give(otherwise), label(f"one of {values}"), give(bpf.ALLOW)]


def _clone() -> Check:
    """Processes and threads, but no namespaces and nothing that its maker could lose."""
    return [low(0), masked(_NEW | _LOOSE), when(EQUAL, 0, "", "clone"), give(bpf.ALLOW), label("clone"), give(_DENIED)]


def _threads() -> Check:
    """Threads only."""
    kept = [low(0), masked(_THREAD | _NEW | _LOOSE), when(EQUAL, _THREAD, "", "process")]
    return [*kept, give(bpf.ALLOW), label("process"), give(_DENIED)]


def _socketpair() -> Check:
    """Connected streams: a pair of datagram sockets could send to any address."""
    local = [low(0), when(EQUAL, _AF_UNIX, "", "socketpair"), low(1), masked(_SOCK_TYPE)]
    stream = [when(EQUAL, _SOCK_STREAM, "", "socketpair"), give(bpf.ALLOW)]
    return [*local, *stream, label("socketpair"), give(refuse(EACCES))]


def _null(argument: int) -> Check:
    """Allowed where the argument is a null pointer."""
    name = f"null {argument}"
    halves = [low(argument), when(EQUAL, 0, "", name), high(argument), when(EQUAL, 0, "", name)]
    return [*halves, give(bpf.ALLOW), label(name), give(_DENIED)]


def _not_truncating(argument: int) -> Check:
    """An open without O_TRUNC: the first two Landlocks let it cut files they forbid to write."""
    name = f"truncating {argument}"
    return [low(argument), masked(_O_TRUNC), when(EQUAL, 0, "", name), give(bpf.ALLOW), label(name), give(_DENIED)]


def _but(argument: int, value: int) -> Check:
    """Allowed where the lower half of the argument is anything but the value."""
    return [low(argument), when(EQUAL, value, "", "another"), give(_DENIED), label("another"), give(bpf.ALLOW)]


def _own(pid: int, name: str) -> Check:
    """Allowed where the first argument is this process."""
    return [low(0), when(EQUAL, pid, "", name), give(bpf.ALLOW), label(name), give(_DENIED)]


def _own_or_later(pid: int, others: tuple[int, ...]) -> Check:
    """Allowed where the first argument is a process number from `pid` up, none of `others`, and no group."""
    sign = when(GREATER, 0x7FFFFFFF, "refused kill")
    barred = [when(EQUAL, other, "refused kill") for other in others]
    later = when(AT_LEAST, pid, "", "refused kill")
    return [low(0), sign, *barred, later, give(bpf.ALLOW), label("refused kill"), give(_DENIED)]


def _checks(*, truncating: bool) -> dict[str, Check]:
    """The calls that the big filter allows with some arguments."""
    checks = {
        "clone": _clone(),
        "socketpair": _socketpair(),
        "sendto": _null(4),
        "fcntl": _one_of(1, _FCNTL),
        "ioctl": _one_of(1, _IOCTL, refuse(ENOTTY)),
        "prctl": _one_of(0, _PRCTL, refuse(EINVAL)),
        "seccomp": _one_of(0, (kernel.SECCOMP_SET_MODE_FILTER,)),
    }
    if not truncating:
        checks |= {"open": _not_truncating(1), "openat": _not_truncating(2), "creat": [give(_DENIED)]}
    return checks


def _guard(architecture: int) -> list[Step]:
    """The start of the big filter: another architecture's calls end the process, x32's do not exist."""
    start = [bpf.load(bpf.ARCHITECTURE_AT), when(EQUAL, architecture, "known"), give(bpf.KILL_PROCESS), label("known")]
    start.append(bpf.load(bpf.NUMBER_AT))
    if architecture == _ARCHITECTURES["x86_64"]:
        start += [when(AT_LEAST, _X32, "x32", "native"), label("x32"), give(refuse(ENOSYS)), label("native")]
    return start


def _edges(checks: dict[int, Check], default: Check) -> list[tuple[int, Check]]:
    """Where, going up the numbers, the check changes, and to which."""
    edges: list[tuple[int, Check]] = []
    for number in range(max(checks) + 2):
        check = checks.get(number, default)
        if not edges or edges[-1][1] != check:
            edges.append((number, check))
    return edges


def _search(edges: list[tuple[int, Check]], names: dict[tuple[Step, ...], str]) -> tuple[str, list[Step]]:
    """A binary search over the edges, and the label of its first step."""
    if len(edges) == 1:
        return names[tuple(edges[0][1])], []
    middle = len(edges) // 2
    lower, upper = _search(edges[:middle], names), _search(edges[middle:], names)
    here = f"{edges[0][0]} to {edges[-1][0]}"
    return here, [label(here), when(AT_LEAST, edges[middle][0], upper[0], lower[0]), *lower[1], *upper[1]]


def _compile(start: list[Step], checks: dict[int, Check], default: Check) -> bytes:
    """`start`, which leaves the call's number taken, then the number's check."""
    edges = _edges(checks, default)
    distinct = dict.fromkeys(tuple(check) for _, check in edges)
    names = {check: f"check {place}" for place, check in enumerate(distinct)}
    bodies = [step for check, name in names.items() for step in (label(name), *check)]
    return bpf.assemble([*start, *_search(edges, names)[1], *bodies])


def _each(names: Iterable[str], check: Check) -> dict[str, Check]:
    return dict.fromkeys(names, check)


def big_filter(*, attributes: bool, truncating: bool = True, machine: str = MACHINE) -> bytes:
    """The template's filter. `attributes`: modes, owners and times of files may be changed; `truncating`: O_TRUNC may
    be asked for. Raises FilterError on a machine whose calls are not known.
    """
    numbers = numbers_of(machine)
    if not numbers:
        raise FilterError(f"the system calls of {machine} are not known")
    names = _each(FORBIDDEN + ATTRIBUTES, [give(_DENIED)])
    names |= _each(ALLOWED + (ATTRIBUTES if attributes else []), [give(bpf.ALLOW)])
    names |= _checks(truncating=truncating)
    checks = {numbers[name]: check for name, check in names.items() if name in numbers}
    return _compile(_guard(_ARCHITECTURES[machine]), checks, [give(refuse(ENOSYS))])


def small_filter(pid: int, others: tuple[int, ...], *, processes: bool, machine: str = MACHINE) -> bytes:
    """The filter of one solution or checker with process number `pid`. With `processes` it may make some, and signal
    those made later than itself but none of `others`.
    """
    numbers = numbers_of(machine)
    names = _each(ONLY_TEMPLATE + ([] if processes else ONLY_PROCESSES), [give(_DENIED)])
    signals = _own_or_later(pid, others) if processes else _own(pid, "signals")
    names |= _each(["kill", "tkill", "tgkill"], signals)
    names["prlimit64"] = _one_of(0, (0, pid))
    names["prctl"] = _but(0, kernel.PR_SET_PDEATHSIG)
    if not processes:
        names["clone"] = _threads()
    checks = {numbers[name]: check for name, check in names.items() if name in numbers}
    return _compile([bpf.load(bpf.NUMBER_AT)], checks, [give(bpf.ALLOW)])


class Program:
    """A filter in memory as the kernel takes it (`struct sock_fprog`)."""

    def __init__(self, code: bytes) -> None:
        self.code = bytearray(code)
        self._held = (ctypes.c_char * len(code)).from_buffer(self.code)
        count = len(code) // bpf.INSTRUCTION.size
        self._head = ctypes.create_string_buffer(struct.pack("@HP", count, ctypes.addressof(self._held)))
        self._address = ctypes.addressof(self._head)

    def install(self) -> None:
        """Put it on this thread. Needs `no_new_privileges`. Raises OSError."""
        kernel.install_filter(self._address)


class SampleFilter(Program):
    """The small filter, made once with placeholders that each process fills with its own number."""

    _PID = 0x7EAD0000
    OTHERS = 4

    def __init__(self, *, processes: bool) -> None:
        marks = [self._PID + place for place in range(self.OTHERS + 1)]
        super().__init__(small_filter(marks[0], tuple(marks[1:]), processes=processes))
        self._places = [self._find(mark) for mark in marks]

    def _find(self, mark: int) -> list[int]:
        constants = enumerate(instruction[3] for instruction in bpf.INSTRUCTION.iter_unpack(self.code))
        return [place * bpf.INSTRUCTION.size + _CONSTANT_AT for place, value in constants if value == mark]

    def install_for(self, pid: int, others: tuple[int, ...] = ()) -> None:
        """Put it on this process, number `pid`; `others`, at most OTHERS, are never to be signalled."""
        if len(others) > self.OTHERS:
            raise ValueError(f"at most {self.OTHERS} other processes, not {len(others)}")
        for places, number in zip(self._places, (pid, *others, *(0,) * (self.OTHERS - len(others))), strict=True):
            for place in places:
                _WORD.pack_into(self.code, place, number)
        self.install()


def digest(*, attributes: bool, truncating: bool, processes: bool) -> str:
    """SHA-256 of both filters' bytes, for process 0."""
    big, small = big_filter(attributes=attributes, truncating=truncating), small_filter(0, (), processes=processes)
    return str(_sha256(big + small).hexdigest())
