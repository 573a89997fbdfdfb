import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from statsmodels.regression.linear_model import OLS

from assay.stats.clustered import clusters, design_effect, mean_difference, p_value, rate_difference, rate_p_value
from assay.stats.exact import NoValues
from assay.stats.intervals import clustered_mean
from assay.stats.paired import PairedTable, difference

values = st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 6)), min_size=2, max_size=40)
outcomes = st.lists(
    st.tuples(st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.integers(0, 8)), min_size=2, max_size=60
)


def paired(rows):
    baseline, candidate, labels = zip(*rows, strict=True)
    differences = [right - left for left, right in zip(baseline, candidate, strict=True)]
    return PairedTable.of(baseline, candidate), clusters(differences, labels)


@given(values)
def test_the_t_interval_agrees_with_the_one_for_a_single_mean(rows):
    differences, labels = zip(*rows, strict=True)
    data = clusters(differences, labels)
    found = mean_difference(data)
    groups = [[d for d, label in rows if label == each] for each in sorted(set(labels))]
    theirs = clustered_mean([len(group) for group in groups], [math.fsum(group) for group in groups], 0.9)
    assert (found.n, found.clusters) == (theirs.n, theirs.clusters)
    assert found.value == pytest.approx(theirs.value, abs=1e-12)
    if found.low is not None and found.high - found.low > 1e-9:
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_it_agrees_with_statsmodels_and_scipy():
    numbers = np.random.default_rng(1)
    labels = numbers.integers(0, 12, 300)
    differences = numbers.normal(0.02, 0.3, 300) + numbers.normal(0, 0.1, 12)[labels]
    data = clusters(differences, labels.tolist())
    fit = OLS(differences, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": labels, "df_correction": True})
    # statsmodels corrects by G/(G-1) · (n-1)/(n-k); k is 1 here.
    low, high = fit.params[0] + np.array([-1, 1]) * student.ppf(0.95, 11) * fit.bse[0]
    found = mean_difference(data)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    single = clusters(differences)
    test = ttest_1samp(differences, -0.05, alternative="greater")
    assert p_value(single, "-0.05") == pytest.approx(test.pvalue, rel=1e-9)
    interval = ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (mean_difference(single).low, mean_difference(single).high) == pytest.approx(tuple(interval), rel=1e-9)


@given(values, st.randoms())
def test_the_order_of_samples_changes_no_bit(rows, shuffler):
    other = list(rows)
    shuffler.shuffle(other)
    for scale in (None, 1.0):
        first, second = (mean_difference(clusters(*zip(*each, strict=True)), scale=scale) for each in (rows, other))
        assert first == second


@given(values)
def test_swapping_the_two_mirrors_the_interval_to_the_last_bit(rows):
    differences, labels = zip(*rows, strict=True)
    data, swapped = clusters(differences, labels), clusters([-d for d in differences], labels)
    one, other = mean_difference(data, scale=1), mean_difference(swapped, scale=1)
    assert (one.low, one.high, one.value) == (-other.high, -other.low, -other.value)
    again = mean_difference(data.mirrored, scale=1)
    assert (again.low, again.high) == (other.low, other.high)


@given(outcomes, st.randoms())
def test_the_same_holds_for_rates(rows, shuffler):
    found = rate_difference(*paired(rows))
    other = list(rows)
    shuffler.shuffle(other)
    assert rate_difference(*paired(other)) == found
    mirrored = rate_difference(*paired([(right, left, label) for left, right, label in rows]))
    if found.low is None:
        assert found.clusters == 1
    else:
        assert (found.low, found.high) == (-mirrored.high, -mirrored.low)
        assert -1 <= found.low < found.high <= 1


@given(outcomes, st.sampled_from(["-0.2", "-0.05", 0, "0.1"]), st.sampled_from([0.01, 0.05]))
def test_p_values_belong_to_the_bounds(rows, at, alpha):
    table, data = paired(rows)
    for p, low in (
        (rate_p_value(table, data, at), rate_difference(table, data, alpha).low),
        (p_value(data, at, scale=1), mean_difference(data, alpha, scale=1).low),
    ):
        assert (p is None) == (low is None)
        if p is not None and abs(p - alpha) > 1e-9:
            assert (p < alpha) == (low > float(at))


def test_pairs_that_are_clusters_of_their_own_are_nearly_tangos():
    table = PairedTable(700, 60, 40, 200)
    data = clusters([-1.0] * 60 + [1.0] * 40 + [0.0] * 900)
    found, plain = rate_difference(table, data), difference(table)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=3e-4)


def test_ten_identical_epochs_say_no_more_than_one():
    single = clusters([-1.0] * 6 + [1.0] * 4 + [0.0] * 90)
    tenfold = clusters(np.repeat([-1.0] * 6 + [1.0] * 4 + [0.0] * 90, 10), np.repeat(np.arange(100), 10).tolist())
    one = rate_difference(PairedTable(90, 6, 4, 0), single)
    ten = rate_difference(PairedTable(900, 60, 40, 0), tenfold)
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high), abs=1e-3)
    assert mean_difference(tenfold).low == pytest.approx(mean_difference(single).low, rel=1e-9)
    assert design_effect(tenfold, 0.1 - 0.02**2) == pytest.approx(10, rel=0.02)


def test_no_variation_is_never_certainty():
    labels = [place // 5 for place in range(50)]
    alike = clusters([0.0] * 50, labels)
    assert (mean_difference(alike).low, mean_difference(alike).high) == (None, None)
    exact = mean_difference(alike, scale=1)
    assert exact.method == "exact-clustered"
    assert exact.high == -exact.low == pytest.approx(1 - 0.05**0.1)
    found = rate_difference(PairedTable(50, 0, 0, 0), alike)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    shifted = mean_difference(clusters([0.5] * 20), scale=1)
    assert shifted.low == pytest.approx(0.5 - 1.5 * (1 - 0.05**0.05))
    assert shifted.high == pytest.approx(0.5 + 0.5 * (1 - 0.05**0.05))


def test_one_cluster_has_no_bounds():
    data = clusters([0.0, 1.0, -1.0], ["a", "a", "a"])
    assert mean_difference(data).low is None
    assert rate_difference(PairedTable(1, 1, 1, 0), data).low is None
    assert rate_p_value(PairedTable(1, 1, 1, 0), data, 0) is None


def test_labels_are_told_apart_by_what_they_are():
    assert clusters([0.0, 1.0], [1, "1"]).size == 2


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: clusters([0.0, math.nan]), r"differences\[1\]"),
        (lambda: clusters([math.inf]), r"differences\[0\]"),
        (lambda: clusters([1e300]), r"differences\[0\]"),
        (lambda: clusters(["0.5"]), "differences must be a list of numbers"),
        (lambda: clusters([None, 1.0]), "differences must be a list of numbers"),
        (lambda: clusters([[1.0], [2.0]]), "differences must be a list of numbers"),
        (lambda: clusters([0.0, 0.0], ["a"]), "labels"),
        (lambda: mean_difference(clusters([0.5, 0.5]), scale=0.1), "scale"),
        (lambda: mean_difference(clusters([0.5, 0.5]), scale=math.nan), "scale"),
        (lambda: mean_difference(clusters([0.5, 0.1]), alpha=0.5), "alpha"),
        (lambda: rate_difference(PairedTable(1, 1, 0, 0), clusters([0.0, 0.0])), "same pairs"),
        (lambda: rate_p_value(PairedTable(1, 1, 0, 0), clusters([0.0, -1.0]), 2), "at must"),
        (lambda: p_value(clusters([0.0, 1.0]), math.nan), "at must"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_nothing_to_compare_is_an_error_of_its_own_type():
    with pytest.raises(NoValues):
        clusters([])


@pytest.mark.parametrize(
    ("problems", "epochs", "volatile", "within", "win"),
    [(164, 5, 0.3, 0.4, 0.5), (164, 5, 0.05, 0.3, 0.02), (100, 10, 0.05, 0.2, 0.1), (40, 4, 0.5, 0.5, 0.3)],
)
def test_simulated_error_with_epochs(problems, epochs, volatile, within, win):
    """Some problems are volatile, each with a leaning of its own; from many losses to hardly any."""
    numbers, truth, runs = np.random.default_rng(7), volatile * within * (2 * win - 1), 1500
    too_high = too_low = 0
    for _ in range(runs):
        moved = numbers.binomial(epochs, within, problems) * (numbers.random(problems) < volatile)
        won = numbers.binomial(moved, numbers.beta(2 * win, 2 * (1 - win), problems))
        each = np.arange(epochs)
        differences = np.where(each < won[:, None], 1.0, np.where(each < moved[:, None], -1.0, 0.0)).ravel()
        lost = int((differences < 0).sum())
        table = PairedTable(problems * epochs - int(moved.sum()), lost, int(won.sum()), 0)
        data = clusters(differences, np.repeat(np.arange(problems), epochs).tolist())
        found = rate_difference(table, data)
        too_high += found.low > truth
        too_low += found.high < truth
    # 5 % nominal, 7 % the worst seen in long simulations, and two and a half standard errors of 1500 runs.
    assert too_high / runs < 0.07 + 0.017
    assert too_low / runs < 0.07 + 0.017
