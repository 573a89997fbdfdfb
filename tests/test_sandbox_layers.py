from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sandbox.kernel import LayerError
from assay.sandbox.probes import check_tier
from support.identities import EVERYONE, as_user, public_folder

WORKER = """
import ctypes, errno, json, mmap, os, resource, select, signal, socket, subprocess, sys, threading, time
from assay.sandbox import kernel, layers
from assay.sandbox.syscalls import NUMBERS
from assay.sandbox.view import plan_view
SETTINGS = {
    "tier": %(tier)r, "profile": %(profile)r, "view": plan_view().to_json(), "limits": {"file_mb": 1},
}
LIMITS = {"memory_mb": 256, "file_mb": 1, "open_files": 32, "processes": 16, "cpu_s": 1.0}
VICTIM = %(victim)r
def act(function, *arguments):
    try:
        result = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    except Exception as error:
        return type(error).__name__
    return result if isinstance(result, int) else "done"
def say(**found):
    os.write(1, json.dumps(found).encode() + b"\\n")
def end_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def sample(function, limits=LIMITS, keep=(0, 1, 2)):
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.chdir(layers.work_folder())
            layers.confine_sample(limits, keep)
            function()
            code = 0
        except Exception:
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return end_of(child)
def worker(template):
    layers.enter_worker(SETTINGS)
    child = os.fork()
    if child:
        os._exit(end_of(child))
    environment = layers.confine_template(SETTINGS)
    template(environment)
    os._exit(0)
"""


@functools.cache
def _missing(tier: str) -> str:
    try:
        check_tier(tier)  # type: ignore[arg-type]
    except LayerError as error:
        return f"the tier `{tier}` cannot be had here: {error}"
    return ""


@pytest.fixture(params=["full", "reduced"])
def tier(request: pytest.FixtureRequest) -> str:
    if reason := _missing(request.param):
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def victim() -> Iterator[Path]:
    """A file that every user may change, as long as nothing keeps them from it."""
    folder = public_folder() / "victim"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    file = folder / "file"
    file.write_text("secret")
    file.chmod(0o666)
    yield file
    assert file.read_text() == "secret"
    assert file.stat().st_mode & 0o777 == 0o666
    assert [path.name for path in folder.iterdir()] == ["file"]
    file.unlink()
    folder.rmdir()


def run(uid: int, tier: str, code: str, *, profile: str = "strict", victim: Path | str = "") -> list[dict[str, object]]:
    """What the code said, which runs in a worker of this tier."""
    head = WORKER % {"tier": tier, "profile": profile, "victim": str(victim)}
    done = as_user(uid, head + code)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


FILES = """
def attack():
    folder = os.path.dirname(VICTIM)
    read = ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/environ", "/proc/self/mem", "/sys/kernel",
            VICTIM, sys.executable.replace("bin/", "x/"), "/root", "/home", "/", folder, "/var/log"]
    say(read={path: act(os.open, path, os.O_RDONLY) for path in read if path != "/" or %(tier)r == "reduced"})
    say(listed={path: act(os.listdir, path) for path in ("/", "/etc", "/proc", folder)})
    say(write={name: act(*call) for name, call in {
        "open": (os.open, VICTIM, os.O_WRONLY),
        "truncate": (os.truncate, VICTIM, 0),
        "cut": (os.open, VICTIM, os.O_RDONLY | os.O_TRUNC),
        "create": (os.open, folder + "/new", os.O_CREAT | os.O_WRONLY),
        "temporary": (os.open, "/var/tmp", os.O_TMPFILE | os.O_RDWR),
        "unlink": (os.unlink, VICTIM),
        "rename": (os.rename, VICTIM, folder + "/other"),
        "link": (os.link, VICTIM, folder + "/linked"),
        "symlink": (os.symlink, "x", folder + "/linked"),
        "mkdir": (os.mkdir, folder + "/made"),
        "mkfifo": (os.mkfifo, folder + "/fifo"),
        "chmod": (os.chmod, VICTIM, 0),
        "chown": (os.chown, VICTIM, os.getuid(), os.getgid()),
        "utime": (os.utime, VICTIM),
        "xattr": (os.setxattr, VICTIM, "user.x", b"x"),
        "library": (os.open, os.__file__, os.O_WRONLY),
        "library mode": (os.chmod, os.__file__, 0o777),
        "root": (os.mkdir, "/x"),
        "shm": (os.open, "/dev/shm/x" if %(tier)r == "reduced" else "/dev/x", os.O_CREAT | os.O_WRONLY),
    }.items()})
    say(environment=sorted(set(os.environ) - {"LD_LIBRARY_PATH"}), import_=act(__import__, "wave"))
worker(lambda environment: say(code=sample(attack)))
"""

REFUSALS = {"ENOENT", "EACCES", "EPERM", "EROFS"}


@EVERYONE
def test_nothing_is_read_or_changed_outside(uid: int, tier: str, victim: Path):
    read, listed, write, rest, end = run(uid, tier, FILES.replace("%(tier)r", repr(tier)), victim=victim)
    for found in (read["read"], listed["listed"], write["write"]):
        assert isinstance(found, dict)
        assert {name: code for name, code in found.items() if code not in REFUSALS} == {}
    assert rest == {"environment": ["LC_ALL", "PYTHONHASHSEED"], "import_": "done"}
    assert end == {"code": 0}


CALLS = """
SECRET = ctypes.create_string_buffer(b"secret")
def raw(name, *arguments):
    return act(kernel.call, name, *arguments)
def attack():
    parent = os.getppid()
    say(found={
        "tcp": act(socket.socket), "udp": act(socket.socket, socket.AF_INET, socket.SOCK_DGRAM),
        "unix": act(socket.socket, socket.AF_UNIX), "netlink": act(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW),
        "datagrams": act(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
        "fork": act(os.fork), "spawn": act(os.posix_spawn, sys.executable, [sys.executable], {}),
        "run": act(subprocess.run, [sys.executable]), "exec": act(os.execv, sys.executable, [sys.executable]),
        "kill everyone": act(os.kill, -1, 0), "kill group": act(os.kill, 0, 0), "kill parent": act(os.kill, parent, 0),
        "kill first": act(os.kill, 1, 0), "kill group of parent": act(os.killpg, os.getpgid(parent), 0),
        "queue": raw("rt_sigqueueinfo", parent, 0, 0), "pidfd": raw("pidfd_open", parent),
        "owner": act(lambda: __import__("fcntl").fcntl(0, 8, parent)),
        "ptrace": raw("ptrace", 16, parent), "read memory": raw("process_vm_readv", parent),
        "write memory": raw("process_vm_writev", parent), "limits": act(resource.prlimit, parent, resource.RLIMIT_CPU),
        "priority": act(os.setpriority, os.PRIO_PROCESS, parent, 5), "cores": act(os.sched_setaffinity, parent, [0]),
        "memfd": act(os.memfd_create, "x"), "secret memory": raw("memfd_secret"), "shared memory": raw("shmget"),
        "messages": raw("msgget"), "user namespace": raw("unshare", 0x10000000), "setns": raw("setns", 0, 0),
        "mount": raw("mount"), "chroot": act(os.chroot, "/"), "io_uring": raw("io_uring_setup", 1, 0),
        "bpf": raw("bpf"), "keyctl": raw("keyctl"), "userfaultfd": raw("userfaultfd"), "perf": raw("perf_event_open"),
        "root": act(os.setuid, 0), "other": act(os.setuid, 12345), "host name": act(socket.sethostname, "x"),
        "seccomp": raw("seccomp", 1), "landlock": raw("landlock_restrict_self"), "fanotify": raw("fanotify_init"),
    }, clone3=raw("clone3", 0, 0), dumpable=raw("prctl", 4, 1), own=act(os.kill, os.getpid(), 0), capabilities=
    kernel.effective_capabilities(), privileges=kernel.prctl(kernel.PR_GET_NO_NEW_PRIVS), core=
    resource.getrlimit(resource.RLIMIT_CORE))
worker(lambda environment: say(code=sample(attack)))
"""


@EVERYONE
def test_no_network_no_processes_no_signals_and_no_way_out(uid: int, tier: str):
    found, end = run(uid, tier, CALLS)
    refused = found.pop("found")
    assert isinstance(refused, dict)
    assert {name: code for name, code in refused.items() if code not in ("EPERM", "EACCES")} == {}
    assert found == {
        "clone3": "ENOSYS",
        "dumpable": "EINVAL",
        "own": "done",
        "capabilities": 0,
        "privileges": 1,
        "core": [0, 0],
    }
    assert end == {"code": 0}


BOMBS = """
def memory():
    blocks = []
    try:
        while True:
            blocks.append(bytearray(16 << 20))
    except MemoryError:
        del blocks
        say(memory="bounded")
def anonymous():
    try:
        mmap.mmap(-1, 1 << 30)
    except OSError as error:
        say(anonymous=errno.errorcode[error.errno])
def threads():
    stop, count = threading.Event(), 0
    try:
        while count < 200:
            threading.Thread(target=stop.wait, daemon=True).start()
            count += 1
    except RuntimeError:
        pass
    say(threads=count < 200)
    stop.set()
def descriptors():
    opened = []
    try:
        while len(opened) < 1000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        say(descriptors=errno.errorcode[error.errno])
def output():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        while True:
            os.write(OUT, bytes(1 << 20))
    except OSError as error:
        say(output=errno.errorcode[error.errno])
def allocate():
    say(allocate=act(kernel.call, "fallocate", OUT, 1, 0, 1 << 30))
def spin():
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass
OUT = os.memfd_create("out")
def template(environment):
    attacks = memory, anonymous, threads, descriptors, allocate, output
    codes = [sample(attack, keep=(0, 1, 2, OUT)) for attack in attacks]
    say(codes=codes, size=os.fstat(OUT).st_size, spin=sample(spin, {**LIMITS, "cpu_s": 0.1}))
worker(template)
"""


@EVERYONE
def test_bombs_are_bounded(uid: int, tier: str):
    found = {name: value for line in run(uid, tier, BOMBS) for name, value in line.items()}
    assert found == {
        "memory": "bounded",
        "anonymous": "ENOMEM",
        "threads": True,
        "descriptors": "EMFILE",
        "allocate": "EPERM",
        "output": "EFBIG",
        "codes": [0] * 6,
        "size": 1 << 20,
        "spin": -9,
    }


INHERITED = """
import tempfile
secret = tempfile.TemporaryFile(dir=os.path.dirname(VICTIM))
held = [os.dup(secret.fileno()) for _ in range(5)]
kept = os.memfd_create("kept")
def attack():
    found = []
    for descriptor in range(3, 1 << 12):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    say(kept=found == [kept])
worker(lambda environment: say(code=sample(attack, keep=(0, 1, 2, kept))))
"""


@EVERYONE
def test_only_named_descriptors_are_left(uid: int, tier: str, victim: Path):
    assert run(uid, tier, INHERITED, victim=victim) == [{"kept": True}, {"code": 0}]


USUAL = """
import asyncio, decimal, random, sqlite3, tempfile, zoneinfo, queue, concurrent.futures
def honest():
    async def tasks():
        return await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(5)))
    def listen():
        loop = asyncio.new_event_loop()
        return loop.run_until_complete(asyncio.sleep(0.001, "loop"))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(str, range(5)))
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(1)
    with open(os.devnull, "w") as null:
        null.write("x")
    base = sqlite3.connect(":memory:").execute("select sqlite_version() is not null").fetchone()[0]
    import wave, calendar, xml.dom.minidom, unittest  # after the walls went up
    say(asyncio=asyncio.run(tasks()), loop=listen(), threads=threads, sqlite=base, time=time.time() > 0,
        random=random.SystemRandom().random() < 1, zone=str(zoneinfo.ZoneInfo("Asia/Tokyo")), terminal=os.isatty(0),
        working=os.getcwd(), utc=time.strftime("%Z"), cores=len(os.sched_getaffinity(0)) > 0)
worker(lambda environment: say(code=sample(honest)))
"""


@EVERYONE
def test_what_honest_solutions_use_works(uid: int, tier: str):
    found, end = run(uid, tier, USUAL)
    assert end == {"code": 0}
    assert found == {
        "asyncio": [0, 1, 2, 3, 4],
        "loop": "loop",
        "threads": ["0", "1", "2", "3", "4"],
        "sqlite": 1,
        "time": True,
        "random": True,
        "zone": "Asia/Tokyo",
        "terminal": False,
        "working": "/box/work" if tier == "full" else "/",
        "utc": "UTC",
        "cores": True,
    }


WORK = """
ask, answer = socket.socketpair(), socket.socketpair()
def dirty():
    os.makedirs("/".join("abcdefgh"))
    open("a/secret", "w").write("earlier")
    os.chmod("a", 0)
    os.chmod(".", 0)
def full():
    written = 0
    try:
        with open("large", "wb", buffering=0) as file:
            while True:
                written += file.write(bytes(1 << 16))
    except OSError as error:
        say(written=written, error=errno.errorcode[error.errno])
def clean():
    with open("mine", "w") as file:
        file.write("new")
    say(listed=os.listdir("."), tmp=os.listdir("/tmp"), mode=os.stat(".").st_mode & 0o777)
def idle():
    os.listdir(".")
def template():
    for attack in (dirty, clean, full, idle):
        code = sample(attack)
        was = layers.work_is_dirty()
        say(attack=attack.__name__, code=code, dirty=was)
        if was:
            ask[1].send(b"c")
            ask[1].recv(1)
            layers.mark_work()
layers.enter_worker(SETTINGS)
if os.fork() == 0:
    layers.confine_template(SETTINGS)
    template()
    os._exit(0)
ask[1].close()
while ask[0].recv(1):
    layers.refresh_work()
    ask[0].send(b"c")
os._exit(0)
"""


@EVERYONE
def test_a_clean_sample_after_a_dirty_one_can_write_and_finds_nothing(uid: int):
    if reason := _missing("full"):
        pytest.skip(reason)
    assert run(uid, "full", WORK) == [
        {"attack": "dirty", "code": 0, "dirty": True},
        {"listed": ["mine"], "tmp": ["mine"], "mode": 0o700},
        {"attack": "clean", "code": 0, "dirty": True},
        {"written": 1 << 20, "error": "EFBIG"},
        {"attack": "full", "code": 0, "dirty": True},
        {"attack": "idle", "code": 0, "dirty": False},
    ]


FORKS = """
def attack():
    bomb = 0
    children = []
    try:
        while bomb < 200:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
            bomb += 1
    except OSError as error:
        say(bomb=bomb < 200, error=errno.errorcode[error.errno])
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    run = subprocess.run([sys.executable, "-S", "-c", "print(6 * 7)"], capture_output=True, text=True)
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(2) as pool:
        squares = pool.map(abs, [-1, -2])
    say(run=run.stdout, err=run.stderr, squares=squares, parent=act(os.kill, os.getppid(), 0),
        first=act(os.kill, 1, 0), everyone=act(os.kill, -1, 0), group=act(os.kill, 0, 0))
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            say(daemon=act(os.kill, 1, 0), namespace=act(kernel.call, "unshare", 0x10000000), tcp=act(socket.socket))
        os._exit(0)
    os.wait()
    time.sleep(0.2)
worker(lambda environment: say(code=sample(attack)))
"""


@EVERYONE
def test_where_processes_may_be_started_they_stay_inside(uid: int):
    if reason := _missing("full"):
        pytest.skip(reason)
    found = {name: value for line in run(uid, "full", FORKS, profile="fork-allowed") for name, value in line.items()}
    assert found == {
        "bomb": True,
        "error": "EAGAIN",
        "run": "42\n",
        "err": "",
        "squares": [1, 2],
        "parent": "EPERM",
        "first": "EPERM",
        "everyone": "EPERM",
        "group": "EPERM",
        "daemon": "EPERM",
        "namespace": "EPERM",
        "tcp": "EPERM",
        "code": 0,
    }


PACKAGES = """
sys.path.append(FOLDER)
SETTINGS["view"] = plan_view(["allowed_x", "hidden_x"]).to_json()
sys.path.remove(FOLDER)
sys.path_importer_cache.clear()
def look():
    found = {"allowed": act(__import__, "allowed_x"), "hidden": act(__import__, "hidden_x")}
    sys.path.append(FOLDER)
    found["hidden by path"] = act(__import__, "hidden_x")
    found["answers"] = act(__import__, "answers_x")
    say(**found)
layers.enter_worker(SETTINGS)
for names in (["allowed_x"], ["allowed_x", "hidden_x"], []):
    child = os.fork()
    if child == 0:
        layers.allow_packages(SETTINGS, names)
        layers.confine_template(SETTINGS)
        sample(look)
        os._exit(0)
    end_of(child)
os._exit(0)
"""


@EVERYONE
def test_each_process_imports_its_own_packages_and_no_other(uid: int, tier: str):
    folder = public_folder() / "packages"
    for name in ("allowed_x", "hidden_x", "answers_x"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.py").write_text("")
    code = f"FOLDER = {str(folder)!r}\n" + PACKAGES
    missing = "ModuleNotFoundError"
    one, both, none = run(uid, tier, code)
    assert one == {"allowed": "done", "hidden": missing, "hidden by path": missing, "answers": missing}
    assert both == {"allowed": "done", "hidden": "done", "hidden by path": "done", "answers": missing}
    assert none == {"allowed": missing, "hidden": missing, "hidden by path": missing, "answers": missing}


NUMPY = """
sys.path.append(SITES)
SETTINGS["view"] = plan_view(["numpy"]).to_json()
sys.path.remove(SITES)
sys.path_importer_cache.clear()
LIMITS["memory_mb"] = 1024
def solve():
    import numpy, numpy.linalg
    inverse = numpy.linalg.inv(numpy.eye(50) * 2)
    say(sum=float(inverse.sum()), random=numpy.random.default_rng(1).random() < 1, other=act(__import__, "pytest"))
layers.enter_worker(SETTINGS)
child = os.fork()
if child:
    os._exit(end_of(child))
layers.allow_packages(SETTINGS, ["numpy"])
layers.confine_template(SETTINGS)
say(code=sample(solve))
os._exit(0)
"""


def test_numpy_works_where_it_is_allowed(tier: str):
    numpy = pytest.importorskip("numpy")
    sites = Path(numpy.__file__).parent.parent
    found, end = run(os.geteuid(), tier, f"SITES = {str(sites)!r}\n" + NUMPY)
    assert found == {"sum": 25.0, "random": True, "other": "ModuleNotFoundError"}
    assert end == {"code": 0}


@EVERYONE
def test_the_environment_says_what_holds(uid: int, tier: str):
    [environment] = run(uid, tier, "worker(lambda environment: say(**environment))")
    assert environment["tier"] == tier
    assert environment["kernel"] == os.uname().release
    assert isinstance(environment["landlock_abi"], int) and environment["landlock_abi"] >= 1
    assert len(str(environment["filter"])) == 64
    assert (environment["uid"] == 0) == ("kept_root" in environment)


ORPHAN = """
alive, hold = os.pipe()
def template(environment):
    ready, tell = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        layers.confine_sample(LIMITS, (0, 1, 2, hold, tell))
        say(unset=act(kernel.call, "prctl", 1, 0))
        os.write(tell, b".")
        while True:
            pass
    os.read(ready, 1)
def late(environment):
    if os.fork() == 0:
        time.sleep(0.1)
        try:
            layers.confine_sample(LIMITS, (0, 1, 2))
        except layers.LayerError as error:
            say(layer=error.layer)
        os._exit(0)
for role in template, late:
    child = os.fork()
    if child == 0:
        worker(role)
    end_of(child)
os.close(hold)
say(left=os.read(alive, 1).decode())
"""


@EVERYONE
def test_no_sample_outlives_its_template(uid: int, tier: str):
    """The pipe ends once nobody holds it, and so does the output that this test waits for."""
    lines = run(uid, tier, ORPHAN)
    assert {"unset": "EPERM"} in lines and {"left": ""} in lines
    assert tier == "full" or {"layer": "parent"} in lines  # in `full` it went with the worker's first process


REFUSED = """
def attempt(function, *arguments):
    try:
        function(*arguments)
    except layers.LayerError as error:
        say(layer=error.layer, errno=error.errno)
"""


@EVERYONE
def test_without_its_own_world_a_worker_starts_no_processes(uid: int):
    for tier in ("reduced", "macos"):
        code = REFUSED + "attempt(layers.enter_worker, SETTINGS)"
        assert run(uid, tier, code, profile="fork-allowed") == [{"layer": "processes", "errno": 0}]


def test_a_sample_is_not_confined_by_a_template_that_was_not():
    code = REFUSED + "attempt(layers.confine_sample, LIMITS, (0, 1, 2))"
    assert run(os.geteuid(), "reduced", code) == [{"layer": "template", "errno": 0}]


@EVERYONE
def test_a_layer_that_cannot_be_applied_is_named_with_its_errno(uid: int):
    """The filter itself is made to refuse the layers that come after it."""
    if reason := _missing("reduced"):
        pytest.skip(reason)
    code = (
        REFUSED
        + """
from assay.sandbox import seccomp
layers.enter_worker(SETTINGS)
kernel.no_new_privileges()
seccomp.Program(seccomp.big_filter(attributes=False)).install()
attempt(layers.confine_template, SETTINGS)
attempt(layers.confine_sample, LIMITS, (0, 1, 2))
"""
    )
    first, second = run(uid, "reduced", code)
    assert first == {"layer": "capabilities", "errno": 1}
    assert second == {"layer": "template", "errno": 0}


def test_the_tier_none_bounds_but_does_not_confine():
    code = """
def attack():
    say(file=act(open, VICTIM), most=resource.getrlimit(resource.RLIMIT_AS)[1], folder=layers.work_folder())
worker(lambda environment: say(tier=environment["tier"], code=sample(attack), dirty=layers.work_is_dirty()))
"""
    file = public_folder() / "readable"
    file.write_text("text")
    found, end = run(os.geteuid(), "none", code, victim=file)
    assert found == {"file": "done", "most": 256 << 20, "folder": "/"}
    assert end == {"tier": "none", "code": 0, "dirty": False}
