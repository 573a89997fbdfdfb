"""Attacks that use up what there is: see `attack`."""

from __future__ import annotations

from support.attack import acts, program

_THREADS = """
import threading
threading.stack_size(@STACK@)
most, count = @MOST@, 0
stop = threading.Event()
try:
    while count < most:
        threading.Thread(target=stop.wait, daemon=True).start()
        count += 1
except (RuntimeError, MemoryError) as error:
    say(found={"threads": type(error).__name__}, count=count)
stop.set()
def f(x):
    return x + 1 if count >= most else None
"""
_NO_THREAD = frozenset({"RuntimeError", "MemoryError"})

BOMBS = [
    program(
        "fork bomb",
        """
import signal
born = 0
try:
    while born < 1000:
        if os.fork() == 0:
            while True:
                signal.pause()
        born += 1
except OSError as error:
    say(found={"fork": errno.errorcode[error.errno]})
def f(x):
    return x + 1 if born >= 1000 else None
""",
        refused=frozenset({"EPERM", "EAGAIN"}),
    ),
    program(
        "memory",
        "def f(x):\n    held = []\n    while True:\n        held.append(bytearray(16 << 20))\n",
        "out_of_memory",
        heavy=True,
    ),
    program(
        "memory at load",
        """
held = [bytes(1 << 30) for _ in range(100)]
def f(x):
    return x + 1
""",
        "out_of_memory",
        heavy=True,
    ),
    program(
        "many small objects",
        "def f(x):\n    held = []\n    while True:\n        held.append([held] * 1000)\n",
        "out_of_memory",
        "timeout",
        heavy=True,
    ),
    program(
        "memory by a string",
        """
def f(x):
    text = 'x'
    while True:
        text += text
""",
        "out_of_memory",
        heavy=True,
    ),
    acts(
        "mappings",
        """
import mmap
held = []
def mapped(flags):
    def act():
        while True:
            held.append(mmap.mmap(-1, 64 << 20, flags=flags))
    return act
acts = {
    "private": mapped(mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
    "shared": mapped(mmap.MAP_SHARED | mmap.MAP_ANONYMOUS),
    "memfd": lambda: os.memfd_create("x"),
    "on stdout": lambda: os.ftruncate(1, 1 << 40),
    "reserve": lambda: call(285, 47, 1, 0, 0, 1 << 30),
}
""",
        {"ENOMEM", "EPERM", "EFBIG"},
        heavy=True,
    ),
    acts(
        "disk",
        """
def fill():
    with open("large", "wb", buffering=0) as file:
        for _ in range(10_000):
            file.write(bytes(1 << 20))
def many():
    for number in range(100_000):
        open(f"file{number}", "wb").close()
def spread():
    for number in range(1000):
        with open(f"part{number}", "wb", buffering=0) as file:
            file.write(bytes(8 << 20))
def sparse():
    with open("sparse", "wb") as file:
        file.truncate(1 << 40)
acts = {"fill": fill, "sparse": sparse, "spread": spread, "many": many}
""",
        {"ENOSPC", "EFBIG", "EACCES"},
        heavy=True,
    ),
    acts(
        "output",
        """
def flood(descriptor):
    def act():
        for _ in range(10_000):
            os.write(descriptor, b"\\0" * (1 << 20))
    return act
acts = {"stderr": flood(2), "stderr far": lambda: os.pwrite(2, b"x", 1 << 40)}
""",
        {"EFBIG"},
        expected={"output_cut": True},
        heavy=True,
    ),
    program(
        "prints without end",
        "def f(x):\n    while True:\n        print('x' * 100_000)\n",
        "failed",
        "error",
        expected={"output_cut": True},
        heavy=True,
    ),
    program(
        "threads",
        _THREADS.replace("@STACK@", "0").replace("@MOST@", "2000"),
        refused=_NO_THREAD,
        heavy=True,
    ),
    program(
        "threads with small stacks",
        _THREADS.replace("@STACK@", "32 << 10").replace("@MOST@", "2000"),
        refused=_NO_THREAD,
        heavy=True,
        tiers=("full",),
    ),
    program(
        "threads that memory alone bounds",
        _THREADS.replace("@STACK@", "32 << 10").replace("@MOST@", "20_000").replace("found=", "ended="),
        "failed",
        "timeout",  # Python waits for ever for a thread that got no memory
        hangs=True,
        tiers=("reduced",),
    ),
    acts(
        "descriptors",
        """
import socket
held = []
def opened():
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
def paired():
    held.clear()
    while True:
        held.append(socket.socketpair())
acts = {"open": opened, "pairs": paired, "pipe": lambda: held.append(os.pipe())}
""",
        {"EMFILE"},
        heavy=True,
    ),
    program(
        "descriptors in flight",
        """
import array, socket
codes = set()
for _ in range(2000):
    try:
        a, b = socket.socketpair()
        both = array.array("i", [a.fileno(), b.fileno()])
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, both)])
        b.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, both)])
        a.close(), b.close()
    except OSError as error:
        codes.add(errno.errorcode.get(error.errno))
        break
say(found={"in flight": sorted(codes)[0] if codes else "done"})
def f(x):
    return None
""",
        refused=frozenset({"ETOOMANYREFS", "EMFILE", "done"}),
        heavy=True,
    ),
    program(
        "recursion",
        "sys.setrecursionlimit(10**9)\ndef f(x):\n    return f(x) + 1\n",
        "crashed",
        "out_of_memory",
        "timeout",
        heavy=True,
    ),
    program(
        "recursion in C",
        """
sys.setrecursionlimit(10**9)
class Odd:
    __repr__ = lambda self: repr([self])
def f(x):
    return repr(Odd())
""",
        "crashed",
        heavy=True,
    ),
    program("deep source", f"def f(x):\n    return {'(' * 5000}x{')' * 5000}\n", "compile_error", heavy=True),
    program("deep expression", f"def f(x):\n    return {'-' * 200_000}x\n", "compile_error", "crashed", heavy=True),
    program("null bytes", "def f(x):\n    return x + 1\n\0", "compile_error"),
    program("a source that is not text", "def f(x):\n    return '\udcff'\n", "compile_error", "failed", "load_error"),
]
