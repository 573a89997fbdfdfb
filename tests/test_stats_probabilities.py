import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from assay.stats.intervals import clustered_mean, mean, wilson
from assay.stats.probabilities import (
    OneClass,
    auc_difference,
    average_precision,
    brier,
    calibration_error,
    reliability_diagram,
    roc_auc,
)

samples = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30).filter(
    lambda drawn: len({label for label, _ in drawn}) == 2
)
forecasts = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=40)


def split(drawn):
    return map(list, zip(*drawn, strict=True))


def components(labels, scores):
    """DeLong's structural components by comparing every pair."""
    positive = [score for label, score in zip(labels, scores, strict=True) if label]
    negative = [score for label, score in zip(labels, scores, strict=True) if not label]
    beats = np.array([[(a > b) + (a == b) / 2 for b in negative] for a in positive])
    return beats.mean(axis=1), beats.mean(axis=0)


def standard_error(first, second=None):
    own, other = first if second is None else (second[0] - first[0], second[1] - first[1])
    return math.sqrt(own.var(ddof=1) / len(own) + other.var(ddof=1) / len(other))


@given(samples)
def test_auc_and_average_precision_agree_with_scikit_learn(drawn):
    labels, scores = split(drawn)
    assert roc_auc(labels, scores).interval.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    found = average_precision(labels, scores, resamples=100).value
    assert found == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@given(samples)
def test_the_standard_error_is_that_of_every_pair_compared(drawn):
    labels, scores = split(drawn)
    found = roc_auc(labels, scores)
    if min(found.positives, found.negatives) > 1:
        assert (found.standard_error or 0) == pytest.approx(standard_error(components(labels, scores)), abs=1e-7)
    else:
        assert found.standard_error is None


def test_the_paired_test_is_that_of_every_pair_compared():
    numbers = np.random.default_rng(3)
    labels = numbers.integers(0, 2, 60)
    first, second = np.round(numbers.normal(size=60) + labels, 1), np.round(numbers.normal(size=60) + labels, 1)
    found = auc_difference(labels, first, second)
    error = standard_error(components(labels, first), components(labels, second))
    difference = roc_auc_score(labels, second) - roc_auc_score(labels, first)
    assert found.interval.value == pytest.approx(difference)
    assert found.z == pytest.approx(difference / error)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(difference / error)))
    half = stats.norm.ppf(0.975) * error
    assert (found.interval.low, found.interval.high) == pytest.approx((difference - half, difference + half))
    swapped = auc_difference(labels, second, first)
    assert (swapped.interval.low, swapped.interval.high) == pytest.approx((half * -1 - difference, half - difference))


@given(samples, st.randoms())
def test_auc_is_symmetric_and_knows_only_ranks(drawn, shuffle):
    labels, scores = split(drawn)
    found = roc_auc(labels, scores)
    shuffle.shuffle(drawn)
    moved = roc_auc(*split(drawn))
    assert (moved.interval.value, moved.interval.low) == pytest.approx((found.interval.value, found.interval.low))
    bent = roc_auc(labels, [math.exp(score) for score in scores])
    assert bent == found
    for other in (
        roc_auc(labels, [-score for score in scores]),
        roc_auc([1 - label for label in labels], scores),
    ):
        assert other.interval.value == pytest.approx(1 - found.interval.value)
        assert other.interval.low == pytest.approx(1 - found.interval.high, abs=1e-9)


def test_newcombes_interval_covers_by_enumeration():
    """All 70 orders of 4 positives and 4 negatives are equally likely where scores mean nothing."""
    held = 0
    for chosen in itertools.combinations(range(8), 4):
        found = roc_auc([int(place in chosen) for place in range(8)], range(8)).interval
        assert found.method == "newcombe"
        held += found.low <= 0.5 <= found.high
    assert held / 70 >= 0.94


@pytest.mark.parametrize("n", [1, 3, 30])
def test_complete_separation_is_no_certainty(n):
    found = roc_auc([0] * n + [1] * n, range(2 * n))
    assert (found.interval.value, found.interval.high, found.standard_error) == (1, 1, None)
    assert 0 < found.interval.low < 1
    mirrored = roc_auc([1] * n + [0] * n, range(2 * n)).interval
    assert (mirrored.value, mirrored.low) == (0, 0)
    assert mirrored.high == pytest.approx(1 - found.interval.low)


def test_scores_that_rank_alike_have_no_test():
    labels, scores = [0, 1, 0, 1, 1], [0.1, 0.4, 0.5, 0.6, 0.9]
    found = auc_difference(labels, scores, [10 * score for score in scores])
    assert (found.interval.value, found.interval.low, found.interval.high) == (0, None, None)
    assert (found.z, found.p_value) == (None, None)


def test_copies_in_a_cluster_add_no_certainty():
    numbers = np.random.default_rng(5)
    labels = numbers.integers(0, 2, 80)
    scores = numbers.normal(size=80) + labels
    names = np.repeat(np.arange(80), 4).tolist()
    once, fourfold = roc_auc(labels, scores), roc_auc(np.repeat(labels, 4), np.repeat(scores, 4), clusters=names)
    assert fourfold.interval.clusters == 80
    assert fourfold.standard_error == pytest.approx(once.standard_error)
    assert (fourfold.interval.low, fourfold.interval.high) == pytest.approx((once.interval.low, once.interval.high))
    naive = roc_auc(np.repeat(labels, 4), np.repeat(scores, 4))
    assert naive.standard_error < 0.6 * once.standard_error
    precise = average_precision(np.repeat(labels, 4), np.repeat(scores, 4), clusters=names)
    assert precise.low == pytest.approx(average_precision(labels, scores).low, abs=0.05)


def test_clusters_may_hold_both_classes():
    """Positive and negative of one cluster move together, which makes the AUC more certain, not less."""
    numbers = np.random.default_rng(8)
    shift = np.repeat(numbers.normal(size=60) * 3, 2)
    labels = np.tile([0, 1], 60)
    scores = shift + numbers.normal(size=120) * 0.3 + labels
    paired = roc_auc(labels, scores, clusters=np.repeat(np.arange(60), 2).tolist())
    assert paired.standard_error < 0.5 * roc_auc(labels, scores).standard_error


@pytest.mark.parametrize("call", [roc_auc, average_precision, lambda y, s: auc_difference(y, s, s)])
@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1, 1]])
def test_one_class_has_its_own_error(call, labels):
    with pytest.raises(OneClass, match="both classes"):
        call(labels, [0.5] * len(labels))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: roc_auc([0, 2], [1, 2]), "labels"),
        (lambda: roc_auc([0, None], [1, 2]), "labels"),
        (lambda: roc_auc(["0", "1"], [1, 2]), "labels"),
        (lambda: roc_auc([0, 1], [1]), "as many scores"),
        (lambda: roc_auc([0, 1], [1, math.nan]), "finite"),
        (lambda: roc_auc([0, 1], ["a", "b"]), "finite"),
        (lambda: roc_auc([0, 1], [1, 2], confidence=95), "confidence"),
        (lambda: roc_auc([0, 1], [1, 2], clusters=["a"]), "cluster names"),
        (lambda: brier([0, 1], [0.5, 1.5]), r"0\.\.1"),
        (lambda: brier([], []), "no samples"),
        (lambda: calibration_error([], []), "no samples"),
        (lambda: calibration_error([0, 1], [0.5, 1], bins=0), "at least one bin"),
        (lambda: reliability_diagram([0, 1], [0.5, 1], binning="size"), "width or equal mass"),
    ],
)
def test_what_is_no_data_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_average_precision_with_nothing_left_to_chance_has_no_bounds():
    found = average_precision([0, 0, 0, 1, 1, 1, 1, 1, 1, 1], range(10))
    assert (found.value, found.low, found.high) == (1, None, None)


@given(forecasts)
def test_the_brier_score_is_the_sum_of_its_parts(drawn):
    labels, values = split(drawn)
    found = brier(labels, values)
    assert found.interval.value == pytest.approx(np.mean((np.array(values) - labels) ** 2), abs=1e-12)
    if len(set(labels)) == 2:
        assert found.interval.value == pytest.approx(brier_score_loss(labels, values), abs=1e-12)
    parts = found.reliability - found.resolution + found.uncertainty
    assert found.interval.value == pytest.approx(parts, abs=1e-12)
    assert (found.within, found.groups) == (0, len(set(values)))
    assert found.interval == mean([(p - y) ** 2 for y, p in drawn])


@given(forecasts, st.integers(1, 12), st.sampled_from(["width", "mass"]))
def test_what_bins_hide_is_variance_less_twice_covariance(drawn, bins, binning):
    labels, values = split(drawn)
    found = brier(labels, values, bins=bins, binning=binning)
    hidden, start = 0.0, 0
    inside = [[] for _ in range(bins)]
    points = reliability_diagram(labels, values, bins, binning)
    for label, value in sorted(drawn, key=lambda pair: pair[1]):
        while (
            not points[start].n
            or value > points[start].high
            or (value == points[start].high < 1 and binning == "width")
        ):
            start += 1
        inside[start].append((label, value))
    for pairs in filter(None, inside):
        y, p = np.array(pairs).T
        hidden += len(pairs) * (p.var() - 2 * np.cov(p, y, bias=True)[0, 1])
    assert found.within == pytest.approx(hidden / len(drawn), abs=1e-12)


def test_the_brier_score_of_clusters_has_their_interval():
    labels, values, names = [0, 1, 1, 0, 1, 1], [0.2, 0.9, 0.6, 0.4, 0.5, 0.7], list("aabbcc")
    errors = (np.array(values) - labels) ** 2
    sums = [errors[:2].sum(), errors[2:4].sum(), errors[4:].sum()]
    found = brier(labels, values, clusters=names).interval
    assert (found.low, found.high) == pytest.approx(
        (clustered_mean([2] * 3, sums).low, clustered_mean([2] * 3, sums).high)
    )


@given(forecasts, st.integers(1, 12))
def test_bins_of_equal_width_agree_with_the_definition(drawn, bins):
    labels, values = split(drawn)
    points = reliability_diagram(labels, values, bins)
    assert [(point.low, point.high) for point in points] == [(k / bins, (k + 1) / bins) for k in range(bins)]
    error = 0.0
    for point in points:
        inside = [(y, p) for y, p in drawn if point.low <= p < point.high or p == point.high == 1]
        assert point.n == len(inside)
        assert point.observed == wilson(sum(y for y, _ in inside), len(inside))
        error += abs(sum(y - p for y, p in inside)) / len(drawn)
        assert point.probability == (pytest.approx(np.mean([p for _, p in inside])) if inside else None)
    found = calibration_error(labels, values, bins, resamples=100)
    assert found.error == pytest.approx(error, abs=1e-12)
    assert found.bins == points


@given(st.integers(1, 8), st.integers(1, 6), st.randoms())
def test_bins_of_equal_mass_are_equal_where_nothing_ties(bins, each, shuffle):
    values = [(k + 0.5) / (bins * each) for k in range(bins * each)]
    shuffle.shuffle(values)
    points = reliability_diagram([1] * len(values), values, bins, "mass")
    assert [point.n for point in points] == [each] * bins
    assert [point.low for point in points] == sorted(values)[::each]


@given(forecasts, st.integers(1, 8))
def test_equal_probabilities_share_a_bin(drawn, bins):
    labels, values = split(drawn)
    points = reliability_diagram(labels, values, bins, "mass")
    assert sum(point.n for point in points) == len(values)
    assert all(one.high < other.low for one, other in itertools.pairwise(points))


def test_true_probabilities_have_an_error_of_chance_and_false_ones_more():
    numbers = np.random.default_rng(11)
    values = numbers.random(400)
    labels = (numbers.random(400) < values).astype(int)
    for binning in ("width", "mass"):
        true, false = calibration_error(labels, values, binning=binning), calibration_error(labels, values**3)
        assert true.error == pytest.approx(true.chance, rel=0.6)
        assert true.p_value > 0.01
        assert false.p_value < 0.01 < false.error - false.chance


def test_the_test_of_calibration_holds_its_level():
    numbers, runs, rejected = np.random.default_rng(12), 300, 0
    for run in range(runs):
        values = numbers.beta(2, 1, 60)
        labels = (numbers.random(60) < values).astype(int)
        rejected += calibration_error(labels, values, 5, resamples=199, seed=run).p_value <= 0.1
    assert rejected / runs == pytest.approx(0.1, abs=0.055)


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_one_seed_gives_one_answer(seed):
    labels, values = [0, 1, 1, 0, 1, 0, 1], [0.1, 0.7, 0.4, 0.5, 0.6, 0.2, 0.9]
    for call in (average_precision, calibration_error):
        one, other = (call(labels, values, resamples=100, seed=seed) for _ in range(2))
        assert one == other


@pytest.mark.parametrize(("positives", "negatives", "apart"), [(4, 60, 1), (12, 12, 1), (30, 80, 2)])
def test_coverage_of_auc_is_as_promised(positives, negatives, apart):
    numbers, runs, held = np.random.default_rng(positives), 600, 0
    truth = stats.norm.cdf(apart / math.sqrt(2))
    labels = [0] * negatives + [1] * positives
    for _ in range(runs):
        scores = np.concatenate([numbers.normal(size=negatives), numbers.normal(size=positives) + apart])
        found = roc_auc(labels, scores).interval
        held += found.low <= truth <= found.high
    assert 0.92 <= held / runs <= 0.99


def test_the_paired_test_holds_its_level():
    numbers, runs, rejected = np.random.default_rng(14), 600, 0
    for _ in range(runs):
        labels = np.repeat([0, 1], 40)
        shared = numbers.normal(size=80) + labels
        one, other = shared + numbers.normal(size=80), shared + numbers.normal(size=80)
        rejected += auc_difference(labels, one, other).p_value < 0.05
    assert rejected / runs == pytest.approx(0.05, abs=0.03)


def test_coverage_of_average_precision_is_as_promised():
    numbers, runs, held = np.random.default_rng(15), 200, 0
    large = np.repeat([0, 1], [700_000, 300_000])
    truth = average_precision_score(large, numbers.normal(size=1_000_000) + large)
    for run in range(runs):
        labels = (numbers.random(150) < 0.3).astype(int)
        found = average_precision(labels, numbers.normal(size=150) + labels, resamples=300, seed=run)
        held += found.low <= truth <= found.high
    assert 0.89 <= held / runs <= 0.99
