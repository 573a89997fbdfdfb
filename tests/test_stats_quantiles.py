import math
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.quantiles import ERROR, EXACT_UP_TO, Sketch

SHARES = (0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1)
values = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def sketch(numbers):
    made = Sketch()
    for number in numbers:
        made.add(number)
    return made


def latencies(n, seed=1):
    numbers = random.Random(seed)
    return [numbers.lognormvariate(0, 2) for _ in range(n)]


@given(values)
def test_few_values_have_exact_quantiles(numbers):
    made = sketch(numbers)
    for share in SHARES:
        assert made.quantile(share) == pytest.approx(float(numpy.quantile(numbers, share)), rel=1e-12, abs=1e-12)
    assert (made.count, made.min, made.max) == (len(numbers), min(numbers), max(numbers))
    assert made.mean == pytest.approx(math.fsum(numbers) / len(numbers))


@pytest.mark.parametrize("n", [EXACT_UP_TO + 1, 20_000])
def test_many_values_have_quantiles_within_the_promised_error(n):
    numbers = latencies(n)
    made, ordered = sketch(numbers), sorted(numbers)
    for share in SHARES:
        exact = ordered[math.floor(share * (n - 1))]
        assert abs(made.quantile(share) - exact) <= ERROR * exact * (1 + 1e-9)
    assert (made.quantile(0), made.quantile(1)) == (ordered[0], ordered[-1])


def test_memory_is_bounded():
    made = sketch(latencies(50_000))
    assert made._values is None
    assert len(made._buckets) < 1500


@pytest.mark.parametrize(
    ("one", "other"), [(10, 20), (2000, 2000), (3000, 10), (10, 3000), (3000, 3000), (0, 5), (5, 0)]
)
def test_merging_is_adding(one, other):
    first, second = latencies(one), latencies(other, seed=2)
    merged, together = sketch(first), sketch(first + second)
    merged.merge(sketch(second))
    assert [merged.quantile(share) for share in SHARES] == [together.quantile(share) for share in SHARES]
    assert (merged.count, merged.min, merged.max) == (together.count, together.min, together.max)
    assert merged.mean == pytest.approx(together.mean)


def test_zero_and_tiny_values_count():
    made = sketch([0.0] * 3000 + [1e-12] * 10 + [5.0] * 100)
    assert made.quantile(0.5) == 0
    assert made.quantile(0.999) == pytest.approx(5.0, rel=ERROR)


def test_the_rank_counts_from_zero_as_the_exact_form_does():
    made = sketch([1.0] * 3000 + [100.0] * 3001)
    assert made.quantile(0.5) == pytest.approx(100, rel=ERROR)
    assert made.quantile(0.4999) == pytest.approx(1, rel=ERROR)


def test_no_values_have_no_quantiles():
    made = Sketch()
    assert (made.count, made.mean, made.min, made.max, made.quantile(0.5)) == (0, None, None, None, None)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_what_is_no_latency_is_refused_and_not_counted(value):
    made = sketch([1.0])
    with pytest.raises(ValueError, match="finite"):
        made.add(value)
    assert made.count == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="between"):
        sketch([1.0]).quantile(share)


@given(values, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow(numbers, one, other):
    low, high = sorted((one, other))
    assert sketch(numbers).quantile(low) <= sketch(numbers).quantile(high)
