import itertools
import math
from fractions import Fraction

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from assay.stats.intervals import clopper_pearson, clustered_rate, rate
from assay.stats.raters import bias, cohen_kappa, exact_agreement, krippendorff_alpha

N = None
METRICS = ["nominal", "ordinal", "interval", "ratio"]

BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
NOMINAL = [list("aabbdcccedda"), list("babbbccceddd")]
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""The data of Krippendorff 2011, sections A (two observers, binary), B (nominal) and C (four, some missing)."""

levels = st.integers(0, 4)
tables = st.integers(2, 4).flatmap(
    lambda raters: st.integers(2, 12).flatmap(
        lambda units: st.lists(
            st.lists(st.one_of(st.none(), levels), min_size=units, max_size=units), min_size=raters, max_size=raters
        )
    )
)
pairs = st.lists(st.tuples(levels, levels), min_size=1, max_size=30)


def alpha(ratings, **options):
    return krippendorff_alpha(ratings, resamples=100, **options).interval.value


def kappa(first, second, **options):
    return cohen_kappa(first, second, resamples=100, **options).interval.value


@pytest.mark.parametrize(
    ("ratings", "metric", "published"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (FOUR, "nominal", 0.743),
        (FOUR, "ordinal", 0.815),
        (FOUR, "interval", 0.849),
        (FOUR, "ratio", 0.797),
    ],
)
def test_alpha_of_the_published_examples(ratings, metric, published):
    found = krippendorff_alpha(ratings, metric=metric)
    assert round(found.interval.value, 3) == published
    assert found.interval.low < found.interval.value


def test_a_unit_with_one_rating_is_left_out_and_counted():
    found = krippendorff_alpha(FOUR)
    assert (found.units, found.excluded, found.interval.n) == (11, 1, 11)


@pytest.mark.parametrize("metric", METRICS)
def test_alpha_agrees_with_another_implementation(metric):
    numbers = np.random.default_rng(1)
    for _ in range(25):
        table = numbers.integers(0, 6, (4, 15)).astype(float)
        table[numbers.random(table.shape) < 0.3] = np.nan
        theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=metric)
        assert alpha(table.tolist(), metric=metric) == pytest.approx(theirs, abs=1e-12)


def test_many_distinct_values_are_handled_as_few_are():
    numbers = np.random.default_rng(2)
    table = numbers.normal(5, 1, (3, 60))
    for metric in ("ordinal", "interval"):
        theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=metric)
        assert alpha(table.tolist(), metric=metric) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("weights", ["none", "linear", "quadratic"])
@given(pairs)
def test_kappa_agrees_with_scikit_learn(weights, drawn):
    first, second = map(list, zip(*drawn, strict=True))
    ours = kappa(first, second, weights=weights, scale=range(5))
    if len({*first, *second}) == 1:
        assert ours is None
    else:
        theirs = cohen_kappa_score(first, second, weights=None if weights == "none" else weights, labels=range(5))
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_kappa_of_a_textbook_table():
    """20 and 15 agreed, 5 and 10 not: (0.7 - 0.5) / (1 - 0.5)."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(first, second) == pytest.approx(0.4)


def test_an_unused_level_still_holds_its_place():
    first, second = [1, 1, 5, 5, 2], [1, 5, 5, 5, 1]
    assert kappa(first, second, weights="quadratic", scale=[1, 2, 3, 4, 5]) != kappa(
        first, second, weights="quadratic", scale=[1, 2, 5]
    )
    with pytest.raises(ValueError, match="scale"):
        kappa(first, second, weights="quadratic")


@given(tables, st.sampled_from(METRICS), st.randoms())
@settings(max_examples=60)
def test_the_order_of_raters_and_of_units_does_not_matter(ratings, metric, shuffle):
    order = [*range(len(ratings[0]))]
    shuffle.shuffle(order)
    moved = [[row[unit] for unit in order] for row in ratings[::-1]]
    one, other = alpha(ratings, metric=metric), alpha(moved, metric=metric)
    assert one == (None if other is None else pytest.approx(other, abs=1e-12))


@given(tables, st.permutations(range(5)))
@settings(max_examples=60)
def test_names_of_categories_do_not_matter(ratings, renamed):
    other = [[None if value is None else "pqrst"[renamed[value]] for value in row] for row in ratings]
    one, two = krippendorff_alpha(ratings, resamples=100), krippendorff_alpha(other, resamples=100)
    assert (one.units, one.excluded, one.reason) == (two.units, two.excluded, two.reason)
    assert one.interval.value == (None if two.interval.value is None else pytest.approx(two.interval.value, abs=1e-12))


@given(tables)
@settings(max_examples=60)
def test_the_scale_may_be_moved_stretched_or_bent_as_far_as_the_metric_allows(ratings):
    def changed(function):
        return [[None if value is None else function(value) for value in row] for row in ratings]

    for metric, function in (
        ("ordinal", lambda x: math.exp(x)),
        ("interval", lambda x: 1e4 - 3 * x),
        ("ratio", lambda x: 7 * x),
    ):
        one, other = alpha(ratings, metric=metric), alpha(changed(function), metric=metric)
        assert one == (None if other is None else pytest.approx(other, abs=1e-9))


@given(pairs)
def test_kappa_is_symmetric(drawn):
    first, second = map(list, zip(*drawn, strict=True))
    assert kappa(first, second) == kappa(second, first)


def test_small_tables_agree_with_the_definition():
    """Every pair of raters' ratings of two units on three levels, in exact arithmetic."""
    for first in itertools.product(range(3), repeat=2):
        for second in itertools.product(range(3), repeat=2):
            values = [*first, *second]
            observed = Fraction(sum(2 * (a != b) for a, b in zip(first, second, strict=True)), 4)
            expected = Fraction(sum(a != b for a, b in itertools.permutations(values, 2)), 12)
            found = alpha([list(first), list(second)])
            assert found == (None if expected == 0 else pytest.approx(float(1 - observed / expected)))


@pytest.mark.parametrize("size", [1, 10])
def test_one_category_alone_is_no_agreement(size):
    for found in (
        cohen_kappa([3] * size, [3] * size),
        cohen_kappa([3] * size, [3] * size, weights="linear", scale=range(5)),
        *(krippendorff_alpha([[3] * size, [3] * size], metric=metric) for metric in METRICS),
        krippendorff_alpha([[0] * size, [0] * size], metric="ratio"),
        krippendorff_alpha([[0.1] * size, [0.1] * size], metric="interval"),
    ):
        assert (found.interval.value, found.interval.low, found.interval.high) == (None, None, None)
        assert "same" in found.reason


def test_nothing_in_common_has_no_value():
    for found in (
        cohen_kappa([], []),
        cohen_kappa([1, N], [N, 1]),
        krippendorff_alpha([[1, N], [N, math.nan]]),
        exact_agreement([[1, N], [N, 1]]),
    ):
        assert (found.interval.value, found.interval.low, found.units) == (None, None, 0)
        assert found.reason == "no unit has two ratings"


def test_one_unit_has_a_value_and_no_bounds():
    for found in (cohen_kappa([1], [2]), krippendorff_alpha([[1, 1], [2, N]])):
        assert (found.interval.value, found.interval.low, found.interval.high) == (0, None, None)
        assert "one unit" in found.reason


@pytest.mark.parametrize("n", [4, 20, 200])
def test_perfect_agreement_leaves_open_what_its_number_leaves_open(n):
    first = [0, 1] * (n // 2)
    found = cohen_kappa(first, first).interval
    assert (found.value, found.high, found.method) == (1, 1, "exact-disagreement")
    assert found.low == pytest.approx(max(-1, 1 - 2 * clopper_pearson(0, n).high))
    assert krippendorff_alpha([first, first]).interval.low < 1


def test_agreement_in_a_few_clusters_leaves_more_open():
    first = [0, 1] * 50
    alone, clustered = (cohen_kappa(first, first, clusters=names) for names in (None, [i // 10 for i in range(100)]))
    assert clustered.interval.clusters == 10
    assert clustered.interval.low < alone.interval.low
    assert cohen_kappa(first, first, clusters=["a"] * 100).interval.low is None


def test_copies_of_a_unit_in_a_cluster_add_no_certainty():
    numbers = np.random.default_rng(6)
    first = numbers.integers(0, 3, 60).tolist()
    second = [value if numbers.random() < 0.7 else 2 - value for value in first]
    once = krippendorff_alpha([first, second], metric="ordinal")
    names = [unit for unit in range(60) for _ in range(5)]
    fivefold = krippendorff_alpha(
        [np.repeat(first, 5).tolist(), np.repeat(second, 5).tolist()], metric="ordinal", clusters=names
    )
    assert fivefold.interval.clusters == 60
    assert fivefold.interval.low == pytest.approx(once.interval.low, abs=0.06)
    assert fivefold.interval.high == pytest.approx(once.interval.high, abs=0.06)


def test_a_category_that_resamples_lose_is_counted():
    found = cohen_kappa([0] * 30 + [1], [0] * 30 + [1])
    assert found.undefined > 0
    assert found.interval.value == 1
    assert found.interval.low < 0.1


def test_exact_agreement_is_a_rate():
    assert exact_agreement(FOUR).interval == rate(8, 11)
    assert exact_agreement([[1] * 9, [1] * 9]).interval == rate(9, 9)
    names = [unit // 2 for unit in range(12)]
    assert exact_agreement(BINARY, clusters=names[:10]).interval == clustered_rate([2] * 5, [1, 1, 1, 2, 1])


def test_bias_is_the_mean_distance_from_the_others():
    found = bias([[3, 4, 5, N], [1, 2, 4, 5], [2, 2, 4, 5]])
    assert [one.interval.value for one in found] == pytest.approx([(1.5 + 2 + 1) / 3, -(1.5 + 1 + 0.5) / 4, -1.5 / 4])
    assert [(one.rater, one.units, one.excluded) for one in found] == [(0, 3, 1), (1, 4, 0), (2, 4, 0)]


def test_bias_against_a_reference_leaves_it_out():
    judge, person = [4, 5, 3, 4, 2, N], [3, 4, 3, 2, 2, 1]
    (found,) = bias([judge, person], reference=1)
    assert (found.rater, found.interval.value, found.units, found.excluded) == (0, pytest.approx(0.8), 5, 1)
    assert found.interval.low < 0.8 < found.interval.high


def test_a_bias_that_never_varies_has_no_bounds():
    (found,) = bias([[2, 3, 4], [1, 2, 3]], reference=1)
    assert (found.interval.value, found.interval.low, found.interval.high) == (1, None, None)
    assert "same value" in found.reason


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: krippendorff_alpha([[1, 2]]), "two rows"),
        (lambda: krippendorff_alpha([[1, 2], [1]]), "equal length"),
        (lambda: krippendorff_alpha([["a"], ["b"]], metric="interval"), "numbers"),
        (lambda: krippendorff_alpha([["a"], ["b"]], metric="ordinal"), "numbers"),
        (lambda: krippendorff_alpha([[1], [math.inf]], metric="interval"), "finite"),
        (lambda: krippendorff_alpha([[1], [10**400]], metric="interval"), "up to 1e"),
        (lambda: krippendorff_alpha([[1], [-1]], metric="ratio"), "zero or more"),
        (lambda: krippendorff_alpha([[1], [2]], metric="cubic"), "cubic"),
        (lambda: krippendorff_alpha([[1], [2]], metric="interval", scale=[1, 2]), "no scale"),
        (lambda: krippendorff_alpha([[1], [2]], clusters=["a", "b"]), "cluster names"),
        (lambda: cohen_kappa([1], [6], scale=range(5)), "not on the scale"),
        (lambda: cohen_kappa([1], [1], scale=[1, 1]), "twice"),
        (lambda: cohen_kappa([1], [1], weights="cubic"), "cubic"),
        (lambda: cohen_kappa([1, 2], [1, 2], confidence=95), "confidence"),
        (lambda: bias([["a"], ["b"]]), "numbers"),
        (lambda: bias([[1], [2]], reference=2), "reference"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_arrays_are_ratings_too():
    table = np.random.default_rng(1).integers(0, 4, (3, 12))
    for metric in METRICS:
        assert krippendorff_alpha(table, metric=metric) == krippendorff_alpha(table.tolist(), metric=metric)
    assert cohen_kappa(table[0], table[1]) == cohen_kappa(table[0].tolist(), table[1].tolist())


def test_whole_numbers_that_are_one_float_are_one_value():
    assert alpha([[2**53, 1], [2**53 + 1, 1]], metric="interval") == 1


def test_an_ordinal_scale_may_be_words():
    words = ["poor", "fair", "good"]
    named = [[words[value] for value in row] for row in ([0, 1, 2, 2, 1], [0, 2, 2, 1, 1])]
    assert alpha(named, metric="ordinal", scale=words) == alpha([[0, 1, 2, 2, 1], [0, 2, 2, 1, 1]], metric="ordinal")


@pytest.mark.parametrize(("units", "noise"), [(50, 0.05), (50, 0.2), (200, 0.1)])
def test_coverage_of_weighted_kappa_is_as_promised(units, noise):
    """The second rater rolls dice now and then, so that kappa is one minus how often."""
    numbers, runs, held = np.random.default_rng(units), 300, 0
    for run in range(runs):
        first = numbers.integers(0, 5, units)
        second = np.where(numbers.random(units) < noise, numbers.integers(0, 5, units), first)
        found = cohen_kappa(
            first.tolist(), second.tolist(), weights="quadratic", scale=range(5), resamples=400, seed=run
        ).interval
        held += found.low <= 1 - noise <= found.high
    assert 0.91 <= held / runs <= 0.995


def test_coverage_of_alpha_is_as_promised():
    numbers, runs, held = np.random.default_rng(9), 300, 0
    for run in range(runs):
        truth = numbers.integers(0, 4, 40)
        table = np.where(numbers.random((3, 40)) < 0.2, numbers.integers(0, 4, (3, 40)), truth)
        found = krippendorff_alpha(table.tolist(), resamples=400, seed=run).interval
        held += found.low <= 0.8**2 <= found.high
    assert 0.91 <= held / runs <= 0.99
