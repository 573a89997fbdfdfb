import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats import passk
from assay.stats.bootstrap import Units, bounds
from assay.stats.intervals import rate
from assay.stats.passk import mean_pass_at_k, pass_at_k

problems = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)  # attempts, passes, k


@given(st.integers(1, 8), st.data())
def test_it_is_the_share_of_subsets_that_hold_a_pass(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k([n], [c], k)[0] == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-14)


@pytest.mark.parametrize("n", [100, 9_999, 10_000])
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("c", [0, 1, 2, 50, 99, 100])
def test_it_is_the_papers_formula_to_ten_digits(n, k, c):
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k([n], [c], k)[0] == pytest.approx(float(exact), rel=1e-10)


@given(problems)
def test_it_lies_in_0_to_1_and_is_the_rate_for_k_of_1(problem):
    n, c, k = problem
    value = pass_at_k([n], [c], k)[0]
    assert 0 <= value <= 1
    assert (value == 0) == (c == 0)
    assert pass_at_k([n], [c], 1)[0] == pytest.approx(c / n, rel=1e-12)


def test_problems_may_have_different_numbers_of_attempts():
    expected = [0.0, 1 - Fraction(math.comb(3, 2), math.comb(4, 2)), 1.0]
    assert pass_at_k([3, 4, 5], [0, 1, 4], 2) == pytest.approx([float(value) for value in expected])


def test_problems_with_too_few_attempts_are_an_error_and_counted():
    with pytest.raises(ValueError, match=r"pass@5 needs 5 attempts a problem; 2 of 3 problems have fewer"):
        mean_pass_at_k([4, 5, 1], [1, 1, 1], 5)


@pytest.mark.parametrize(
    ("counts", "passes", "k"), [([1], [2], 1), ([1], [-1], 1), ([1], [1], 0), ([1, 1], [1], 1), ([[1]], [[1]], 1)]
)
def test_nonsense_is_refused(counts, passes, k):
    with pytest.raises(ValueError):
        pass_at_k(counts, passes, k)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95])
@pytest.mark.parametrize("passes", [[5] * 20, [1, 4] * 10])
def test_a_confidence_lies_between_0_and_1(confidence, passes):
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_pass_at_k([5] * 20, passes, 2, confidence)


def test_one_attempt_a_problem_is_a_rate():
    for passed in (0, 7, 40):
        assert mean_pass_at_k([1] * 40, [1] * passed + [0] * (40 - passed), 1) == rate(passed, 40)


def test_no_problems_have_no_value():
    assert mean_pass_at_k([], [], 1).value is None


@pytest.mark.parametrize("passes", [[0] * 12, [5] * 12, [2] * 12, [5] * 11 + [4], [0] * 11 + [1], [3]])
def test_little_variation_is_never_taken_for_certainty(passes):
    found = mean_pass_at_k([5] * len(passes), passes, 2)
    assert found.method == "clopper-pearson"
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 0.2
    assert (found.n, found.clusters) == (5 * len(passes), len(passes))


def test_all_or_nothing_is_bounded_as_so_many_tries():
    for passes, k in ((0, 1), (10, 1), (10, 5)):
        found, same = mean_pass_at_k([10] * 30, [passes] * 30, k), rate(30 * (passes > 0), 30)
        assert (found.low, found.high) == pytest.approx((same.low, same.high))


def test_equal_arguments_give_equal_bounds_and_another_seed_nearly_the_same():
    counts, passes = [20] * 100, [number % 21 for number in range(100)]
    found = [mean_pass_at_k(counts, passes, 5, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0].low != found[2].low
    assert found[0].low == pytest.approx(found[2].low, abs=0.01)
    assert found[0].method == "bootstrap-bca"


def test_more_confidence_is_a_wider_interval():
    counts, passes = [10] * 60, [number % 11 for number in range(60)]
    narrow, wide = (mean_pass_at_k(counts, passes, 3, confidence) for confidence in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


TRIALS = 300
LEAST = 0.95 - 3 * math.sqrt(0.95 * 0.05 / TRIALS)
"""Three standard errors of the simulation below what is claimed."""

WORLDS = [
    # problems, attempts, k, how often attempts pass: Beta(a, b)
    (30, 5, 1, 0.1, 2),
    (30, 20, 10, 5, 1),
    (80, 10, 5, 5, 0.3),
    (164, 5, 1, 0.05, 5),
    (164, 10, 10, 0.3, 0.3),
    (164, 20, 10, 0.05, 5),
    (30, 5, 1, 2, 2),
    (80, 20, 10, 0.1, 2),
    (164, 5, 1, 5, 1),
    (30, 20, 10, 2, 2),  # nearly all are nearly 1, and one or two that are not decide
    (164, 200, 100, 2, 2),
]


def _draw(world, generator):
    size, n, _, a, b = world
    return [n] * size, generator.binomial(n, generator.beta(a, b, size)).tolist()


def _truth(world):
    """E[1 - (1-p)^k] for p ~ Beta(a, b): 1 - B(a, b+k)/B(a, b)."""
    _, _, k, a, b = world
    log = math.lgamma(b + k) + math.lgamma(a + b) - math.lgamma(b) - math.lgamma(a + b + k)
    return 1 - math.exp(log)


@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_holds_the_truth_as_often_as_it_claims(world, monkeypatch):
    monkeypatch.setattr(passk, "RESAMPLES", 1000)
    generator, truth = np.random.default_rng(7), _truth(world)
    held = 0
    for _ in range(TRIALS):
        found = mean_pass_at_k(*_draw(world, generator), world[2])
        held += found.low <= truth + 1e-12 and truth <= found.high + 1e-12
    assert held / TRIALS >= LEAST


def test_plain_percentiles_hold_it_less_often_where_most_problems_are_hard():
    """Why BCa: the same resamples, read at 2.5 and 97.5 %, against the bounds that are used."""
    world = (50, 5, 1, 0.1, 2)
    generator, truth = np.random.default_rng(1), _truth(world)
    plain = ours = 0
    for _ in range(400):
        counts, passes = _draw(world, generator)
        values = pass_at_k(counts, passes, 1)
        if not values.any():
            continue  # no bootstrap has bounds here
        drawn = [weights @ values / len(values) for weights in Units.alone(len(values)).draws(600, 0)]
        low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975])
        plain += low <= truth <= high
        found = bounds(lambda weights, values=values: weights @ values / len(values), Units.alone(50), resamples=600)
        ours += found.low <= truth <= found.high
    assert plain + 8 < ours
