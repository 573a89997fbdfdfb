"""The composite's parser: what it reads, what it refuses, and that its bounds hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.judging.formula import FormulaError, parse

numbers = st.integers(0, 50).map(str) | st.sampled_from(["0.5", "2.25"])
names = st.sampled_from(["a", "b", "c_1"])
formulas = st.recursive(
    numbers | names,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", " − ", "×", "·", "÷"]), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
    ),
    max_leaves=12,
)
values = st.fixed_dictionaries({name: st.floats(-20, 20) for name in ("a", "b", "c_1")})


def by_python(text, values):
    plain = text.translate(str.maketrans({"−": "-", "×": "*", "·": "*", "÷": "/"}))
    return eval(plain, {"__builtins__": {}}, dict(values))


@given(formulas, values)
def test_values_are_those_of_arithmetic(text, values):
    try:
        expected = by_python(text, values)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            parse(text).value(values)
        return
    assert parse(text).value(values) == pytest.approx(expected, nan_ok=True)


@given(formulas, values, values)
def test_bounds_hold_for_every_value_between(text, one, other):
    ranges = {name: (min(one[name], other[name]), max(one[name], other[name])) for name in one}
    formula = parse(text)
    try:
        low, high = formula.bounds(ranges)
    except FormulaError:
        return
    for share in (0, 0.3, 1):
        inside = {name: start + share * (end - start) for name, (start, end) in ranges.items()}
        slack = 1e-6 * max(1, abs(low), abs(high))
        assert low - slack <= formula.value(inside) <= high + slack


@given(st.text(max_size=40))
def test_any_text_is_a_formula_or_refused(text):
    try:
        formula = parse(text)
    except FormulaError:
        return
    assert formula.steps


def test_the_names_are_those_used_each_once():
    assert parse("b + a·b − 2").names == ("b", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends too early"),
        ("a +", "ends too early"),
        ("a b", "unexpected 'b'"),
        ("a ** 2", "found '\\*'"),
        ("(a", "expected '\\)'"),
        ("a)", "unexpected"),
        ("__import__('os')", "unexpected '\\('"),
        ("a.b", "no place"),
        ("a[0]", "no place"),
        ("f(a)", "unexpected"),
        ("a; b", "no place"),
        ("9" * 30, "too long a number"),
        ("(" * 40 + "a" + ")" * 40, "nested"),
        ("-" * 40 + "a", "nested"),
        ("a+" * 600 + "a", "longer than"),
    ],
)
def test_what_is_no_formula_is_refused(text, message):
    with pytest.raises(FormulaError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["1 / a", "1 / (a - 2)", "b / (a * 0)"])
def test_what_may_divide_by_zero_has_no_bounds(text):
    with pytest.raises(FormulaError, match="zero"):
        parse(text).bounds({"a": (-1.0, 3.0), "b": (1.0, 2.0)})


def test_what_leaves_the_numbers_has_no_bounds():
    with pytest.raises(FormulaError, match="too large"):
        parse(" * ".join(["a"] * 60)).bounds({"a": (1.0, 1e6)})
