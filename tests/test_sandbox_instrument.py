from __future__ import annotations

from typing import Any

import pytest

from assay.sandbox.instrument import TALLY, Instrumented, Tally, instrument


def run(source: str, **names: Any) -> tuple[Tally, Instrumented]:
    program = instrument(source)
    tally = Tally(lambda: "something")
    exec(program.code, {TALLY: tally, **names})
    return tally, program


def test_every_assertion_counts_and_a_false_one_does_not_end_the_tests() -> None:
    tally, program = run("assert 1 == 1\nassert 1 == 2, f'{1}'\nassert 2 == 2\nassert 0\n")
    assert (tally.passes, tally.runs, program.total) == (2, 4, 4)
    assert tally.failure == ["AssertionError", "1", 2, 2, "something"]
    assert program.text(2, 2) == "assert 1 == 2, f'{1}'"


def test_an_assertion_that_cannot_be_evaluated_has_failed() -> None:
    tally, _ = run("assert 1 / 0\nassert True\nassert False, 1 / 0\n")
    assert (tally.passes, tally.runs) == (1, 3)
    assert tally.failure is not None and tally.failure[:2] == ["ZeroDivisionError", "division by zero"]


def test_a_message_that_cannot_be_made_is_no_second_failure() -> None:
    tally, _ = run("assert False, 1 / 0\nassert 1 / 0\n")
    assert (tally.runs, tally.failure) == (2, ["AssertionError", "", 1, 1, "something"])


def test_assertion_methods_count() -> None:
    source = "import unittest\nt = unittest.TestCase()\nt.assertEqual(1, 1)\nt.assertEqual(1, 2)\nt.assertIn(1, [1])\n"
    tally, program = run(source)
    assert (tally.passes, tally.runs, program.total) == (2, 3, 3)
    assert tally.failure is not None and tally.failure[:3] == ["AssertionError", "1 != 2", 4]


@pytest.mark.parametrize(
    ("source", "total"),
    [
        ("def check(candidate):\n    assert 1\n    assert 2\n", 2),
        ("def check(f):\n    assert 1\ncheck(len)\n", 1),
        ("def check(f):\n    assert 1\ncheck(len)\ncheck(len)\n", None),
        ("def check(f):\n    for i in range(3):\n        assert i < 3\n", None),
        ("def close(a, b):\n    assert a == b\nfor i in range(2):\n    close(i, i)\n", None),
        ("def close(a, b):\n    assert a == b\nclose(1, 1)\nassert 1\n", 2),
        ("x = 3\nif x:\n    assert 1\n", None),
        ("with open('/dev/null'):\n    assert 1\n", 1),
        ("try:\n    assert 1\nexcept ValueError:\n    pass\n", None),
        ("x = 1\n", 0),
    ],
)
def test_the_total_is_known_before_a_run_or_not_at_all(source: str, total: int | None) -> None:
    assert instrument(source).total == total


def test_check_is_called_where_the_tests_only_define_it() -> None:
    called: list[str] = []
    run("def check(candidate):\n    candidate('it')\n", candidate=called.append)
    run("def check():\n    call('bare')\n", call=called.append)
    run("def check(candidate):\n    candidate('once')\ncheck(candidate)\n", candidate=called.append)
    assert called == ["it", "bare", "once"]


@pytest.mark.parametrize("caught", ["except AssertionError", "except (ValueError, Exception)", "except"])
def test_tests_that_catch_an_assertion_still_do(caught: str) -> None:
    tally, _ = run(f"try:\n    assert False\n    assert True\n{caught}:\n    assert 1 == 1\n")
    assert (tally.passes, tally.runs, tally.failure) == (1, 1, None)


def test_a_function_called_where_assertions_are_caught_raises_them() -> None:
    tally, _ = run("def helper():\n    assert False\ntry:\n    helper()\nexcept AssertionError:\n    assert True\n")
    assert (tally.passes, tally.runs, tally.failure) == (1, 1, None)
    tally, _ = run("import contextlib\nwith contextlib.suppress(AssertionError):\n    assert False\nassert True\n")
    assert (tally.passes, tally.runs, tally.failure) == (1, 1, None)


def test_other_exceptions_are_left_to_the_tests() -> None:
    tally, _ = run(
        "try:\n    assert [][0]\nexcept KeyError:\n    pass\ntry:\n    int('x')\nexcept ValueError:\n    assert 1"
    )
    assert (tally.passes, tally.runs) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        run("assert 1\n1 / 0\n")


def test_names_that_are_not_bound_are_found_past_large_literals() -> None:
    source = (
        f"import os.path as p, sys\ndata = [{'[1, -2, [3]], ' * 50}inf]\n"
        "for i, (a, *b) in data:\n    assert f(a, i=g)\n"
        "try:\n    pass\nexcept E as e:\n    e\nmatch p:\n    case {'k': [x, *y], **z}:\n        x, y, z\nlambda q: q\n"
    )
    assert instrument(source).unbound == {"inf", "f", "g", "E"}


def test_a_failure_within_branches_loops_and_cases_is_noted_at_its_line() -> None:
    source = (
        "for i in range(3):\n    if i == 1:\n        match i:\n            case 1:\n                assert (\n"
        "                    i == 2\n                )\n    else:\n        assert i != 1\n"
    )
    tally, program = run(source)
    assert (tally.passes, tally.runs) == (2, 3)
    assert tally.failure is not None and tally.failure[2:4] == [5, 7]
    assert program.text(5, 7).startswith("assert (")
