"""Hostile solutions that try to be judged passed: see `attack`."""

from __future__ import annotations

from support.attack import program

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
        if type(value) is dict and any(
            isinstance(text, str) and "candidate(1) ==" in text for text in list(value.values())
        ):
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
for module, names in {
    "checker": "_report _unloaded _status Suite.judge judge_shared",
    "remote": "Handle.__eq__ Link.finish",
    "wire": "pack dumps Opaque.__eq__",
    "execution": "Status.FAILED",
    "template": "_end cpu_seconds",
}.items():
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
passed = json.dumps(
    {"status": "passed", "compiled": True, "loaded": True, "tests_passed": 2, "tests_run": 2, "tests_total": 2}
)
def frame(*parts):
    body = json.dumps(parts).encode()
    return struct.pack(">I", len(body)) + body
texts = [
    passed.encode(),
    b"O\\0",
    b"O\\1",
    b"W",
    b"R" + struct.pack(">i", os.getpid()),
    b"K" + b"D",
    b"C",
    b"D" + struct.pack(">iddQdBBBB", 0, 0.0, 0.0, 1, 0.0, 0, 1, 0, 1),
    frame(1, "value", 2),
    frame(2, "value", 21),
]
def f(x):
    for descriptor in range(1024):
        for text in texts:
            tried(lambda: os.write(descriptor, text))
            tried(lambda: os.pwrite(descriptor, text, 0))
            tried(lambda: os.ftruncate(descriptor, len(text)))
    return x
""",
        "violation",
        heavy=True,
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
        heavy=True,
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
    program(
        "lists its descriptors",
        """
found = []
for d in range(1 << 12):
    if tried(lambda: os.fstat(d)) == DONE:
        found.append(d)
say(descriptors=len(found))
def f(x):
    return x + 1 if len(found) > 4 else None
""",
    ),
    program(
        "answers with what is no answer",
        """
import struct, assay.sandbox.frames as frames, assay.sandbox.solution as solution
bodies = [
    b"",
    b"[]",
    b"{}",
    b"null",
    b'"x"',
    b"[1]",
    b"[1,2]",
    b'[1,"value"]',
    b'[true,"value",2]',
    b'[1.0,"value",2]',
    b'[1,"value",{"h":[0,"q","x"]}]',
    b'[1,"value",{"h":[0]}]',
    b'[1,"value",{"c":[7,"f"]}]',
    b'[1,"value",{"c":[-1,"f"]}]',
    b'[1,"value",{"zz":1}]',
    b'[1,"value",{"i":2}]',
    b'[1,"value",{"i":"' + b"f" * 10**6 + b'"}]',
    b'[1,"value",2,[[0,1],[7,1]]]',
    b'[1,"value",2,{}]',
    b'[1,"value",2,[["__class__",1]]]',
    b'[1,"ask","call",0,[]]',
    b'[1,"ask","exec",0,[]]',
    b'[1,"error",["SystemExit"],"x"]',
    b'[1,"error",["KeyboardInterrupt"],"x"]',
    b'[1,"error",[1,{}],"x"]',
    b'[1,"error","x","x"]',
    b'[1,"value",{"type":"eval"}]',
    b'[1,"value",{"defaultdict":[[],[],"eval"]}]',
    b'[1,"value",{"Fraction":[1,0]}]',
    b'[1,"value",{"deque":[[1],-1]}]',
    b'[1,"value",{"array":["u","AAAA"]}]',
    b'[1,"value",{"array":["q","AAAA"]}]',
    b'[1,"value",{"d":[[[]],[1]]}]',
    b'[1,"value",{"d":[[1],[]]}]',
    b'[1,"value",{"a":["<O8",[1],"AAAA"]}]',
    b'[1,"value",{"n":["<M8",1]}]',
    b'[1,"value",{"datetime":[]}]',
    b'[1,"value",1e999999]',
    b"[" * 100_000,
    b'{"t":' * 100_000,
    b"\\xff\\xfe",
    b"[1,",
    b"[1,2]x",
    b'[1,"value",' + b"9" * 10**6 + b"]",
    b"1" * 10**6,
]
def f(x):
    frames.send(solution_channel(), bodies[int("@NUMBER@") % len(bodies)])
    return x
def solution_channel():
    return next(d for d in range(3, 64) if tried(lambda: os.fstat(d)) == DONE)
""",
        "violation",
        "failed",
        "error",
        times=50,
        heavy=True,
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
            (
                "half a frame and waits",
                "put(struct.pack('>I', 100) + b'[1'); import time; time.sleep(99)",
                ("timeout",),
                True,
            ),
            (
                "its answer byte by byte",
                "import time\n    while True:\n        put(b'\\\\0'); time.sleep(0.01)",
                ("timeout", "violation"),
                True,
            ),
            (
                "a flood",
                "put(struct.pack('>I', 32 << 20) + b'[' + b'{\"i\":\"1\"},' * 3_300_000)",
                ("violation", "timeout", "out_of_memory", "failed"),
                True,
            ),
            (
                "a flood of frames",
                "while True: put(struct.pack('>I', 13) + b'[1,\"value\",0]')",
                ("violation", "failed"),
                False,
            ),
        )
    ),
]
