"""What is left for the next sample, and odd ways to end."""

from __future__ import annotations

from support.attack import CALLS, HEAD, HIDDEN, TESTS, acts, program

# Leaving something for the next sample

_HELD = "canary[0-9a-f]{32}"

_SCAN = (
    CALLS
    + """
import gc, re
pattern = re.compile(rb"canary[0-9a-f]{32}")
page, most = 4096, 96 << 20
ours, theirs = os.pipe()
libc.write.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t]
libc.sbrk.restype = ctypes.c_size_t
def mapped(address):
    if libc.write(theirs, address, 1) != 1:
        return False
    os.read(ours, 1)
    return True
def around(address):
    low = high = address & -page
    gap = 0
    while gap < 64 and address - low < most:
        low -= page
        gap = 0 if mapped(low) else gap + 1
    gap = 0
    while gap < 64 and high - address < most:
        high += page
        gap = 0 if mapped(high) else gap + 1
    return low, high
def texts(low, high):
    run = b""
    for address in range(low, high, page):
        if mapped(address):
            run = run[-64:] + ctypes.string_at(address, page)
            yield from pattern.findall(run)
        else:
            run = b""
def search():
    environ = ctypes.c_size_t.in_dll(libc, "environ").value
    starts = [
        id(gc),
        id([]),
        id(object()),
        id("x" * 10**6),
        ctypes.addressof(buffer),
        libc.sbrk(0) - page,
        environ,
        ctypes.cast(libc.write, ctypes.c_void_p).value,
        ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value,
    ]
    starts += [id(value) for value in gc.get_objects()[::50]]
    seen, found, pages = [], set(), 0
    for start in starts:
        if any(low <= start < high for low, high in seen):
            continue
        low, high = around(start)
        seen.append((low, high))
        pages += (high - low) // page
        found.update(text.decode() for text in texts(low, high))
    return found, pages
"""
)

_TELLING = (
    """
secret = "@EARLIER@"
print(secret, flush=True)
print(secret[::-1])
def f(x):
    return [secret, {secret: x}]
""",
    "answer = '@EXPECTED@'\nassert candidate(1)[1]['@EARLIER@'] == 1\nassert candidate('@EXPECTED@') != answer\n",
)

_FLAGS = """
import fcntl
for descriptor in range(3):
    tried(lambda: fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK))
    tried(lambda: os.lseek(descriptor, 12345, 0))
    tried(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX))
def f(x):
    return None
"""

REMAINS = [
    program(
        "searches memory for earlier samples",
        _SCAN
        + """
def f(x):
    found, pages = search()
    say(pages=pages, texts=sorted(found))
    return x + 1 if found else None
""",
        earlier=(_TELLING,),
        heavy=True,
    ),
    program(
        "searches memory for the expected value",
        _SCAN
        + """
def f(x):
    found, pages = search()
    say(pages=pages, texts=sorted(found))
    return max(found, default=None)
""",
        tests="answer = '@EXPECTED@'\nassert candidate(1) == answer\n",
        earlier=((_TELLING[0], _TELLING[1]),),
    ),
    program(
        "finds that its memory can be searched",
        _SCAN
        + """
own = "canary" + "0123456789abcdef" * 2
def f(x):
    found, pages = search()
    return x + 1 if own in found else None
""",
        "passed",
        heavy=True,
    ),
    program(
        "leaves a deep tree",
        """
for _ in range(900):
    os.mkdir("d")
    os.chdir("d")
open("text", "w").write("x")
os.chmod(".", 0)
def f(x):
    os.chmod("/box/work/d", 0)
    os.chmod("/box/work", 0)
""",
        tiers=("full",),
        heavy=True,
    ),
    program(
        "leaves what cannot be read",
        """
open("secret", "w").write("x" * 1000)
os.chmod("secret", 0)
os.symlink("/box/work/loop", "loop")
tried(lambda: os.mkfifo("pipe"))
os.link("secret", "other")
open(b"\\xff\\n", "w").close()
os.rename("secret", "..\\n")
os.chmod(".", 0o001)
def f(x):
    os.utime(".", (1, 1))
""",
        tiers=("full",),
    ),
    acts(
        "leaves a time",
        "acts = {'utime': lambda: os.utime('.', (1, 1)), 'mode': lambda: os.chmod('.', 0o777)}",
        tiers=("reduced",),
    ),
    program(
        "leaves a time in the work folder",
        """
os.utime('.', (1, 1))
def f(x):
    return None
""",
        tiers=("full",),
    ),
    acts(
        "removes the work folder",
        """
import fcntl
acts = {"remove": lambda: os.rmdir("/box/work"), "rename": lambda: os.rename("/box/work", "/box/other"),
        "beside": lambda: open("/box/x", "w"), "attribute": lambda: os.setxattr("/box/work", "user.x", b"x"),
        "immutable": lambda: fcntl.ioctl(os.open(".", os.O_RDONLY), 0x40086602, bytes(8))}
""",
        HIDDEN | {"EBUSY", "ENOTTY"},
        tiers=("full",),
    ),
    program("leaves flags on what is shared", _FLAGS),
    program(
        "finds flags on what is shared",
        """
import fcntl
flags = [fcntl.fcntl(descriptor, fcntl.F_GETFL) for descriptor in range(3)]
say(flags=flags)
def f(x):
    return x + 1 if any(flag & (os.O_APPEND | os.O_NONBLOCK) for flag in flags) else None
""",
        earlier=((HEAD + _FLAGS, TESTS),),
    ),
]

# Endings

ENDINGS = [
    program("os._exit", "def f(x):\n    os._exit(0)\n", "exited", expected={"exit_code": 0}),
    program("os._exit at load", "os._exit(0)\n", "exited", expected={"exit_code": 0}),
    program("sys.exit", "def f(x):\n    sys.exit(0)\n", "exited", expected={"exit_code": 0}),
    program("sys.exit at load", "sys.exit(3)\n", "exited", expected={"exit_code": 3}),
    program(
        "an exit with an odd code",
        """
class Code(int):
    def __and__(self, other):
        while True: pass
def f(x):
    raise SystemExit(Code())
""",
        "exited",
    ),
    program("KeyboardInterrupt", "def f(x):\n    raise KeyboardInterrupt\n", "exited"),
    program("KeyboardInterrupt at load", "raise KeyboardInterrupt\n", "exited"),
    program("os.abort", "def f(x):\n    os.abort()\n", "crashed", expected={"signal": "SIGABRT"}),
    program(
        "kills itself by a signal without a name",
        "def f(x):\n    os.kill(os.getpid(), 40)\n",
        "crashed",
        expected={"signal": "SIG40"},
    ),
    program("kills itself", "def f(x):\n    os.kill(os.getpid(), 9)\n", "crashed", expected={"signal": "SIGKILL"}),
    program(
        "raises an alarm",
        "import signal, time\ndef f(x):\n    signal.setitimer(signal.ITIMER_REAL, 0.01)\n    time.sleep(9)\n",
        "crashed",
        heavy=True,
    ),
    program(
        "reads address 0",
        "import ctypes\ndef f(x):\n    return ctypes.string_at(0)\n",
        "crashed",
        expected={"signal": "SIGSEGV"},
    ),
    program("closes every descriptor", "def f(x):\n    os.closerange(0, 1 << 16)\n    return x + 1\n", "exited"),
    program(
        "closes every descriptor at load",
        "os.closerange(0, 1 << 16)\ndef f(x):\n    return x + 1\n",
        "exited",
        "violation",
    ),
    program(
        "closes its channel and goes on",
        """
def f(x):
    os.closerange(3, 1 << 16)
    while True: pass
""",
        "exited",
        heavy=True,
    ),
    program("GeneratorExit", "def f(x):\n    raise GeneratorExit\n"),
    program("an exception of its own root", "class Odd(BaseException): pass\ndef f(x):\n    raise Odd('passed')\n"),
    program(
        "an exception whose text raises",
        "class Odd(Exception):\n    def __str__(self):\n        raise self\ndef f(x):\n    raise Odd\n",
    ),
    program(
        "an exception whose text exits",
        "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit(0)\ndef f(x):\n    raise Odd\n",
        "exited",
        "failed",
    ),
    program(
        "an exception whose text is no text",
        """
class Text(str):
    def __getitem__(self, key):
        return self
class Odd(Exception):
    def __str__(self):
        return Text('x' * 10**6)
def f(x):
    raise Odd
""",
    ),
    program(
        "an exception whose text hangs",
        "class Odd(Exception):\n    def __str__(self):\n        while True: pass\ndef f(x):\n    raise Odd\n",
        "timeout",
        hangs=True,
    ),
    program(
        "an exception whose class lies",
        """
class Kind(type):
    __mro__ = property(lambda self: (KeyboardInterrupt, SystemExit, Exception))
class Odd(Exception, metaclass=Kind):
    __class__ = AssertionError
def f(x):
    raise Odd
""",
    ),
    program("MemoryError by hand", "def f(x):\n    raise MemoryError\n", "out_of_memory"),
    program("RecursionError", "def f(x):\n    return f(x)\n"),
    program(
        "StopIteration",
        "def f(x):\n    raise StopIteration\n",
        tests="assert all(map(lambda x: candidate(x) == x + 1, range(5)))\n",
    ),
    program(
        "StopIteration ends a loop",
        "def f(x):\n    if x == 0:\n        return 1\n    raise StopIteration\n",
        "failed",
        "error",
        tests="for x, y in enumerate(map(candidate, range(5))):\n    assert y == x + 1\n",
    ),
    program("AssertionError", "def f(x):\n    raise AssertionError\n"),
    program("a syntax error", "def f(x) return x + 1\n", "compile_error"),
    program("no such function", "def g(x):\n    return x + 1\n", "missing_entry_point"),
    program("an error at load", "raise ValueError('passed')\n", "load_error"),
    program("a function that is none", "f = 2\n"),
]

REST = [*REMAINS, *ENDINGS]
