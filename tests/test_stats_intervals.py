import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from assay.stats.intervals import (
    EXACT_BELOW,
    clopper_pearson,
    clustered_mean,
    clustered_rate,
    mean,
    mean_of,
    rate,
    wilson,
)
from assay.stats.moments import Moments

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@given(counts, confidences)
def test_rates_agree_with_scipy(pair, confidence):
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "exact")):
        found = ours(*pair, confidence)
        theirs = binomtest(*pair).proportion_ci(confidence, method)
        assert found.low == pytest.approx(theirs.low, rel=1e-8, abs=1e-12)
        assert found.high == pytest.approx(theirs.high, rel=1e-8, abs=1e-12)


@given(counts, confidences)
def test_a_rate_lies_inside_its_interval_and_the_interval_inside_the_scale(pair, confidence):
    for method in (wilson, clopper_pearson, rate):
        found = method(*pair, confidence)
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


@given(st.integers(2, 300), st.data())
def test_more_passes_never_lower_the_bounds(n, data):
    k = data.draw(st.integers(0, n - 1))
    for method in (wilson, clopper_pearson):
        one, other = method(k, n), method(k + 1, n)
        assert one.low < other.low or (one.low, other.low) == (0, 0)
        assert one.high < other.high or (one.high, other.high) == (1, 1)


@given(counts)
def test_more_confidence_is_a_wider_interval(pair):
    narrow, wide = rate(*pair, 0.9), rate(*pair, 0.99)
    assert wide.low <= narrow.low
    assert wide.high >= narrow.high


@pytest.mark.parametrize(
    ("k", "n", "method"),
    [
        (0, 500, "clopper-pearson"),
        (500, 500, "clopper-pearson"),
        (1, 500, "wilson"),
        (7, EXACT_BELOW - 1, "clopper-pearson"),
        (7, EXACT_BELOW, "wilson"),
    ],
)
def test_the_rule_for_choosing(k, n, method):
    assert rate(k, n).method == method


def test_none_of_ten_leaves_26_per_cent_open():
    assert rate(0, 10, 0.9).high == pytest.approx(1 - 0.05**0.1)
    assert round(rate(0, 10, 0.9).high, 2) == 0.26
    assert rate(0, 10).low == 0


def test_nothing_seen_has_no_value():
    for found in (rate(0, 0), wilson(0, 0), mean([]), clustered_mean([], []), clustered_rate([], [])):
        assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5)])
def test_what_is_no_rate_is_refused(k, n):
    with pytest.raises(ValueError, match="not a rate"):
        rate(k, n)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_what_is_no_confidence_is_refused(confidence):
    for call in (lambda: rate(1, 2, confidence), lambda: mean([1, 2], confidence)):
        with pytest.raises(ValueError, match="confidence"):
            call()


def test_a_mean_agrees_with_the_textbook():
    found = mean([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    half = 2.364624 * math.sqrt(32 / 7 / 8)
    assert found.value == 5
    assert (found.low, found.high) == (pytest.approx(5 - half, rel=1e-6), pytest.approx(5 + half, rel=1e-6))
    assert (found.n, found.clusters, found.method) == (8, None, "t")


@pytest.mark.parametrize("values", [[3.0], [0.1] * 50, [-7.5, -7.5]])
def test_a_mean_without_variation_has_no_interval_rather_than_none_of_width(values):
    found = mean(values)
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high) == (None, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30))
def test_clusters_of_one_are_no_clusters(values):
    single, clustered = mean(values), clustered_mean([1] * len(values), values)
    assert clustered.value == pytest.approx(single.value, rel=1e-9, abs=1e-9)
    if single.low is not None and clustered.low is not None:
        assert clustered.low == pytest.approx(single.low, rel=1e-6, abs=1e-6)
        assert clustered.high == pytest.approx(single.high, rel=1e-6, abs=1e-6)


def test_rates_in_clusters_of_one_are_plain_rates():
    passes = [1] * 30 + [0] * 70
    assert clustered_rate([1] * 100, passes) == rate(30, 100)


def test_copies_of_a_value_add_no_certainty():
    once = mean([1.0, 2.0, 4.0, 8.0])
    tenfold = clustered_mean([10] * 4, [10.0, 20.0, 40.0, 80.0])
    assert (tenfold.n, tenfold.clusters) == (40, 4)
    assert (tenfold.low, tenfold.high) == (pytest.approx(once.low), pytest.approx(once.high))


def test_copies_of_an_answer_add_no_certainty():
    tenfold = clustered_rate([10] * 100, [10] * 30 + [0] * 70)
    once = rate(30, 100)
    assert tenfold.method == "wilson-clustered"
    assert tenfold.high - tenfold.low >= once.high - once.low
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.05)


def test_nothing_passed_is_judged_by_clusters_and_not_by_tries():
    found = clustered_rate([5] * 10, [0] * 10)
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(rate(0, 10).high))
    assert clustered_rate([5] * 10, [5] * 10).low == pytest.approx(rate(10, 10).low)


def test_one_cluster_says_nothing_about_others():
    for found in (clustered_rate([50], [20]), clustered_mean([50], [20.0])):
        assert (found.value, found.low, found.high, found.clusters) == (0.4, None, None, 1)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_equal_rates_in_all_clusters_are_not_taken_for_certainty(confidence):
    found = clustered_rate([2] * 40, [1] * 40, confidence)
    assert found.high - found.low >= rate(40, 80, confidence).high - rate(40, 80, confidence).low


def test_clusters_more_alike_than_chance_are_no_more_than_their_tries():
    found = clustered_rate([2] * 40, [1] * 39 + [2])
    assert found.high - found.low >= rate(41, 80).high - rate(41, 80).low


def test_rounding_is_no_variation():
    found = clustered_mean([3, 7] * 10, [0.1 * 3, 0.1 * 7] * 10)
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (None, None)


def test_empty_clusters_do_not_count():
    assert clustered_mean([2, 0, 3], [1.0, 0.0, 2.0]) == clustered_mean([2, 3], [1.0, 2.0])
    assert clustered_rate([2, 0, 3], [1, 0, 3]) == clustered_rate([2, 3], [1, 3])


@pytest.mark.parametrize(("sizes", "passes"), [([2, 2], [3, 0]), ([2, -2], [1, 0]), ([2], [1, 0])])
def test_impossible_clusters_are_refused(sizes, passes):
    with pytest.raises(ValueError, match=r"cluster|rate|shorter|longer"):
        clustered_rate(sizes, passes)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_clustered_rates_stay_on_the_scale(pairs):
    found = clustered_rate([max(pair) for pair in pairs], [min(pair) for pair in pairs])
    if found.low is not None:
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert found.low < found.high


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("n", [5, 20, 30, 100, 400])
def test_coverage_of_rates_is_as_promised(p, n):
    """The chance that the interval holds p, summed over every k: exact, no simulation."""
    covered = {wilson: 0.0, clopper_pearson: 0.0, rate: 0.0}
    for k in range(n + 1):
        chance = math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for method in covered:
            found = method(k, n)
            covered[method] += chance * (found.low <= p <= found.high)
    assert covered[clopper_pearson] >= 0.95
    assert covered[rate] >= 0.92
    assert covered[wilson] >= 0.88


@pytest.mark.parametrize(("clusters", "floor"), [(5, 0.95), (12, 0.95), (29, 0.93), (30, 0.92), (80, 0.93)])
@pytest.mark.parametrize("shape", [(0.5, 0.5), (4, 4), (4.5, 0.5)])
def test_coverage_of_clustered_rates_is_as_promised(clusters, floor, shape):
    """Each sample has its own difficulty; five epochs of it are not five samples."""
    numbers, truth, runs = random.Random(clusters), shape[0] / sum(shape), 600
    held = 0
    for _ in range(runs):
        rates = [numbers.betavariate(*shape) for _ in range(clusters)]
        found = clustered_rate([5] * clusters, [sum(numbers.random() < p for _ in range(5)) for p in rates])
        held += found.low <= truth <= found.high
    assert held / runs >= floor - 0.02


def test_coverage_of_clustered_means_is_as_promised_and_that_of_naive_ones_is_not():
    numbers, runs = random.Random(7), 600
    held = naive = 0
    for _ in range(runs):
        sums, moments = [], Moments()
        for _ in range(25):
            centre = numbers.gauss(10, 2)
            values = [numbers.gauss(centre, 1) for _ in range(4)]
            sums.append(math.fsum(values))
            for value in values:
                moments.add(value)
        clustered, plain = clustered_mean([4] * 25, sums), mean_of(moments)
        held += clustered.low <= 10 <= clustered.high
        naive += plain.low <= 10 <= plain.high
    assert 0.92 <= held / runs <= 0.98
    assert naive / runs < 0.85
