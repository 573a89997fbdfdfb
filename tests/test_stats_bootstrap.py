import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.stats.bootstrap import Units, bounds


def mean_of(values):
    values = np.asarray(values, dtype=float)
    return lambda drawn: drawn @ values / drawn.sum(axis=1)


def test_it_agrees_with_scipy():
    """From the same resamples, so that only how quantiles are read between two of them can differ."""
    values = np.random.default_rng(1).exponential(size=40)
    ours = bounds(mean_of(values), Units.alone(40), resamples=20000, seed=3)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20000, rng=np.random.default_rng(3), method="BCa")
    assert ours.method == "bootstrap-bca"
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.003)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.003)


def test_resampling_has_the_distribution_that_enumeration_gives():
    values = (0.0, 1.0, 4.0)
    exact = sorted(sum(drawn) / 3 for drawn in itertools.product(values, repeat=3))
    drawn = np.concatenate([mean_of(values)(block) for block in Units.alone(3).draws(27000, 1)])
    for value in set(exact):
        share = exact.count(value) / 27
        assert np.isclose(drawn, value).mean() == pytest.approx(share, abs=4 * math.sqrt(share / 27000))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_every_resample_has_as_many_units_as_the_data(times):
    units = Units.repeated(times)
    assert units.whole().tolist() == [[float(n) for n in times]]
    for block in units.draws(100, 3):
        assert (block.sum(axis=1) == sum(times)).all()
    left = np.concatenate([*units.left_out()])
    assert (left.sum(axis=1) == sum(times) - 1).all()
    assert (left >= 0).all()


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_clusters_are_drawn_whole(labels):
    units = Units.clustered(labels)
    for block in units.draws(100, 3):
        for label in set(labels):
            rows = [row for row, own in enumerate(labels) if own == label]
            assert (block[:, rows] == block[:, rows[:1]]).all()
    left = np.concatenate([*units.left_out()])
    assert len(left) == len(set(labels))
    assert (left.sum(axis=0) == len(left) - 1).all()


def test_many_units_are_left_out_in_groups():
    left = np.concatenate([*Units.alone(1000).left_out()])
    assert left.shape == (400, 1000)
    assert (left.sum(axis=0) == 399).all()


def test_kinds_and_units_give_one_interval():
    """Drawing three kinds is drawing the 300 units they stand for."""
    kinds = bounds(mean_of([0, 1, 5]), Units.repeated([100, 150, 50]), resamples=9999)
    units = bounds(mean_of([0] * 100 + [1] * 150 + [5] * 50), Units.alone(300), resamples=9999)
    assert (kinds.low, kinds.high) == (pytest.approx(units.low, abs=0.03), pytest.approx(units.high, abs=0.03))


def test_one_seed_gives_one_answer():
    values, units = mean_of(np.arange(9) ** 1.5), Units.alone(9)
    assert bounds(values, units, seed=5) == bounds(values, units, seed=5)
    assert bounds(values, units, seed=5) != bounds(values, units, seed=6)


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0, 2.0]])
def test_what_does_not_vary_has_no_bounds(values):
    found = bounds(mean_of(values), Units.alone(len(values)))
    assert (found.low, found.high, found.undefined) == (None, None, 0)


@pytest.mark.parametrize("n", [4, 12])
def test_resamples_without_a_value_are_not_forgotten(n):
    """There is none where unit 0 was not drawn, which happens too often for any bound to stand."""
    found = bounds(lambda drawn: np.where(drawn[:, 0] > 0, drawn @ np.arange(n) / n, np.nan), Units.alone(n))
    assert found.undefined / 2000 == pytest.approx((1 - 1 / n) ** n, abs=0.05)
    assert (found.low, found.high) == (None, None)


def test_a_few_resamples_without_a_value_widen_the_interval():
    plain = mean_of(range(40))

    def rarely_undefined(drawn):
        return np.where(drawn[:, :4].sum(axis=1) > 0, plain(drawn), np.nan)

    known = bounds(plain, Units.alone(40), resamples=4000)
    found = bounds(rarely_undefined, Units.alone(40), resamples=4000)
    assert 20 < found.undefined < 100
    assert found.low < known.low
    assert found.high > known.high


@pytest.mark.parametrize(("confidence", "resamples"), [(0, 2000), (1, 2000), (math.nan, 2000), (0.95, 99)])
def test_what_makes_no_interval_is_refused(confidence, resamples):
    with pytest.raises(ValueError, match=r"confidence|resamples"):
        bounds(mean_of([1, 2]), Units.alone(2), confidence, resamples)


def test_coverage_is_as_promised_for_a_skewed_measure():
    numbers, runs, held = np.random.default_rng(4), 400, 0
    for run in range(runs):
        found = bounds(mean_of(numbers.exponential(size=50)), Units.alone(50), resamples=500, seed=run)
        held += found.low <= 1 <= found.high
    assert held / runs == pytest.approx(0.95, abs=0.04)
