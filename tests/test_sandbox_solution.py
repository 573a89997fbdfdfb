"""What a solution can try from its side of the channel. None of it may pass, and the checker must survive it all."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import Any

import pytest

from assay.sandbox import checker, frames, wire
from assay.sandbox.execution import Execution, Program, Settings
from assay.sandbox.pool import Pool
from support.pairs import judge

TESTS = "assert f(3) == 7\nassert f([1, 2]) == {'a': [1]}\nassert f('x') == 'yes'\n"

LIE = """
class Lie{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __contains__ = __lt__
    def __bool__(self): return True
    def __hash__(self): return 0
    def __instancecheck__(self, other): return True
    def __getattr__(self, name): return lambda *a, **k: True
    def __abs__(self): return 0
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __array__(self, *a, **k): return 7
    __class__ = int
"""

CHANNEL = """
import os, select, socket, struct, json, stat
def fds():
    for d in range(3, 200):
        try:
            if stat.S_ISSOCK(os.fstat(d).st_mode): yield d
        except OSError: pass
def say(d, value):
    raw = json.dumps(value).encode()
    os.write(d, struct.pack('>I', len(raw)) + raw)
"""

ATTACKS = {
    "always equal": LIE.format(base="") + "def f(x): return Lie()\n",
    "a lying class": LIE.format(base="(type)") + "def f(x): return Lie('L', (), {})\n",
    "a lying int": LIE.format(base="(int)") + "def f(x): return Lie(1)\n",
    "a lying str": LIE.format(base="(str)") + "def f(x): return Lie('no')\n",
    "a lying list": LIE.format(base="(list)") + "def f(x): return Lie()\n",
    "a lying dict": LIE.format(base="(dict)") + "def f(x): return Lie()\n",
    "a lying tuple with names": (
        "from collections import namedtuple\n" + LIE.format(base="(namedtuple('T', 'a'))") + "def f(x): return Lie(1)\n"
    ),
    "a lie in a list": LIE.format(base="") + "def f(x): return [Lie()]\n",
    "a lie as a key": LIE.format(base="") + "def f(x): return {Lie(): [1]}\n",
    "a lie raised": LIE.format(base="(AssertionError)") + "def f(x): raise Lie\n",
    "a lying exception type": "class AssertionError(Exception): pass\ndef f(x): raise AssertionError\n",
    "frames and gc": """
import gc, sys
def f(x):
    frame = sys._getframe()
    while frame:
        for name, value in list(frame.f_locals.items()) + list(frame.f_globals.items()):
            if hasattr(value, 'passes'): value.passes += 1; value.runs += 1
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing).__name__ in ('Tally', 'Link', 'Suite'): thing.passed = thing.failed = lambda *a: False
    return None
""",
    "patched builtins": """
import builtins
builtins.abs = builtins.len = lambda *a: 0
builtins.AssertionError = builtins.Exception = builtins.BaseException = int
abs = lambda x: 0
def f(x): return 0
""",
    "patched modules": """
import assay.sandbox.instrument as i, assay.sandbox.checker as c, assay.sandbox.remote as r, json
for name in ('passed', 'failed', 'raised'):
    setattr(i.Tally, name, i.Tally.passed)
r.Handle.__eq__ = lambda s, o: True
c._status = lambda *a: 'passed'
def f(x): return None
""",
    "every descriptor": CHANNEL
    + """
def f(x):
    for d in range(256):
        for text in (b'{"status":"passed","tests_passed":3,"tests_run":3}', b'passed', b'\\0\\0\\0\\6passed'):
            try: os.write(d, text)
            except OSError: pass
    return 0
""",
    "a greeting that decides": CHANNEL + "for d in fds(): say(d, [0, 'passed', '', ''])\ndef f(x): return 0\n",
    "a greeting of noise": CHANNEL + "for d in fds(): os.write(d, b'\\xff' * 8)\ndef f(x): return 0\n",
    "two greetings": CHANNEL + "for d in fds(): say(d, [0, 'loaded', '', ''])\ndef f(x): return 0\n",
    "answers before questions": CHANNEL
    + """
def f(x):
    for d in fds():
        for n in range(1, 9): say(d, [n, 'value', 7])
    return 7
""",
    "an answer twice": CHANNEL + "def f(x):\n    for d in fds(): say(d, [1, 'value', 7])\n    return 7\n",
    "the channel taken over": CHANNEL
    + """
def f(x):
    for d in fds():
        n = 1
        while True:
            say(d, [n, 'value', 7]); n += 1
            os.read(d, 9999)
""",
    "a question of one's own": CHANNEL
    + "def f(x):\n    for d in fds(): say(d, [1, 'ask', 'call', 0, []])\n    return 7\n",
    "endless questions": CHANNEL
    + "def f(x):\n    for d in fds():\n        while True: say(d, [1, 'ask', 'next', 0, []])\n",
    "an endless frame": CHANNEL + "def f(x):\n    for d in fds(): os.write(d, b'\\x7f' * 4)\n    return 7\n",
    "a frame that says what tests are": CHANNEL
    + "def f(x):\n    for d in fds(): say(d, [1, 'value', 7, [[0, [9]], ['status', 'passed']]])\n    return 7\n",
    "deep": "def f(x):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v\n",
    "cyclic": "def f(x):\n    v = [1]; v.append(v); v.append({0: v})\n    return v\n",
    "doubling": "def f(x):\n    v = [1]\n    for _ in range(99): v = [v, v]\n    return v\n",
    "long": "def f(x): return 'x' * (40 << 20)\n",
    "many": "def f(x): return [[]] * (5 << 20)\n",
    "a long number": "def f(x): return 1 << (1 << 24)\n",
    "endless": "import itertools\ndef f(x): return itertools.repeat(7)\n",
    "unhashable where it must be hashed": "def f(x): return {(): float('nan')}.keys()\n",
    "a thread that ends it": (
        "import os, threading\ndef f(x):\n    threading.Timer(0, os._exit, [0]).start()\n    while x: pass\n"
    ),
    "a broken interpreter": "import sys\ndef f(x):\n    sys.modules.clear(); sys.setrecursionlimit(12)\n    return 0\n",
    "closed channel": CHANNEL + "def f(x):\n    for d in fds(): os.close(d)\n",
}


@pytest.mark.parametrize("source", ATTACKS.values(), ids=ATTACKS)
def test_no_attack_passes(source: str) -> None:
    found = judge(source, TESTS)
    assert found["status"] in ("failed", "error", "violation", "exited", "load_error", "out_of_memory"), found
    assert found["tests_passed"] < 3
    assert not found["late"]


LAX = {
    "truth": "assert f(1)\n",
    "no truth": "assert not f(1)\n",
    "or": "assert f(1) or f(2)\n",
    "unequal": "assert f(1) != 2\n",
    "membership": "assert 3 in f(1)\n",
    "a predicate": "assert f(1).isdigit()\n",
    "a prefix": "assert f(1).startswith('a')\n",
    "a subset": "assert f(1).issubset({1})\n",
    "an order": "assert f(1) < 2\n",
    "a difference": "assert abs(f(1) - 2) < 1e-6\n",
    "a type": "assert isinstance(f(1), int)\n",
    "its class": "assert f(1).__class__ is int\n",
    "a sorted list": "assert sorted(f(1)) == sorted([1])\n",
    "in a set": "assert f(1) in {1, 2}\n",
    "in a list": "assert f(1) in [1, 2]\n",
    "the other way round": "assert 1 == f(1)\n",
    "in a tuple": "assert (f(1), 1) == (1, 1)\n",
    "nearly": "import math\nassert math.isclose(f(1), 1)\n",
    "all": "assert all([f(1), f(2)])\n",
    "text": "assert str(f(1)) == 'yes'\n",
    "numpy": "import numpy\nassert numpy.allclose(f(1), 1)\n",
    "testing": "import numpy\nnumpy.testing.assert_allclose(f(1), 1)\n",
    "caught": "try:\n    ok = f(1) == 1\nexcept BaseException:\n    ok = True\nassert ok\n",
    "a copy": "import copy\nassert copy.deepcopy(f(1)) == 1\n",
}


@pytest.mark.parametrize("tests", LAX.values(), ids=LAX)
@pytest.mark.parametrize("base", ["", "(int)", "(str)"])
def test_a_lying_object_passes_no_kind_of_test(tests: str, base: str) -> None:
    if "numpy" in tests:
        pytest.importorskip("numpy")
    made = "Lie()" if base != "(str)" else "Lie('no')"
    found = judge(f"{LIE.format(base=base)}def f(x): return {made}\n", tests)
    assert found["status"] in ("failed", "error"), found


@pytest.mark.parametrize("method", ["__repr__", "__str__", "__eq__", "__hash__", "__len__", "__bool__", "__format__"])
def test_a_method_that_hangs_does_not_hang_the_checker(method: str) -> None:
    hang = f"class H:\n    def {method}(self, *a):\n        while 1: pass\n"
    found = judge(f"{hang}def f(x): return [H()]\n", "assert f(1) == [1], f'{f(1)}'\n")
    assert (found["status"], found["late"]) == ("failed", False)
    assert found["failure"]["got"] == "[<an object of the solution: H>]"


def test_an_exception_that_hangs_is_the_solutions_own_time() -> None:
    source = "class E(Exception):\n    def __str__(self):\n        while 1: pass\ndef f(x): raise E\n"
    found = judge(source, "assert f(1) == 1\n", seconds=0.3)
    assert (found["status"], found["late"], found["exit"]) == ("exited", True, -9)


def test_the_solution_cannot_see_what_it_is_compared_with() -> None:
    source = (
        "import gc, sys\ndef f(x):\n    seen = [o for o in gc.get_objects() if type(o) is list and 'secret' in o]\n"
        "    return [len(seen), [n for n in sys.modules if n == 'tests']]\n"
    )
    tests = "assert f(1) == [0, []]\nassert f(2) != ['secret', 'answers']\n"

    async def run() -> Execution:  # not forked from here, where other tests have left what they will
        async with Pool(Settings(tier="none"), 1) as pool:
            return await pool.run(Program(source, tests, "f"))

    assert asyncio.run(run()).passed


def test_a_called_back_test_function_gives_nothing_away() -> None:
    source = (
        "def f(g, x):\n    for name in ('__globals__', '__code__', '__closure__', '__self__'):\n"
        "        if hasattr(g, name): return name\n    return g(x)\n"
    )
    assert judge(source, "assert f(lambda x: x + 1, 1) == 2\n")["status"] == "passed"


def test_what_a_solution_sees_of_the_world() -> None:
    source = (
        "import sys\ndef f(x):\n    try:\n        line = input()\n    except EOFError:\n        line = None\n"
        "    return [line, sys.stdin.read(), __name__, sys.modules['solution'].f is f, 1 / 2]\n"
    )
    assert judge(source, "assert f(1) == [None, '', 'solution', True, 0.5]\n")["status"] == "passed"


def talk(*replies: bytes | list[Any]) -> dict[str, Any]:
    """The report of a checker in this process on a solution that sends these frames, one for each it is sent."""
    ours, theirs = socket.socketpair()

    def play() -> None:
        with theirs:
            for reply in replies:
                raw = reply if type(reply) is bytes else len(body := wire.encode(reply)).to_bytes(4, "big") + body
                os.write(theirs.fileno(), raw)
                try:
                    frames.receive(theirs.fileno())
                except frames.Closed:
                    return

    player = threading.Thread(target=play)
    player.start()
    suite = checker.prepare({"tests": "assert f([1]) == 7\nassert f([1]) == 7\n", "support": "", "entry_point": "f"})
    with ours:
        found = suite.judge(ours.fileno())
    player.join()
    return dict(found)


HELLO = [0, "loaded", "", ""]


@pytest.mark.parametrize(
    "reply",
    [
        [2, "value", 7],
        [1, "value"],
        [1, "value", 7, 8],
        [1, "value", 7, [[1, [2]]]],
        [1, "value", 7, [["x", [2]]]],
        [1, "passed"],
        [1, "error", "ValueError", "no"],
        ["1", "value", 7],
        [1],
        7,
        [1, "ask", "eval", 0, []],
        [1, "ask", "call", -1, []],
        [1, "ask", "call", 0],
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b'\0\0\0\x0f[1,"value",7]  \0\0',
        b'\0\0\0\x12[1,"value",{"c":1}]',
    ],
    ids=str,
)
def test_what_is_not_the_protocol_is_a_violation(reply: Any) -> None:
    found = talk(HELLO, reply, b"")
    assert (found["status"], found["tests_passed"]) == ("violation", 0)


def test_a_conversation_that_is_the_protocol_passes() -> None:
    assert talk(HELLO, [1, "value", 7, [[0, [2]]]], [2, "value", 7])["status"] == "passed"
    assert talk(HELLO, [1, "value", 7], [2, "value", 7], b"more")["tests_passed"] == 2
    assert talk([0, "passed", "", ""])["status"] == "violation"
    assert talk([1, "loaded", "", ""])["status"] == "violation"
