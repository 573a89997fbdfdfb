from __future__ import annotations

import builtins
import random

import pytest

from assay.sandbox import checker
from support.pairs import judge, judge_all

ADD = "def f(x):\n    return x + 1\n"


def test_a_right_solution_passes() -> None:
    found = judge(ADD, "assert f(1) == 2\nassert candidate(2) == 3\n")
    assert (found["status"], found["tests_passed"], found["tests_run"], found["tests_total"]) == ("passed", 2, 2, 2)
    assert (found["compiled"], found["loaded"], found["failure"], found["exit"]) == (True, True, None, 0)


def test_every_test_runs_and_the_first_failure_is_told() -> None:
    found = judge(ADD, "assert f(1) == 2\nassert f(2) == 4, 'no'\nassert f('a') == 1\nassert f(3) == 4\n")
    assert (found["status"], found["tests_passed"], found["tests_run"], found["tests_total"]) == ("failed", 2, 4, 4)
    assert found["failure"] == {
        "kind": "AssertionError",
        "message": "no",
        "line": 2,
        "source": "assert f(2) == 4, 'no'",
        "got": "3",
    }


def test_an_exception_that_leaves_the_tests_ends_them() -> None:
    found = judge(ADD, "def check(candidate):\n    assert candidate(1) == 2\n    candidate('a')\n    assert 1\n")
    assert (found["status"], found["tests_passed"], found["tests_run"], found["tests_total"]) == ("error", 1, 1, 2)
    assert (found["failure"]["kind"], found["failure"]["line"]) == ("TypeError", 3)
    found = judge(ADD, "assert f(1) == 3\nraise ValueError\n")
    assert (found["status"], found["failure"]["line"]) == ("failed", 1)
    found = judge(ADD, "assert f(1) == 2\nif f(2) != 4:\n    raise AssertionError('four')\n")
    assert (found["status"], found["tests_run"], found["failure"]["message"]) == ("failed", 2, "four")


@pytest.mark.parametrize(
    ("source", "status", "kind"),
    [
        ("def f(:\n", "compile_error", "SyntaxError"),
        ("x = '\0'\n", "compile_error", "SyntaxError"),
        ("(" * 1000 + ")" * 1000, "compile_error", None),
        ("1 / 0\n", "load_error", "ZeroDivisionError"),
        ("import no_such_module\n", "load_error", "ModuleNotFoundError"),
        ("class Odd(BaseException):\n    pass\nraise Odd\n", "load_error", "Odd"),
        ("def g(x):\n    return 1\n", "missing_entry_point", "NameError"),
        ("import sys\nsys.exit(3)\n", "exited", None),
        ("raise MemoryError\n", "out_of_memory", "MemoryError"),
    ],
)
def test_a_solution_that_does_not_load(source: str, status: str, kind: str | None) -> None:
    found = judge(source, "assert f(1) == 2\n")
    assert (found["status"], found["tests_run"]) == (status, 0)
    if kind:
        assert found["failure"]["kind"] == kind
    assert found.get("compiled", True) is (status != "compile_error")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("raise MemoryError", "out_of_memory"),
        ("raise SystemExit(0)", "exited"),
        ("raise KeyboardInterrupt", "exited"),
        ("import os; os._exit(0)", "exited"),
        ("import os; os.abort()", "exited"),
        ("return f(x)", "failed"),
        ("raise StopIteration", "failed"),
        ("raise type('E', (BaseException,), {})", "failed"),
        ("raise type('E', (Exception,), {'__str__': lambda s: 1 / 0})", "failed"),
    ],
)
def test_how_a_call_ends(body: str, status: str) -> None:
    swallowing = "try:\n    f(1)\nexcept:\n    pass\n"
    assert judge(f"def f(x):\n    {body}\n", "assert f(1) is not None\nassert f(2)\n")["status"] == status
    found = judge(f"def f(x):\n    {body}\n", f"{swallowing}assert True\n{swallowing}")
    assert found["status"] == ("passed" if status == "failed" else status)


@pytest.mark.parametrize(
    "tests", ["x = f(1)\n", "", "def check(candidate):\n    candidate(1)\n", "if False:\n    assert 1\n"]
)
def test_tests_that_test_nothing_are_no_pass(tests: str) -> None:
    found = judge(ADD, tests)
    assert (found["status"], found["tests_run"], found["tests_total"]) == ("no_tests_executed", 0, 0)


def test_support_is_seen_and_the_entry_point_is_the_solutions() -> None:
    support = "LIMIT = 3\ndef helper(x):\n    return x * 2\ndef f(x):\n    '''A prompt.'''\n"
    found = judge("def helper(x):\n    return 0\n" + ADD, "assert helper(f(LIMIT)) == 8\n", support=support)
    assert found["status"] == "passed"


def test_names_of_the_solution_that_its_tests_need() -> None:
    source = "import sys\nclass Pair:\n    def __init__(self, a, b=0):\n        self.a, self.b = a, b\n"
    source += "def f(pairs):\n    return sum(p.a * p.b for p in pairs)\n"
    tests = "p = Pair(2, b=3)\np.next = Pair(1)\np.next.a = 7\nassert f([p]) == 6\nassert p.next.a == 7\n"
    assert judge(source, tests + "assert sys.maxsize > 1\n")["status"] == "passed"
    assert judge(source + "sys = Pair\n", "assert f([]) == 0\nassert sys.maxsize\n")["status"] != "passed"
    assert judge(source, "assert f([]) == 0\nassert nowhere\n")["failure"]["kind"] == "NameError"


@pytest.mark.parametrize("name", ["math", "inf"])
def test_a_value_or_another_module_does_not_stand_for_a_name(name: str) -> None:
    source = f"import types\n{name} = types.ModuleType('other') if {name!r} == 'math' else 3\n{ADD}"
    found = judge(source, f"assert f(1) == 2\nassert {name}\n")
    assert (found["status"], found["failure"]["kind"]) == ("error", "NameError")


def test_changed_arguments_are_the_tests_own_objects() -> None:
    source = (
        "def f(items, table, *, most):\n    items.sort()\n    table['k'].append(items[0])\n    most.clear()\n"
        "    most |= {1}\n    return items\n"
    )
    tests = (
        "a, b = [2], [1]\nitems, table, most = [a, b], {'k': []}, {5}\ninner = table['k']\n"
        "assert f(items, table, most=most) == [[1], [2]]\nassert items == [[1], [2]]\n"
        "assert items[0] is b and items[1] is a and b == [1]\nassert inner == [[1]]\nassert most == {1}\n"
    )
    found = judge(source, tests)
    assert (found["status"], found["tests_passed"]) == ("passed", 5)


def test_callables_and_iterators_are_called_back() -> None:
    source = "def f(g, xs, n=0):\n    return [g(x) for x in xs] if n == 0 else g(g, xs, n)\n"
    tests = (
        "import itertools\nassert f(lambda x: x * 2, iter([1, 2])) == [2, 4]\n"
        "assert f(str, map(int, '12')) == ['1', '2']\n"
        "assert f(lambda g, xs, n: candidate(lambda x: x + n, xs), (x for x in [1]), 5) == [6]\n"
        "def bad(x):\n    raise KeyError(x)\n"
        "try:\n    f(bad, [1])\nexcept KeyError as error:\n    assert error.args == ('1',)\n"
    )
    found = judge(source, tests)
    assert (found["status"], found["tests_passed"]) == ("passed", 4)


def test_generators_matches_and_objects_of_the_solution_can_be_used() -> None:
    source = (
        "import re\nclass Box:\n    def __init__(self, n): self.n = n\n    def __len__(self): return self.n\n"
        "    def __getitem__(self, i): return [10, 20][i]\n    def __iter__(self): return iter([10, 20])\n"
        "    def double(self): return self.n * 2\n"
        "def f(x):\n    if x == 'match':\n        return re.match('a(.)', 'ab')\n"
        "    if x == 'box':\n        return Box(2)\n    return (i for i in range(x))\n"
    )
    tests = (
        "assert list(f(3)) == [0, 1, 2]\nassert f('match')\nassert f('match').group(1) == 'b'\nb = f('box')\n"
        "assert len(b) == 2 and b[1] == 20 and list(b) == [10, 20] and 20 in b and b.double() == 4\n"
        "assert not hasattr(b, 'nothing')\n"
    )
    found = judge(source, tests)
    assert (found["status"], found["tests_passed"]) == ("passed", 5)


@pytest.mark.parametrize("base", ["", "(int)", "(list)", "(dict)"])
def test_tests_whose_arguments_cannot_cross_are_nobodys_failure(base: str) -> None:
    found = judge(ADD, f"class Odd{base}:\n    pass\nassert f(Odd()) == 2\n")
    assert (found["status"], found["failure"]["kind"]) == ("sandbox_error", "TypeError")


def test_a_solution_cannot_make_its_tests_nobodys_failure() -> None:
    """What it returns can be given back to it, whatever it is, or fails the test."""
    deep = "def f(x):\n    if x != 1: return x\n    v = []\n    for _ in range(5000): v = [v]\n    return v\n"
    assert judge(deep, "assert f(f(1)) == 1\n")["status"] == "failed"
    full = "def f(x):\n    if x != 1: return x\n    v = []\n    for _ in range(990): v = [v]\n    return v\n"
    assert judge(full, "assert f([[[[[[[[[[[[f(1)]]]]]]]]]]]]) == 1\n")["status"] == "failed"
    called = "def f(g):\n    return g()\n"
    assert judge(called, "class Odd:\n    pass\nassert f(Odd) == 1\n")["status"] == "failed"


@pytest.mark.parametrize(("tests", "support"), [("assert (", ""), ("assert 1", "def ("), ("assert 1", "1 / 0")])
def test_tests_that_are_no_program_are_nobodys_failure(tests: str, support: str) -> None:
    assert judge(ADD, tests, support=support)["status"] == "sandbox_error"


def test_one_checker_serves_many_attempts_alike() -> None:
    tests = "import builtins, random\nassert f(1) == 2\nassert random.random() > 0.84 and len([1]) == 1\n"
    tests += "builtins.len = lambda x: 0\nbuiltins.extra = 1\nrandom.seed(5)\n"
    suite = checker.prepare({"tests": "builtins = __import__('builtins')\n" + tests, "support": "", "entry_point": "f"})
    others = {name: vars(builtins).pop(name) for name in set(vars(builtins)) - set(checker._BUILTINS)}
    before = dict(vars(builtins))
    state = random.getstate()
    try:
        for _ in range(2):
            with checker._fresh():
                vars(builtins)["len"], vars(builtins)["extra"] = None, 1
            assert vars(builtins) == before
        with checker._fresh():
            first = random.random()
        with checker._fresh():
            assert random.random() == first
    finally:
        random.setstate(state)
        vars(builtins).update(others)
    assert suite.program is not None and suite.program.total == 2
    assert [found["status"] for found in judge_all([ADD, "def f(x): return 0\n", ADD], tests, "f")] == [
        "passed",
        "failed",
        "passed",
    ]


def test_shared_tests_run_beside_the_solution() -> None:
    tests = "class Odd:\n    n = 1\nassert f(Odd()) == 2\nassert candidate(Odd()) == 3\n"
    shared = {"tests": tests, "support": "", "entry_point": "f"}
    found = checker.judge_shared("def f(x):\n    return x.n + 1\n", shared)  # type: ignore[arg-type]
    assert (found["status"], found["tests_passed"], found["tests_run"]) == ("failed", 1, 2)
    for source, status in (
        ("def f(:", "compile_error"),
        ("1 / 0", "load_error"),
        ("g = 1", "missing_entry_point"),
        ("raise SystemExit", "exited"),
        ("def f(x):\n    raise SystemExit", "exited"),
        ("def f(x):\n    raise MemoryError", "failed"),
    ):
        assert checker.judge_shared(source, shared)["status"] == status  # type: ignore[arg-type]
