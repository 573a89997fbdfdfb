"""Solutions that disturb what they run on, and those that start processes: see `attack`."""

from __future__ import annotations

from support.attack import CALLS, program

DISTURBING = [
    program(
        "sleeps", "import time\ndef f(x):\n    time.sleep(999)\n", "timeout", hangs=True, expected={"timeout": "wall"}
    ),
    program(
        "loops",
        "def f(x):\n    while True: pass\n",
        "timeout",
        hangs=True,
        expected={"retried": True},
    ),
    program("loops at load", "while True: pass\n", "timeout", hangs=True),
    program("loops in C", "import re\ndef f(x):\n    re.match('(a+)+$', 'a' * 64 + 'b')\n", "timeout", hangs=True),
    program(
        "loops in a thread",
        """
import threading
def loop():
    while True: pass
threading.Thread(target=loop).start()
def f(x):
    import time
    time.sleep(999)
""",
        "timeout",
        hangs=True,
    ),
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
        heavy=True,
    ),
    program(
        "replaces the modules",
        """
import types
for name in list(sys.modules):
    sys.modules[name] = types.ModuleType(name)
sys.modules.clear()
def f(x):
    return x
""",
        "failed",
        "exited",
    ),
    program(
        "replaces the streams",
        """
class Odd:
    def __getattr__(self, name):
        while True: pass
sys.stdout.flush = sys.stderr.flush = Odd
sys.stdout = sys.stderr = sys.stdin = Odd()
def f(x):
    return x
""",
    ),
    program(
        "a flush that hangs",
        "def hang():\n    while True: pass\nsys.stdout.flush = hang\ndef f(x):\n    print(x)\n    return x\n",
        "failed",
        "timeout",
    ),
    program(
        "hooks of every kind",
        """
import atexit, gc, threading
def hook(*rest):
    raise RuntimeError('hook')
sys.excepthook = sys.unraisablehook = threading.excepthook = sys.displayhook = hook
atexit.register(hook)
gc.callbacks.append(hook)
sys.breakpointhook = hook
def f(x):
    return x
""",
    ),
    program(
        "an audit hook",
        "def hook(*rest):\n    raise SystemExit(0)\nsys.addaudithook(hook)\ndef f(x):\n    return x\n",
        "failed",
        "exited",
    ),
    program(
        "a trace that hangs",
        """
def trace(*rest):
    while True: pass
def f(x):
    sys.settrace(trace)
    sys.setprofile(trace)
    return len([x])
""",
        "timeout",
        hangs=True,
    ),
    program(
        "a trace that reads frames",
        """
seen = []
def trace(frame, event, argument):
    seen.append(' '.join(frame.f_locals))
    return trace
def f(x):
    sys.settrace(trace)
    len([x])
    sys.settrace(None)
    return x + 1 if any('expected' in names or 'tally' in names for names in seen) else None
""",
    ),
    program(
        "no garbage collection",
        """
import gc
gc.disable()
gc.set_threshold(0)
gc.freeze()
sys.setswitchinterval(1e6)
sys.setrecursionlimit(50)
sys.set_int_max_str_digits(0)
def f(x):
    return x
""",
        "failed",
        "exited",
    ),
    program(
        "a recursion limit too low",
        """
def f(x):
    sys.setrecursionlimit(
        max(len_ for len_ in range(8, 200) if tried(lambda: sys.setrecursionlimit(len_)) == DONE) and 40
    )
    return [[[[x]]]]
""",
        "failed",
        "exited",
    ),
    program("changes where it stands", "os.chdir('/')\nos.umask(0o777)\ndef f(x):\n    return x\n"),
    program(
        "changes its arguments",
        "def f(x):\n    x[:] = [object(), x]\n    return x\n",
        tests="given = [1]\nassert candidate(given) == [1, 2]\nassert given == [1]\n",
    ),
    program(
        "calls back without end",
        "def f(x):\n    def again(*rest):\n        return x(again)\n    return again()\n",
        "failed",
        "error",
        "violation",
        "timeout",
        tests="assert candidate(lambda back: back(back)) == 2\n",
    ),
    program(
        "imports itself again",
        """
import importlib, solution
importlib.import_module('solution')
def f(x):
    return importlib.reload(solution).f(x)
""",
    ),
    program(
        "a module in the work folder",
        "open('assay.py', 'w').write('x')\nsys.path.insert(0, '.')\ndef f(x):\n    return x\n",
        tiers=("full",),
    ),
    program(
        "an encoding of its own",
        "# coding: rot13\nqrs s(k):\n    erghea k\n",
        "missing_entry_point",
        "compile_error",
        "failed",
    ),
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
        heavy=True,
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
        heavy=True,
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
        found = {
            str(pid): tried(lambda: os.kill(pid, 0)) for pid in (-1, 0, 1, 2, 3, 4, os.getppid(), os.getppid() - 1)
        }
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
        heavy=True,
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
        heavy=True,
    ),
]

HONEST_FORK = """
import os, subprocess, sys
def f(x):
    done = subprocess.run([sys.executable, "-S", "-c", f"print({x} + 1)"], capture_output=True, text=True, check=True)
    return int(done.stdout)
"""
