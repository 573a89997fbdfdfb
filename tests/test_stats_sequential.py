import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.exact import NoValues
from assay.stats.power import samples_for
from assay.stats.sequential import SHARES, ConfidenceSequence

blocks = st.lists(
    st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.0, 0.2, 1.0]), min_size=1, max_size=30), min_size=1, max_size=6
)


def outcomes(numbers, n, discordance, delta):
    return numbers.choice(
        [-1.0, 0.0, 1.0], n, p=[(discordance - delta) / 2, 1 - discordance, (discordance + delta) / 2]
    )


def followed(values, block, margin):
    """Look after each block; (samples used, 'accept', 'regression' or None)."""
    sequence = ConfidenceSequence()
    for start in range(0, len(values), block):
        seen = sequence.add(values[start : start + block])
        if seen.low > -margin:
            return seen.n, "accept"
        if seen.high < -margin:
            return seen.n, "regression"
    return len(values), None


@given(blocks)
def test_the_bounds_only_ever_tighten(parts):
    sequence, low, high = ConfidenceSequence(), -1.0, 1.0
    for part in parts:
        seen = sequence.add(part)
        assert seen.low >= low
        assert seen.high <= high
        low, high = seen.low, seen.high
    everything = [value for part in parts for value in part]
    assert seen.n == len(everything)
    assert seen.value == pytest.approx(np.mean(everything))


@given(blocks, st.randoms())
def test_the_order_inside_a_block_changes_no_bit_and_swapping_mirrors(parts, shuffler):
    one, other, mirrored = ConfidenceSequence(), ConfidenceSequence(), ConfidenceSequence()
    for part in parts:
        shuffled = list(part)
        shuffler.shuffle(shuffled)
        seen = one.add(part)
        assert other.add(shuffled) == seen
        swapped = mirrored.add([-value for value in shuffled])
        assert (swapped.low, swapped.high, swapped.value) == (-seen.high, -seen.low, -seen.value)


def test_the_bound_is_where_the_money_reaches_its_goal():
    """The definition itself, multiplied out value by value."""
    values = [0.0] * 60 + [1.0] * 6 + [-1.0] * 2
    low = ConfidenceSequence().add(values).low

    def money(mean):
        return np.mean([math.prod(1 + c * (x - mean) / (1 + mean) for x in values) for c in SHARES])

    assert money(low) == pytest.approx(20, rel=1e-4)
    assert money(low - 0.01) > 20 > money(low + 0.01)


def test_no_bet_gains_on_average_if_the_mean_is_the_mean():
    for x, chances in (([-1, 0, 1], [0.3, 0.5, 0.2]), ([-1, 1], [0.9, 0.1]), ([-0.3, 0.8], [0.7, 0.3])):
        mean = float(np.dot(x, chances))
        for share in SHARES:
            assert np.dot(chances, 1 + share * (np.array(x) - mean) / (1 + mean)) == pytest.approx(1)


def test_never_seen_to_differ_is_not_known_to_be_equal():
    sequence = ConfidenceSequence()
    few, many = sequence.add([0.0] * 10), sequence.add([0.0] * 990)
    assert few.low < -0.3
    assert -0.01 < many.low < 0 < many.high < 0.01


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_every_value_at_the_end_of_the_scale(value):
    seen = ConfidenceSequence().add([value] * 30)
    assert seen.low < seen.high
    assert seen.low <= value <= seen.high


def test_before_any_value_everything_is_open():
    seen = ConfidenceSequence(scale=2).bounds()
    assert (seen.n, seen.low, seen.high) == (0, -2, 2)
    assert math.isnan(seen.value)


def test_a_scale_stretches_the_bounds():
    values = [0.5, -1.0, 0.0, 1.0] * 20
    one, ten = ConfidenceSequence().add(values), ConfidenceSequence(scale=10).add([10 * value for value in values])
    assert (ten.low, ten.high) == pytest.approx((10 * one.low, 10 * one.high))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ConfidenceSequence(0.5), "alpha"),
        (lambda: ConfidenceSequence(scale=math.inf), "scale"),
        (lambda: ConfidenceSequence().add([0.0, 1.5]), r"values\[1\]"),
        (lambda: ConfidenceSequence().add([math.nan]), r"values\[0\]"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_a_refused_block_is_not_counted():
    sequence = ConfidenceSequence()
    before = sequence.add([0.0, 1.0])
    for block in ([0.0, math.nan], [5.0]):
        with pytest.raises(ValueError, match="values"):
            sequence.add(block)
    with pytest.raises(NoValues):
        sequence.add([])
    assert sequence.bounds() == before


@pytest.mark.parametrize(("discordance", "delta"), [(0.1, -0.03), (0.031, -0.03), (0.3, -0.03)])
def test_at_the_margin_stopping_at_will_errs_less_than_alpha_on_either_side(discordance, delta):
    """Looked at after every 50 of 1500 samples, stopped at the first decision: at the margin, either one is wrong."""
    numbers, runs = np.random.default_rng(2), 250
    found = [followed(outcomes(numbers, 1500, discordance, delta), 50, 0.03)[1] for _ in range(runs)]
    slack = 2.6 * math.sqrt(0.05 * 0.95 / runs)
    assert found.count("accept") / runs < 0.05 + slack
    assert found.count("regression") / runs < 0.05 + slack


def test_under_no_difference_the_bounds_hold_zero_at_every_look_at_once():
    numbers, runs, lost = np.random.default_rng(4), 250, 0
    for _ in range(runs):
        sequence, values = ConfidenceSequence(), outcomes(numbers, 1000, 0.2, 0)
        seen = [sequence.add(values[start : start + 40]) for start in range(0, 1000, 40)]
        lost += any(each.low > 0 for each in seen)
    assert lost / runs < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)


def test_clear_cases_take_a_fraction_of_the_samples_and_close_ones_more():
    """Margin 3 points, against the fixed plan that decides with 80 % power if the two are equal."""
    numbers = np.random.default_rng(3)

    def average(discordance, delta, n, verdict):
        stops = [followed(outcomes(numbers, n, discordance, delta), 25, 0.03) for _ in range(60)]
        assert sum(found == verdict for _, found in stops) >= 57
        return np.mean([used for used, _ in stops])

    fixed_wide, fixed = samples_for(0.03, 0.2), samples_for(0.03, 0.1)
    assert average(0.2, -0.15, fixed_wide, "regression") < 0.2 * fixed_wide
    assert average(0.1, 0.05, 2 * fixed, "accept") < 0.4 * fixed
    assert 1.2 * fixed < average(0.1, 0.0, 5 * fixed, "accept") < 1.8 * fixed  # the price of looking at will
