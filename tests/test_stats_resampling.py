import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, permutation_test
from scipy.stats import bootstrap as reference

from assay.stats.clustered import clusters, mean_difference
from assay.stats.paired import PairedTable, mcnemar
from assay.stats.resampling import bootstrap, sign_flip

graded = st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 9)), min_size=2, max_size=40)
ternary = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 1.0]), st.integers(0, 30)), min_size=2, max_size=60)
either = st.one_of(graded, ternary)


def of(rows):
    differences, labels = zip(*rows, strict=True)
    return clusters(differences, labels)


def skewed(numbers, n):
    return numbers.exponential(0.3, n).clip(0, 1) - 0.1


def test_bca_agrees_with_scipy():
    differences = skewed(np.random.default_rng(3), 60)
    found = bootstrap(clusters(differences), 0.05, 40_000)
    theirs = reference(
        (differences,), np.mean, n_resamples=40_000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    plain = mean_difference(clusters(differences))
    assert found.high - found.value > (plain.high - plain.value)  # it leans to the side of the long tail


@pytest.mark.parametrize("kinds", [3, 400])
def test_drawing_by_kind_and_one_by_one_are_the_same_bootstrap(kinds):
    """Paired outcomes against the quantiles of the exact bootstrap distribution; scores against the t interval."""
    if kinds == 3:
        data = clusters([1.0] * 100 + [0.0] * 900)
        found = bootstrap(data, 0.05, 200_000)
        assert found.low == pytest.approx(binom.ppf(0.05, 1000, 0.1) / 1000, abs=0.0015)
        assert found.high == pytest.approx(binom.ppf(0.95, 1000, 0.1) / 1000, abs=0.0015)
    else:
        data = clusters(np.random.default_rng(0).normal(0, 0.3, kinds))
        found, plain = bootstrap(data), mean_difference(data)
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.002)


def test_clusters_of_unequal_size_are_drawn_whole():
    numbers = np.random.default_rng(2)
    labels = numbers.integers(0, 60, 900)
    differences = numbers.normal(0, 0.2, 60)[labels] + numbers.normal(0, 0.05, 900)
    data = clusters(differences, labels.tolist())
    found, plain, naive = bootstrap(data), mean_difference(data), mean_difference(clusters(differences))
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.1)
    assert found.high - found.low > 2 * (naive.high - naive.low)


@settings(deadline=None)
@given(either, st.randoms())
def test_the_order_of_samples_changes_no_bit(rows, shuffler):
    other = list(rows)
    shuffler.shuffle(other)
    assert bootstrap(of(rows), resamples=200) == bootstrap(of(other), resamples=200)
    assert sign_flip(of(rows), 200) == sign_flip(of(other), 200)


@settings(deadline=None)
@given(either)
def test_swapping_the_two_mirrors_every_result_to_the_last_bit(rows):
    data, swapped = of(rows), of([(-difference, label) for difference, label in rows])
    one, other = bootstrap(data, resamples=200), bootstrap(swapped, resamples=200)
    if one.low is None:
        assert other.low is None
    else:
        assert (one.low, one.high) == (-other.high, -other.low)
    flips, back = sign_flip(data, 200), sign_flip(swapped, 200)
    assert (flips.less, flips.greater, flips.two_sided) == (back.greater, back.less, back.two_sided)


def test_data_that_are_their_own_mirror_image_have_a_symmetric_interval():
    found = bootstrap(clusters([-1.0] * 7 + [1.0] * 7 + [0.0] * 86))
    assert found.low == -found.high < 0


def test_no_variation_has_no_bounds():
    for data in (clusters([0.0] * 50), clusters([0.5, 0.1], ["a", "a"])):
        assert (bootstrap(data).low, bootstrap(data).high) == (None, None)
    found = sign_flip(clusters([0.0] * 50))
    assert (found.less, found.greater, found.two_sided, found.method) == (1, 1, 1, "exact")


def test_a_seed_fixes_the_bounds_and_another_moves_them():
    data = clusters(np.random.default_rng(0).normal(0, 0.3, 500))
    assert bootstrap(data, seed=4) == bootstrap(data, seed=4)
    assert bootstrap(data, seed=4) != bootstrap(data, seed=5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
def test_flipping_single_pairs_is_mcnemars_exact_test(lost, won, tied):
    found = sign_flip(clusters([-1.0] * lost + [1.0] * won + [0.0] * tied))
    table = PairedTable(0, lost, won, tied)
    assert found.method == "exact"
    assert found.less == pytest.approx(mcnemar(table, "less").exact, rel=1e-9)
    assert found.greater == pytest.approx(mcnemar(table, "greater").exact, rel=1e-9)
    assert found.two_sided == pytest.approx(mcnemar(table).exact, rel=1e-9)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_it_agrees_with_going_through_all_flips_by_hand(differences):
    found = sign_flip(clusters(differences))
    seen = math.fsum(differences)
    sums = [math.fsum(s * d for s, d in zip(signs, differences, strict=True))
            for signs in itertools.product((-1, 1), repeat=len(differences))]  # fmt: skip
    slack = 1e-9 * math.fsum(map(abs, differences))
    assert found.greater == pytest.approx(sum(s >= seen - slack for s in sums) / len(sums))
    assert found.less == pytest.approx(sum(s <= seen + slack for s in sums) / len(sums))


def test_it_agrees_with_scipy():
    differences = np.random.default_rng(5).normal(0.1, 0.3, 14)
    theirs = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(clusters(differences)).two_sided == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize("digits", [1, 15])
def test_monte_carlo_comes_near_the_normal_approximation(digits):
    """By kind of cluster (tenths) and cluster by cluster (all different)."""
    differences = np.round(np.random.default_rng(8).normal(0.02, 0.3, 3001), digits)
    found = sign_flip(clusters(differences), 20_000)
    z = differences.sum() / math.sqrt((differences**2).sum())
    assert found.method == "monte-carlo"
    assert found.greater == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)), abs=0.005)
    assert found.greater + found.less == pytest.approx(1, abs=0.01)


def test_monte_carlo_never_gives_a_p_of_zero():
    differences = 1 + np.random.default_rng(8).random(300)
    found = sign_flip(clusters(differences), 999)
    assert (found.greater, found.two_sided, found.less) == (0.001, 0.001, 1)


def test_memory_does_not_grow_with_resamples():
    data = clusters(np.random.default_rng(0).normal(0, 0.3, 12_032))
    peaks = []
    for resamples in (200, 2000):
        tracemalloc.start()
        bootstrap(data, resamples=resamples)
        sign_flip(data, resamples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 8 * 20 * 2000 < 48_000_000


@pytest.mark.parametrize("call", [bootstrap, sign_flip])
def test_too_few_resamples_are_refused(call):
    with pytest.raises(ValueError, match="resamples"):
        call(clusters([0.0, 1.0]), resamples=99)


def test_simulated_coverage_of_bca_and_size_of_the_flips():
    """Skewed means of 60 clusters: each bound is missed in about 5 % of runs; under symmetry the test keeps 5 %."""
    numbers, runs, truth = np.random.default_rng(11), 1000, 0.3 * (1 - math.exp(-1 / 0.3)) - 0.1
    missed = [0, 0]
    for _ in range(runs):
        found = bootstrap(
            clusters(np.repeat(skewed(numbers, 60), 2), np.repeat(np.arange(60), 2).tolist()), resamples=999
        )
        missed[0] += found.low > truth
        missed[1] += found.high < truth
    assert binomtest(missed[0], runs, 0.05).pvalue > 0.001
    assert binomtest(missed[1], runs, 0.055).pvalue > 0.001
    alarms = sum(sign_flip(clusters(numbers.normal(0, 1, 12))).less <= 0.05 for _ in range(runs))
    assert binomtest(alarms, runs, 0.05).pvalue > 0.001
