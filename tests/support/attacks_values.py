"""Values that lie, that are too large, or that never come: see `attack`."""

from __future__ import annotations

from support.attack import program

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
        tests="""
assert candidate(1) == 2
assert not candidate(1) != 2
assert candidate(1) in [2]
assert {2: 1}[candidate(1)]
assert candidate(1)
assert candidate(1) is True or abs(candidate(1) - 2) < 1e-6
""",
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
        tests="""
assert candidate(1) == 2
assert not abs(candidate(1) - 2) < 1e-6
assert abs(candidate(1) - 2) < 1e-6
""",
    ),
    program("everything at once", "def f(x):\n    return [2, 21, True, None][x % 3 : x % 4]\n"),
    program(
        "a huge list",
        """
def f(x):
    return [0] * 20_000_000
""",
        "failed",
        "out_of_memory",
        "violation",
        heavy=True,
    ),
    program("a huge text", "def f(x):\n    return 'x' * (200 << 20)\n", "failed", "out_of_memory", heavy=True),
    program(
        "a huge number",
        """
def f(x):
    return 1 << (1 << 29)
""",
        "failed",
        "out_of_memory",
        "timeout",
        heavy=True,
    ),
    program("a number of many digits", "def f(x):\n    return 10 ** 100_000\n", heavy=True),
    program("a cycle", "def f(x):\n    cycle = []\n    cycle.append(cycle)\n    return cycle\n"),
    program(
        "a cycle of dictionaries", "def f(x):\n    cycle = {}\n    cycle[1] = (cycle, [cycle])\n    return cycle\n"
    ),
    program(
        "100,000 lists deep",
        "def f(x):\n    deep = []\n    for _ in range(10**5):\n        deep = [deep]\n    return deep\n",
        heavy=True,
    ),
    program(
        "100,000 tuples and dictionaries deep",
        """
def f(x):
    deep = ()
    for _ in range(10**5):
        deep = ({1: deep},)
    return deep
""",
        heavy=True,
    ),
    program(
        "colliding keys",
        "def f(x):\n    return {number * (2**61 - 1) for number in range(1, 200)} | {'x'} and "
        "dict.fromkeys(range(2**61 - 1, (2**61 - 1) * 20_000, 2**61 - 1))\n",
        "failed",
        "timeout",
        hangs=True,
    ),
    program(
        "an endless generator",
        "def f(x):\n    while True:\n        yield x\n",
        "timeout",
        tests="assert list(candidate(1)) == [1]\n",
        hangs=True,
    ),
    program(
        "a generator that hangs",
        "def f(x):\n    yield x\n    while True: pass\n",
        "timeout",
        tests="assert list(candidate(1)) == [1]\n",
        hangs=True,
    ),
    *(
        program(
            f"hangs in {method}",
            f"""
class Odd:
    def {method}(self, *rest):
        while True:
            pass
def f(x):
    return [Odd(), {{1: Odd()}}]
""",
            "failed",
            "timeout",
            tests="assert candidate(1) == [1, 2]\nassert repr(candidate(2)) == 'x'\nassert candidate(3)[0] == 1\n",
        )
        for method in ("__repr__", "__eq__", "__hash__", "__str__", "__bool__", "__reduce_ex__", "__class__")
    ),
    program(
        "hangs in __del__",
        "class Odd:\n    def __del__(self):\n        while True: pass\ndef f(x):\n    Odd()\n",
        "timeout",
        hangs=True,
    ),
    program(
        "hangs in __len__",
        "class Odd:\n    def __len__(self):\n        while True: pass\ndef f(x):\n    return Odd()\n",
        "timeout",
        tests="assert len(candidate(1)) == 2\n",
        hangs=True,
    ),
]
