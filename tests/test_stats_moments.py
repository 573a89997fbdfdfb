import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.moments import Moments

lists = st.lists(st.floats(-1e6, 1e6), max_size=40)


def moments(values):
    made = Moments()
    for value in values:
        made.add(value)
    return made


@given(lists)
def test_they_agree_with_the_standard_library(values):
    made = moments(values)
    assert made.n == len(values)
    if values:
        assert made.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-9)
    if len(values) > 1:
        assert made.variance == pytest.approx(statistics.variance(values), rel=1e-6, abs=1e-6)


@given(lists, lists)
def test_merging_is_adding(one, other):
    merged, together = moments(one), moments(one + other)
    merged.merge(moments(other))
    assert merged.n == together.n
    if together.n > 1:
        assert merged.mean == pytest.approx(together.mean, rel=1e-9, abs=1e-6)
        assert merged.variance == pytest.approx(together.variance, rel=1e-6, abs=1e-6)


def test_too_few_values_have_no_moments():
    assert moments([]).mean is None
    assert moments([1.0]).variance is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused_and_not_counted(value):
    made = moments([1.0])
    with pytest.raises(ValueError, match="finite"):
        made.add(value)
    assert (made.n, made.mean) == (1, 1.0)
