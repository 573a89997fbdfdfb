from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.quantity import all_in, last, plain


def values(text):
    return [found.value for found in all_in(plain(text))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("18.", 18),
        ("18.0", 18),
        ("007", 7),
        ("-3", -3),
        ("−3", -3),
        ("+3", 3),
        ("(-3)", -3),
        (".5", Fraction(1, 2)),
        ("1,234,567.50", Fraction("1234567.5")),
        ("1,00,000", 100000),
        ("$1,234", 1234),
        ("-$5", -5),
        ("$-5", -5),
        ("$ 18", 18),
        ("€3.20", Fraction(16, 5)),
        ("50%", 50),
        ("3/4", Fraction(3, 4)),
        ("-3/4", Fraction(-3, 4)),
        ("2 1/2", Fraction(5, 2)),
        ("½", Fraction(1, 2)),
        ("2½", Fraction(5, 2)),
        ("1e3", 1000),
        ("1.5E-2", Fraction(3, 200)),
        ("18kg", 18),
        ("**18**", 18),
        ("_18_", 18),
        ("1\u202f000", 1000),
        (r"\$1{,}000", 1000),
        (r"\frac{1}{3}", Fraction(1, 3)),
        ("5/0", None),
        ("9" * 5000, None),
    ],
)
def test_one_number(text, value):
    assert values(text) == [value]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5-3=2", [5, 3, 2]),
        ("16 - 3 = -3", [16, 3, -3]),
        ("5–10", [5, 10]),
        ("COVID-19 and H2O and x2.5", [19]),
        ("3, 4 and 5", [3, 4, 5]),
        ("none", []),
    ],
)
def test_several_numbers(text, found):
    assert values(text) == found


@given(st.integers(-(10**30), 10**30))
def test_integers_in_any_common_style_read_back(number):
    for text in (f"{number}", f"{number:,}", f"so {number}.", f"= {number}\n", f"{number}.000"):
        assert last(text).value == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_decimals_read_back_exactly(number):
    assert last(f"it is {number:f}").value == Fraction(number)


@given(st.text(alphabet="0123456789.,-+/$%eE ½x\n\\{}", max_size=60))
def test_no_text_breaks_it(text):
    found = list(all_in(plain(text)))
    tail = last(plain(text))
    assert (tail is None) == (not found)
    assert tail is None or tail == found[-1]


def test_hostile_text_takes_linear_time():
    for text in [
        "1," * 100_000,
        "1 1/" * 50_000,
        "11,11" * 40_000,
        "-" * 200_000,
        "9" * 200_000,
        "$ " * 100_000,
    ]:
        assert len(list(all_in(text))) >= 0
        last(text)
