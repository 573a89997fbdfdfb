import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.exact import above, below, exact, margin_of, non_inferior


@pytest.mark.parametrize("value", [0.01, "0.01", Decimal("0.01"), Fraction(1, 100)])
def test_a_threshold_is_the_decimal_it_is_written_as(value):
    assert exact(value, "margin") == Fraction(1, 100)


def test_a_number_of_numpy_is_a_number():
    import numpy as np

    assert exact(np.float64(0.01), "margin") == Fraction(1, 100)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "nan", "one", Decimal("Infinity"), Decimal("NaN"), True, None, []]
)
def test_what_is_no_finite_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match="max_drop"):
        exact(value, "max_drop")


@pytest.mark.parametrize("value", [0, -0.01, "1.5", math.nan])
def test_a_margin_lies_above_nothing_and_up_to_everything(value):
    with pytest.raises(ValueError, match="margin"):
        margin_of(value)
    with pytest.raises(ValueError, match="margin"):
        non_inferior(-0.001, value)


def test_a_bound_equal_to_a_threshold_is_on_neither_side():
    assert not above(-0.5, "-0.5")
    assert not below(-0.5, "-0.5")
    assert above(math.nextafter(-0.5, 0), "-0.5")
    assert below(math.nextafter(-0.5, -1), "-0.5")


def test_a_bound_that_could_not_be_estimated_decides_nothing():
    assert not above(None, -1)
    assert not below(None, 1)
    assert not non_inferior(None, 1)
    with pytest.raises(ValueError, match="bound"):
        above(math.nan, 0)


@given(st.integers(1, 900), st.integers(2, 1000))
def test_a_drop_of_exactly_the_margin_never_depends_on_rounding(k, n):
    """As floats, 0.9 - 0.89 is more than 0.01."""
    drop = Fraction(k, n) - (Fraction(k, n) - Fraction(1, 100))
    assert drop == exact(0.01, "margin")
