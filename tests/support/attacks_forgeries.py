"""Hostile solutions that try to be judged passed: see `attack`."""

from __future__ import annotations

from support.attack import CALLS, program

VALUES = [
    program(
        "always equal",
        """
class Same:
    def __eq__(self, other):
        return True
    def __ne__(self, other):
        return False
    def __bool__(self):
        return True
    __hash__ = None
def f(x):
    return Same()
""",
        tests="assert candidate(1) == 2\nassert not candidate(1) != 2\nassert candidate(1) in [2]\nassert {2: 1}[candidate(1)]\n"
        "assert candidate(1)\nassert candidate(1) is True or abs(candidate(1) - 2) < 1e-6\n",
    ),
    *(
        program(
            f"a lying {base}",
            f"""
class Liar({base}):
    def lie(self, *rest):
        return True
    __eq__ = __ge__ = __le__ = __bool__ = __contains__ = lie
    def __ne__(self, other):
        return False
    __lt__ = __gt__ = __ne__
    def __hash__(self):
        return hash({wanted})
    def __sub__(self, other):
        return 0
    __rsub__ = __abs__ = __int__ = __index__ = __float__ = __sub__
    def __len__(self):
        return 1
    def __getitem__(self, key):
        return {wanted}
    def __iter__(self):
        return iter({wanted})
    def __repr__(self):
        return repr({wanted})
    def __reduce_ex__(self, protocol):
        return (type({wanted}), ({wanted},))
    __class__ = {base}
def f(x):
    return Liar({given})
""",
            "failed",
            "violation",
            tests=f"assert candidate(1) == {wanted}\nassert {wanted} == candidate(1)\n"
            f"assert candidate(1) in [{wanted}]\nassert not (candidate(1) != {wanted})\n",
        )
        for base, given, wanted in (
            ("int", "1", "2"),
            ("float", "1.0", "2.5"),
            ("str", "'a'", "'b'"),
            ("bytes", "b'a'", "b'b'"),
            ("list", "[1]", "[2]"),
            ("tuple", "(1,)", "(2,)"),
            ("dict", "{1: 1}", "{2: 2}"),
            ("set", "{1}", "{2}"),
            ("frozenset", "{1}", "frozenset({2})"),
            ("complex", "1j", "2j"),
            ("bytearray", "b'a'", "bytearray(b'b')"),
        )
    ),
    program(
        "a liar deep inside",
        """
class Same(int):
    def __eq__(self, other):
        return True
    __hash__ = int.__hash__
def f(x):
    return [(1, {"a": [Same(1)]})]
""",
        tests="assert candidate(1) == [(1, {'a': [2]})]\nassert candidate(1)[0][1]['a'][0] == 2\n",
    ),
    program(
        "a type that lies",
        """
class Kind(type):
    def __eq__(self, other):
        return True
    def __hash__(self):
        return hash(int)
    def __instancecheck__(self, other):
        return True
    __class__ = type
class Number(metaclass=Kind):
    __class__ = int
def f(x):
    return Number()
""",
        tests="assert candidate(1) == 2\nassert type(candidate(1)) == int\nassert isinstance(candidate(1), int)\n",
    ),
    program(
        "iterators that lie",
        """
class Endless:
    def __iter__(self):
        return self
    def __next__(self):
        return self
    def __len__(self):
        return 3
    def __eq__(self, other):
        return True
    def __getitem__(self, key):
        return self
def f(x):
    return Endless()
""",
        "error",
        "failed",
        tests="assert [a for a, _ in zip(candidate(1), range(3))] == [1, 2, 3]\nassert candidate(1)[0] == 1\n",
    ),
    program(
        "not a number",
        "def f(x):\n    return float('nan')\n",
        tests="assert candidate(1) == 2\nassert not abs(candidate(1) - 2) < 1e-6\nassert abs(candidate(1) - 2) < 1e-6\n",
    ),
    program("everything at once", "def f(x):\n    return [2, 21, True, None][x % 3 : x % 4]\n"),
    program("a huge list", "def f(x):\n    return [0] * 20_000_000\n", "failed", "out_of_memory", "violation"),
    program("a huge text", "def f(x):\n    return 'x' * (200 << 20)\n", "failed", "out_of_memory"),
    program("a huge number", "def f(x):\n    return 1 << (1 << 29)\n", "failed", "out_of_memory", "timeout"),
    program("a number of many digits", "def f(x):\n    return 10 ** 100_000\n"),
    program("a cycle", "def f(x):\n    cycle = []\n    cycle.append(cycle)\n    return cycle\n"),
    program("a cycle of dictionaries", "def f(x):\n    cycle = {}\n    cycle[1] = (cycle, [cycle])\n    return cycle\n"),
    program(
        "100,000 lists deep",
        "def f(x):\n    deep = []\n    for _ in range(10**5):\n        deep = [deep]\n    return deep\n",
    ),
    program(
        "100,000 tuples and dictionaries deep",
        "def f(x):\n    deep = ()\n    for _ in range(10**5):\n        deep = ({1: deep},)\n    return deep\n",
    ),
    program(
        "colliding keys",
        "def f(x):\n    return {number * (2**61 - 1) for number in range(1, 200)} | {'x'} and "
        "dict.fromkeys(range(2**61 - 1, (2**61 - 1) * 20_000, 2**61 - 1))\n",
        "failed",
        "timeout",
        hangs=True,
    ),
    program("an endless generator", "def f(x):\n    while True:\n        yield x\n", "timeout", tests="assert list(candidate(1)) == [1]\n", hangs=True),
    program("a generator that hangs", "def f(x):\n    yield x\n    while True: pass\n", "timeout", tests="assert list(candidate(1)) == [1]\n", hangs=True),
    *(
        program(
            f"hangs in {method}",
            f"class Odd:\n    def {method}(self, *rest):\n        while True: pass\ndef f(x):\n    return [Odd(), {{1: Odd()}}]\n",
            "failed",
            "timeout",
            tests="assert candidate(1) == [1, 2]\nassert repr(candidate(2)) == 'x'\nassert candidate(3)[0] == 1\n",
        )
        for method in ("__repr__", "__eq__", "__hash__", "__str__", "__bool__", "__reduce_ex__", "__class__")
    ),
    program("hangs in __del__", "class Odd:\n    def __del__(self):\n        while True: pass\ndef f(x):\n    Odd()\n", "timeout", hangs=True),
    program("hangs in __len__", "class Odd:\n    def __len__(self):\n        while True: pass\ndef f(x):\n    return Odd()\n", "timeout", tests="assert len(candidate(1)) == 2\n", hangs=True),
]

REACHING = [
    program(
        "walks the frames",
        """
def f(x):
    frame = sys._getframe()
    while frame:
        for scope in (frame.f_locals, frame.f_globals, frame.f_builtins):
            for name, value in list(scope.items()):
                if type(value).__name__ in ("Tally", "Suite", "Link", "_Attempt", "Instrumented"):
                    value.passes = value.runs = 1
                    say(reached=name)
                    return x + 1
        frame = frame.f_back
""",
    ),
    program(
        "walks all objects",
        """
import gc
def f(x):
    gc.collect()
    for value in gc.get_objects():
        name = type(value).__name__
        if name in ("Tally", "Suite", "Link", "_Attempt", "Instrumented"):
            say(reached=name)
            return x + 1
        if type(value) is dict and any(isinstance(text, str) and "candidate(1) ==" in text for text in list(value.values())):
            if value is not globals() and value.get("__name__") != "solution":
                say(reached="tests")
                return x + 1
""",
    ),
    program(
        "patches what the tests use",
        """
import builtins, math
class Yes(Exception): pass
builtins.abs = math.fabs = lambda value: 0
builtins.len = builtins.sum = builtins.max = lambda *values: 2
builtins.all = builtins.any = builtins.isinstance = lambda *values: True
builtins.sorted = builtins.list = builtins.set = builtins.tuple = lambda value=0, **rest: 2
builtins.AssertionError = builtins.Exception = Yes
def f(x):
    return 0
""",
        "failed",
        "exited",
        tests="import math\nassert abs(candidate(1) - 2) < 1e-6\nassert math.fabs(candidate(1) - 2) < 1e-6\n"
        "assert isinstance(candidate(1), str)\nassert all([candidate(1) == 2])\n",
    ),
    program(
        "defines what the tests use",
        """
abs = lambda value: 0
isinstance = all = sorted = lambda *values: True
check = assertion = inputs = results = lambda *values: None
AssertionError = BaseException
class candidate:
    def __new__(cls, x):
        return 2
def f(x):
    return 0
""",
        tests="def check(candidate):\n    assert abs(candidate(1) - 2) < 1e-6\n    assert all([candidate(1) == 2])\n",
    ),
    program(
        "patches the modules around it",
        """
import importlib
passed = {"status": "passed", "compiled": True, "loaded": True, "tests_passed": 2, "tests_run": 2, "tests_total": 2}
def yes(*rest):
    return passed
def patch(module, path):
    found = importlib.import_module("assay.sandbox." + module)
    *owners, name = path.split(".")
    for owner in owners:
        found = getattr(found, owner)
    setattr(found, name, yes)
for module, names in {"checker": "_report _unloaded _status Suite.judge judge_shared", "remote": "Handle.__eq__ Link.finish",
                      "wire": "pack dumps Opaque.__eq__", "execution": "Status.FAILED", "template": "_end cpu_seconds"}.items():
    for name in names.split():
        tried(lambda: patch(module, name))
def f(x):
    return {"x": object()}
""",
        "failed",
        "exited",
        "violation",
    ),
    program(
        "writes to every descriptor",
        """
import struct
passed = json.dumps({"status": "passed", "compiled": True, "loaded": True, "tests_passed": 2, "tests_run": 2, "tests_total": 2})
def frame(*parts):
    body = json.dumps(parts).encode()
    return struct.pack(">I", len(body)) + body
texts = [passed.encode(), b"O\\0", b"O\\1", b"W", b"R" + struct.pack(">i", os.getpid()), b"K" + b"D", b"C",
         b"D" + struct.pack(">iddQdBBBB", 0, 0.0, 0.0, 1, 0.0, 0, 1, 0, 1), frame(1, "value", 2), frame(2, "value", 21)]
def f(x):
    for descriptor in range(1024):
        for text in texts:
            tried(lambda: os.write(descriptor, text))
            tried(lambda: os.pwrite(descriptor, text, 0))
            tried(lambda: os.ftruncate(descriptor, len(text)))
    return x
""",
        "violation",
    ),
    program(
        "writes to every descriptor at load",
        """
import struct
def frame(*parts):
    body = json.dumps(parts).encode()
    return struct.pack(">I", len(body)) + body
for descriptor in range(3, 1024):
    for text in (frame(0, "loaded", "", ""), frame(1, "value", True), frame(2, "value", True)):
        tried(lambda: os.write(descriptor, text))
os._exit(0)
""",
        "violation",
        "exited",
        "failed",
    ),
    program(
        "passes descriptors to the checker",
        """
import array, socket, struct
def f(x):
    for descriptor in range(3, 64):
        try:
            channel = socket.socket(fileno=os.dup(descriptor))
            body = json.dumps([x, "value", x]).encode()
            held = array.array("i", [0, 1, 2, descriptor] * 8)
            channel.sendmsg([struct.pack(">I", len(body)) + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)])
        except OSError:
            pass
    return x
""",
        "violation",
        "failed",
    ),
    program("lists its descriptors", "found = []\nfor d in range(1 << 12):\n    if tried(lambda: os.fstat(d)) == DONE:\n        found.append(d)\nsay(descriptors=len(found))\ndef f(x):\n    return x + 1 if len(found) > 4 else None\n"),
    program(
        "answers with what is no answer",
        """
import struct, assay.sandbox.frames as frames, assay.sandbox.solution as solution
bodies = [b"", b"[]", b"{}", b"null", b'"x"', b"[1]", b"[1,2]", b'[1,"value"]', b'[true,"value",2]', b'[1.0,"value",2]',
          b'[1,"value",{"h":[0,"q","x"]}]', b'[1,"value",{"h":[0]}]', b'[1,"value",{"c":[7,"f"]}]', b'[1,"value",{"c":[-1,"f"]}]',
          b'[1,"value",{"zz":1}]', b'[1,"value",{"i":2}]', b'[1,"value",{"i":"' + b"f" * 10**6 + b'"}]', b'[1,"value",2,[[0,1],[7,1]]]',
          b'[1,"value",2,{}]', b'[1,"value",2,[["__class__",1]]]', b'[1,"ask","call",0,[]]', b'[1,"ask","exec",0,[]]', b'[1,"error",["SystemExit"],"x"]',
          b'[1,"error",["KeyboardInterrupt"],"x"]', b'[1,"error",[1,{}],"x"]', b'[1,"error","x","x"]', b'[1,"value",{"type":"eval"}]',
          b'[1,"value",{"defaultdict":[[],[],"eval"]}]', b'[1,"value",{"Fraction":[1,0]}]', b'[1,"value",{"deque":[[1],-1]}]',
          b'[1,"value",{"array":["u","AAAA"]}]', b'[1,"value",{"array":["q","AAAA"]}]', b'[1,"value",{"d":[[[]],[1]]}]', b'[1,"value",{"d":[[1],[]]}]',
          b'[1,"value",{"a":["<O8",[1],"AAAA"]}]', b'[1,"value",{"n":["<M8",1]}]', b'[1,"value",{"datetime":[]}]', b'[1,"value",1e999999]',
          b"[" * 100_000, b'{"t":' * 100_000, b"\\xff\\xfe", b"[1,", b"[1,2]x", b'[1,"value",' + b"9" * 10**6 + b"]", b"1" * 10**6]
def f(x):
    frames.send(solution_channel(), bodies[@NUMBER@ % len(bodies)])
    return x
def solution_channel():
    return next(d for d in range(3, 64) if tried(lambda: os.fstat(d)) == DONE)
""",
        "violation",
        "failed",
        "error",
        times=50,
    ),
    *(
        program(
            f"sends {name}",
            f"""
import struct
def channel():
    return next(d for d in range(3, 64) if tried(lambda: os.fstat(d)) == DONE)
def put(raw):
    while raw:
        raw = raw[os.write(channel(), raw):]
def f(x):
    {code}
    return x
""",
            *statuses,
            hangs=hangs,
        )
        for name, code, statuses, hangs in (
            ("a frame that is too long", "put(struct.pack('>I', 0xFFFFFFFF) + b'x' * 100)", ("violation",), False),
            ("half a frame", "put(struct.pack('>I', 100) + b'[1'); os._exit(0)", ("exited",), False),
            ("half a frame and waits", "put(struct.pack('>I', 100) + b'[1'); import time; time.sleep(99)", ("timeout",), True),
            ("its answer byte by byte", "import time\n    while True:\n        put(b'\\\\0'); time.sleep(0.01)", ("timeout", "violation"), True),
            ("a flood", "put(struct.pack('>I', 32 << 20) + b'[' + b'{\"i\":\"1\"},' * 3_300_000)", ("violation", "timeout", "out_of_memory", "failed"), True),
            ("a flood of frames", "while True: put(struct.pack('>I', 13) + b'[1,\"value\",0]')", ("violation", "failed"), False),
        )
    ),
]

DISTURBING = [
    program("sleeps", "import time\ndef f(x):\n    time.sleep(999)\n", "timeout", hangs=True, expected={"timeout": "wall"}),
    program("loops", "def f(x):\n    while True: pass\n", "timeout", hangs=True, expected={"timeout": "cpu", "retried": True}),
    program("loops at load", "while True: pass\n", "timeout", hangs=True),
    program("loops in C", "import re\ndef f(x):\n    re.match('(a+)+$', 'a' * 64 + 'b')\n", "timeout", hangs=True),
    program("loops in a thread", "import threading\ndef loop():\n    while True: pass\nthreading.Thread(target=loop).start()\ndef f(x):\n    import time\n    time.sleep(999)\n", "timeout", hangs=True),
    program(
        "a thread that outlives the call",
        """
import threading, time
def late():
    while True:
        for descriptor in range(3, 16):
            tried(lambda: os.write(descriptor, b'\\0\\0\\0\\x0d[2,"value",0]'))
        time.sleep(0.001)
def f(x):
    threading.Thread(target=late).start()
    time.sleep(0.02)
    return x
""",
        "violation",
        "failed",
    ),
    program("replaces the modules", "import types\nfor name in list(sys.modules):\n    sys.modules[name] = types.ModuleType(name)\nsys.modules.clear()\ndef f(x):\n    return x\n", "failed", "exited"),
    program("replaces the streams", "class Odd:\n    def __getattr__(self, name):\n        while True: pass\nsys.stdout.flush = sys.stderr.flush = Odd\nsys.stdout = sys.stderr = sys.stdin = Odd()\ndef f(x):\n    return x\n"),
    program("a flush that hangs", "def hang():\n    while True: pass\nsys.stdout.flush = hang\ndef f(x):\n    print(x)\n    return x\n", "failed", "timeout"),
    program("hooks of every kind", "import atexit, gc, threading\ndef hook(*rest):\n    raise RuntimeError('hook')\nsys.excepthook = sys.unraisablehook = threading.excepthook = sys.displayhook = hook\natexit.register(hook)\ngc.callbacks.append(hook)\nsys.breakpointhook = hook\ndef f(x):\n    return x\n"),
    program("an audit hook", "def hook(*rest):\n    raise SystemExit(0)\nsys.addaudithook(hook)\ndef f(x):\n    return x\n", "failed", "exited"),
    program("a trace that hangs", "def trace(*rest):\n    while True: pass\ndef f(x):\n    sys.settrace(trace)\n    sys.setprofile(trace)\n    return len([x])\n", "timeout", hangs=True),
    program("a trace that reads frames", "seen = []\ndef trace(frame, event, argument):\n    seen.append(' '.join(frame.f_locals))\n    return trace\ndef f(x):\n    sys.settrace(trace)\n    len([x])\n    sys.settrace(None)\n    return x + 1 if any('expected' in names or 'tally' in names for names in seen) else None\n"),
    program("no garbage collection", "import gc\ngc.disable()\ngc.set_threshold(0)\ngc.freeze()\nsys.setswitchinterval(1e6)\nsys.setrecursionlimit(50)\nsys.set_int_max_str_digits(0)\ndef f(x):\n    return x\n", "failed", "exited"),
    program("a recursion limit too low", "def f(x):\n    sys.setrecursionlimit(max(len_ for len_ in range(8, 200) if tried(lambda: sys.setrecursionlimit(len_)) == DONE) and 40)\n    return [[[[x]]]]\n", "failed", "exited"),
    program("changes where it stands", "os.chdir('/')\nos.umask(0o777)\ndef f(x):\n    return x\n"),
    program("changes its arguments", "def f(x):\n    x[:] = [object(), x]\n    return x\n", tests="given = [1]\nassert candidate(given) == [1, 2]\nassert given == [1]\n"),
    program("calls back without end", "def f(x):\n    def again(*rest):\n        return x(again)\n    return again()\n", "failed", "error", "violation", "timeout", tests="assert candidate(lambda back: back(back)) == 2\n"),
    program("imports itself again", "import importlib, solution\nimportlib.import_module('solution')\ndef f(x):\n    return importlib.reload(solution).f(x)\n"),
    program("a module in the work folder", "open('assay.py', 'w').write('x')\nsys.path.insert(0, '.')\ndef f(x):\n    return x\n", tiers=("full",)),
    program("an encoding of its own", "# coding: rot13\nqrs s(k):\n    erghea k\n", "missing_entry_point", "compile_error", "failed"),
]

FORKING = [
    program(
        "a daemon by a double fork",
        """
import signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            tried(lambda: signal.signal(number, signal.SIG_IGN))
        while True:
            tried(lambda: os.write(1, b"x"))
            time.sleep(0.01)
    os._exit(0)
os.wait()
def f(x):
    return None
""",
        profiles=("fork-allowed",),
    ),
    program(
        "a child that answers for its dead parent",
        """
import time
def f(x):
    if os.fork() == 0:
        time.sleep(0.05)
        return x
    os._exit(0)
""",
        "failed",
        "exited",
        profiles=("fork-allowed",),
    ),
    program(
        "a child that keeps the channel",
        """
import time
if os.fork() == 0:
    time.sleep(999)
os._exit(0)
def f(x):
    return None
""",
        "timeout",
        "exited",
        hangs=True,
        profiles=("fork-allowed",),
    ),
    program(
        "a child that signals",
        CALLS
        + """
import signal
def children():
    ours, theirs = os.pipe()
    if os.fork() == 0:
        found = {str(pid): tried(lambda: os.kill(pid, 0)) for pid in (-1, 0, 1, 2, 3, 4, os.getppid(), os.getppid() - 1)}
        os.write(theirs, json.dumps(found).encode())
        os._exit(0)
    os.wait()
    return json.loads(os.read(ours, 4096))
found = children()
own = found.pop(str(os.getpid()))
say(found=found)
def f(x):
    return x + 1 if DONE in found.values() or own != DONE else None
""",
        refused=frozenset({"EPERM", "ESRCH"}),
        profiles=("fork-allowed",),
    ),
    program(
        "a fork bomb of fork bombs",
        """
import time
def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)
def f(x):
    if os.fork() == 0:
        bomb()
    time.sleep(0.1)
    return None
""",
        profiles=("fork-allowed",),
    ),
]

HONEST_FORK = """
import os, subprocess, sys
def f(x):
    done = subprocess.run([sys.executable, "-S", "-c", f"print({x} + 1)"], capture_output=True, text=True, check=True)
    return int(done.stdout)
"""

FORGERIES = [*VALUES, *REACHING, *DISTURBING, *FORKING]
