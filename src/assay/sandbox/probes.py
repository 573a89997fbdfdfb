"""What this machine can do: each layer is applied in a child, which then tries what the layer forbids.

A kernel can offer a layer and a container take it away, or a layer be taken on and not hold: only trying tells. One
bare interpreter is started for all probes and forks a child for each: forking assay itself would cost more.
"""

# pathlib costs a bare interpreter more than all that is done here

from __future__ import annotations

import _socket
import errno
import os
import resource
import select
import signal
import sys

from assay.sandbox import kernel, namespaces
from assay.sandbox.kernel import LayerError
from assay.sandbox.view import SITE_FOLDERS, View, interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assay.sandbox.execution import Tier

_HELPER_S = 30.0
_BOOT = (
    "import sys; package = type(sys)('assay'); package.__path__ = [{package!r}]; sys.modules['assay'] = package; "
    "from assay.sandbox.probes import main; main()"
)
"""The package itself is left out: it loads what the probes do without."""
_ABSTRACT = "\0assay-probe-{pid}"
_SMALL = 64 << 10
_MOST_RESULT = 4096


class Probe:
    """A layer, whether it holds here, what was tried or went wrong, and the errno of the call that failed (or 0)."""

    def __init__(self, name: str, ok: bool, detail: str, errno: int) -> None:
        self.name = name
        self.ok = ok
        self.detail = detail
        self.errno = errno

    def __repr__(self) -> str:
        return f"Probe({self.name!r}, ok={self.ok}, {self.detail!r}, errno={self.errno})"


def _refused(what: str, codes: Iterable[int | None], act: Callable[[], object]) -> None:
    """The act must fail, and with one of these errnos."""
    try:
        act()
    except OSError as error:
        if error.errno not in codes:
            raise LayerError("probe", error.errno or 0, f"{what} failed in another way: {error.strerror}") from error
    else:
        raise LayerError("probe", 0, f"{what} was not refused")


def _user() -> str:
    if os.geteuid() == 0:
        uid = namespaces.leave_root()
        _refused("a signal to the parent", [errno.EPERM], lambda: os.kill(os.getppid(), 0))
    else:
        uid = os.geteuid()
    _refused("becoming root", [errno.EPERM], lambda: os.setresuid(0, 0, 0))
    return f"user {uid}, not root again"


def _own_user_namespace() -> None:
    if namespaces.may_mount():
        namespaces.leave_root()
    namespaces.own_user_namespace()


def _user_namespace() -> str:
    _own_user_namespace()
    _refused("taking a group", [errno.EPERM], lambda: os.setgroups([0]))
    _refused("becoming root", [errno.EPERM, errno.EINVAL], lambda: os.setresuid(0, 0, 0))
    return f"user {os.geteuid()} inside, no way out"


def _root_view() -> str:
    library = os.path.realpath(os.path.dirname(os.__file__))
    sites = [path for name in SITE_FOLDERS if os.path.isdir(path := os.path.join(library, name))]
    namespaces.enter(View([library], masked=sites), 1, 16)
    missing = [errno.ENOENT]
    _refused("reading /etc/passwd", missing, lambda: os.open("/etc/passwd", os.O_RDONLY))
    _refused("reading /proc", missing, lambda: os.listdir("/proc"))
    _refused("writing to the root", [errno.EROFS], lambda: os.mkdir("/probe"))
    if any(os.listdir(site) for site in sites):
        raise LayerError("probe", 0, "installed packages can be seen")
    return "only the standard library, read-only"


def _pid_namespace() -> str:
    outside = os.getpid()
    _own_user_namespace()
    kernel.unshare(kernel.CLONE_NEWPID)
    return _in_child(lambda: _as_first(outside))


def _as_first(outside: int) -> str:
    if os.getpid() != 1:
        raise LayerError("probe", 0, "the first process is not number 1")
    _refused("a signal to a process outside", [errno.ESRCH], lambda: os.kill(outside, 0))
    return "no process outside can be named"


def _network() -> str:
    _own_user_namespace()
    kernel.unshare(kernel.CLONE_NEWNET)
    tcp = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    _refused("TCP", [errno.ENETUNREACH], lambda: tcp.connect(("127.0.0.1", 9)))
    udp = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    _refused("UDP", [errno.ENETUNREACH], lambda: udp.sendto(b"x", ("127.0.0.1", 9)))
    local = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    name = _ABSTRACT.format(pid=os.getppid())
    _refused("an abstract socket", [errno.ECONNREFUSED], lambda: local.connect(name))
    return "no TCP, UDP or abstract sockets"


def _landlock() -> str:
    from assay.sandbox import landlock

    kernel.no_new_privileges()
    abi = landlock.confine([])
    _refused("reading /dev/zero", [errno.EACCES], lambda: os.open("/dev/zero", os.O_RDONLY))
    _refused("listing the root", [errno.EACCES], lambda: os.listdir("/"))
    return f"ABI {abi}"


def _seccomp() -> str:
    from assay.sandbox import seccomp

    kernel.no_new_privileges()
    small = seccomp.SampleFilter(processes=False)
    seccomp.Program(seccomp.big_filter(attributes=False)).install()
    denied = [errno.EPERM]
    _refused("a socket", denied, lambda: _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM))
    _refused("memfd_create", denied, lambda: os.memfd_create("probe"))
    _refused("clone3", [errno.ENOSYS], lambda: kernel.call("clone3", 0, 0))
    small.install_for(os.getpid(), ())
    _refused("a signal to the parent", denied, lambda: os.kill(os.getppid(), 0))
    _refused("fork", denied, os.fork)
    return "sockets, memory files, processes and signals refused"


def _work_folder() -> str:
    _own_user_namespace()
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    folder = namespaces.stage()
    kernel.mount("tmpfs", folder, "tmpfs", 0, f"size={_SMALL},nr_inodes=2")
    file = os.open(os.path.join(folder, "file"), os.O_CREAT | os.O_WRONLY)
    os.write(file, b"x" * _SMALL)
    _refused("a larger file", [errno.ENOSPC], lambda: os.write(file, b"x"))
    _refused("another file", [errno.ENOSPC], lambda: os.mkdir(os.path.join(folder, "folder")))
    return "bounded in size and in files"


def _memory() -> str:
    most = 256 << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        bytearray(2 * most)
    except MemoryError:
        return "bounded by RLIMIT_AS"
    raise LayerError("probe", 0, "more memory than the limit was given")


def _pidfd() -> str:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        poll = select.poll()
        poll.register(kernel.pidfd_open(child), select.POLLIN)
        early = poll.poll(0)
    finally:
        os.kill(child, signal.SIGKILL)
    late = poll.poll(1000)
    os.waitpid(child, 0)
    if early or not late:
        raise LayerError("probe", 0, "a process's end is not told by its descriptor")
    return "tells the end of a process"


_LINUX: dict[str, Callable[[], str]] = {
    "user namespace": _user_namespace,
    "root view": _root_view,
    "pid namespace": _pid_namespace,
    "network namespace": _network,
    "work folder": _work_folder,
    "landlock": _landlock,
    "seccomp": _seccomp,
    "unprivileged user": _user,
    "memory limit": _memory,
    "pidfd": _pidfd,
}

NEEDED: dict[Tier, tuple[str, ...]] = {
    "full": (
        "user namespace",
        "root view",
        "pid namespace",
        "network namespace",
        "work folder",
        "landlock",
        "seccomp",
        "memory limit",
    ),
    "reduced": ("landlock", "seccomp", "memory limit"),
    "macos": ("sandbox-exec",),
    "none": (),
}
"""Which layers a tier is made of. Root can do without another user where it cannot become one, since it keeps no
capability; pidfds are a convenience."""


def _in_child(probe: Callable[[], str]) -> str:
    """Run a probe in a child and return what it found. Raises LayerError."""
    return _found(*_begin(probe))


def _begin(probe: Callable[[], str]) -> tuple[int, int]:
    """Start a child on a probe; its process number, and the pipe to hear from it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _answer(probe, theirs)
    os.close(theirs)
    return child, ours


def _found(child: int, pipe: int) -> str:
    answer = b""
    while part := os.read(pipe, _MOST_RESULT):
        answer += part
    os.close(pipe)
    _, status = os.waitpid(child, 0)
    if not answer:
        raise LayerError("probe", 0, f"the probe ended with wait status {status}")
    ok, code, detail = answer.decode().split("\t", 2)
    if ok != "ok":
        raise LayerError("probe", int(code), detail)
    return detail


def _answer(probe: Callable[[], str], pipe: int) -> None:
    """In the child: run the probe and write what it found. Never returns."""
    try:
        text = f"ok\t0\t{probe()}"
    except LayerError as error:
        text = f"no\t{error.errno}\t{error.message}"
    except OSError as error:
        text = f"no\t{error.errno or 0}\t{error.strerror or error}"
    except BaseException as error:  # a probe must say how it failed, whatever that was
        text = f"no\t0\t{error!r}"
    os.write(pipe, text.encode()[:_MOST_RESULT])
    os._exit(0)


def main() -> None:
    """In the helper: run every probe, all at once, and print a line for each."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(_ABSTRACT.format(pid=os.getpid()))
    listener.listen(1)
    begun = {name: _begin(probe) for name, probe in _LINUX.items()}
    for name, child in begun.items():
        try:
            line = f"{name}\tok\t0\t{_found(*child)}"
        except LayerError as error:
            line = f"{name}\tno\t{error.errno}\t{error.message}"
        os.write(1, line.replace("\n", " ").encode() + b"\n")


def run_probes() -> tuple[Probe, ...]:
    """Try every layer of this machine's system. Raises LayerError where the probes themselves cannot be run."""
    if sys.platform == "darwin":
        return (_macos(),)
    if sys.platform != "linux":
        return ()
    import subprocess

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [interpreter(), "-s", "-S", "-P", "-B", "-c", _BOOT.format(package=package)]
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter
            command, capture_output=True, text=True, timeout=_HELPER_S, env={}, cwd="/", check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LayerError("probes", getattr(error, "errno", 0) or 0, f"the probes cannot be run: {error}") from error
    found = tuple(_parsed(line) for line in done.stdout.splitlines())
    if [probe.name for probe in found] != list(_LINUX):
        raise LayerError("probes", 0, f"the probes ended early: {done.stderr[-500:]}")
    return found


def _parsed(line: str) -> Probe:
    name, ok, code, detail = line.split("\t", 3)
    return Probe(name, ok == "ok", detail, int(code))


def _macos() -> Probe:
    from assay.sandbox import macos

    try:
        macos.probe()
    except LayerError as error:
        return Probe("sandbox-exec", False, error.message, error.errno)
    return Probe("sandbox-exec", True, "reading, writing, network and processes refused", 0)


def missing(tier: Tier, probes: Iterable[Probe]) -> Probe | None:
    """The first layer that a tier needs and that does not hold here."""
    known = {probe.name: probe for probe in probes}
    for name in NEEDED[tier]:
        probe = known.get(name) or Probe(name, False, "this system has no such layer", errno.ENOSYS)
        if not probe.ok:
            return probe
    return None


def best_tier(probes: Iterable[Probe] | None = None) -> Tier:
    """The strongest tier that holds here."""
    found = tuple(run_probes() if probes is None else probes)
    tiers: tuple[Tier, ...] = ("full", "reduced", "macos")
    return next((tier for tier in tiers if missing(tier, found) is None), "none")


def check_tier(tier: Tier, probes: Iterable[Probe] | None = None) -> None:
    """Raise LayerError naming the layer, and the errno where there is one, if a tier cannot be had here."""
    if tier == "none":
        return
    probe = missing(tier, run_probes() if probes is None else probes)
    if probe is not None:
        raise LayerError(probe.name, probe.errno, probe.detail)
