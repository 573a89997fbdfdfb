import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial, norm
from statsmodels.stats.contingency_tables import mcnemar as reference

from assay.stats.exact import NoValues, exact, non_inferior
from assay.stats.paired import PairedTable, difference, drop, mcnemar, newcombe, p_value, score, tango

tables = st.builds(PairedTable, *[st.integers(0, 60)] * 3, st.integers(1, 60))
alphas = st.sampled_from([0.005, 0.025, 0.05, 0.1])


def of(both, won, lost, neither):
    """In the order of the papers: a, b, c, d with b - c over n as the difference."""
    return PairedTable(both, lost, won, neither)


def test_a_table_is_counted_from_outcomes():
    table = PairedTable.of([1, 1, 0, 0, True], [1, 0, 1, 0, False])
    assert (table.both, table.lost, table.won, table.neither) == (1, 2, 1, 1)
    assert (table.n, table.discordant, table.delta) == (5, 3, Fraction(-1, 5))
    assert (table.baseline, table.candidate) == (Fraction(3, 5), Fraction(2, 5))
    assert table.mirrored == PairedTable(1, 1, 2, 1)


@pytest.mark.parametrize(
    ("baseline", "candidate", "named"),
    [
        ([1, math.nan], [1, 1], r"baseline\[1\]"),
        ([1, 1], [1, 0.5], r"candidate\[1\]"),
        ([1, None], [1, 1], r"baseline\[1\]"),
        ([1], [1, 0], "longer"),
    ],
)
def test_outcomes_that_are_not_right_or_wrong_are_refused(baseline, candidate, named):
    with pytest.raises(ValueError, match=named):
        PairedTable.of(baseline, candidate)


@pytest.mark.parametrize("counts", [(-1, 0, 0, 2), (1.0, 0, 0, 1), (True, 0, 0, 1), (0, 0, math.nan, 1)])
def test_counts_are_whole_numbers(counts):
    with pytest.raises(ValueError, match="whole number"):
        PairedTable(*counts)


def test_none_of_none_is_an_error_of_its_own_type():
    for make in (lambda: PairedTable(0, 0, 0, 0), lambda: PairedTable.of([], [])):
        with pytest.raises(NoValues, match="no pairs"):
            make()
    with pytest.raises(NoValues, match="relative"):
        drop(PairedTable(0, 0, 3, 7), relative=True)


def test_a_drop_of_exactly_the_margin_is_a_drop_of_the_margin():
    """900 baselines of 1000 samples, each dropping by exactly one point: floats get most of them wrong."""
    wrong = 0
    for right in range(10, 910):
        table = PairedTable(right - 10, 10, 0, 1000 - right)
        assert drop(table) == exact(0.01, "margin")
        assert drop(table, relative=True) == Fraction(10, right)
        wrong += (right / 1000 - (right - 10) / 1000) > 0.01
    assert wrong > 300


@given(tables, st.sampled_from(["less", "greater", "two-sided"]))
def test_mcnemar_agrees_with_scipy_and_statsmodels(table, alternative):
    found, n, won = mcnemar(table, alternative), table.discordant, table.won
    if not n:
        assert found.exact == 1
        assert found.mid_p == (1 if alternative == "two-sided" else 0.5)
        return
    assert found.exact == pytest.approx(binomtest(won, n, 0.5, alternative).pvalue, rel=1e-12)
    half = binom.pmf(won, n, 0.5) * (1 if alternative == "two-sided" else 0.5)
    if alternative != "two-sided" or table.won != table.lost:
        assert found.mid_p == pytest.approx(found.exact - half, rel=1e-9)
    if alternative == "two-sided":
        rows = [[table.both, table.lost], [table.won, table.neither]]
        assert found.exact == pytest.approx(reference(rows, exact=True).pvalue, rel=1e-12)


def test_mcnemar_of_published_tables():
    """Fagerland, Lydersen and Laake 2013, table 1 (airway hyper-responsiveness): 0.070 and 0.039."""
    found = mcnemar(of(1, 1, 7, 12))
    assert (found.exact, found.mid_p) == (0.0703125, 0.0390625)


def test_mcnemar_of_many_pairs_and_of_no_known_alternative():
    many = mcnemar(PairedTable(0, 500_600, 499_400, 0), "less")
    assert many.exact == pytest.approx(binom.cdf(499_400, 1_000_000, 0.5), rel=1e-9)
    with pytest.raises(ValueError, match="alternative"):
        mcnemar(PairedTable(1, 1, 1, 1), "worse")


@pytest.mark.parametrize(
    ("table", "alpha", "bounds", "source"),
    [
        ((4, 9, 3, 16), 0.025, (-0.027, 0.390), "Tango 1998"),
        ((43, 0, 1, 0), 0.05, (-0.096, 0.037), "Tango 1998"),
        ((53, 16, 8, 9), 0.025, (-0.020, 0.207), "Agresti and Min 2005"),
        ((1, 1, 7, 12), 0.025, (-0.517, -0.026), "Fagerland, Lydersen and Laake 2014"),
        ((8, 3, 1, 2), 0.025, (-0.167, 0.433), "Tang, Li and Tang 2010"),
        ((7, 25, 2, 68), 0.025, (0.139, 0.321), "Chang and others 2024"),
    ],
)
def test_published_intervals_of_tango(table, alpha, bounds, source):
    for method in (tango, difference):
        found = method(of(*table), alpha)
        assert (round(found.low, 3), round(found.high, 3)) == bounds, source


@pytest.mark.parametrize(
    ("table", "bounds", "source"),
    [
        ((20, 12, 2, 16), (0.0562, 0.3292), "Newcombe 1998, table II"),
        ((36, 12, 2, 0), (0.0569, 0.3404), "Newcombe 1998, table III"),
        ((8, 3, 1, 2), (-0.1574, 0.4136), "Tang, Li and Tang 2010"),
        ((14, 5, 0, 22), (0.0115, 0.2265), "Altman and others 2000, p. 52: 0.01 to 0.23"),
    ],
)
def test_published_intervals_of_newcombe(table, bounds, source):
    found = newcombe(of(*table), 0.025)
    assert (round(found.low, 4), round(found.high, 4)) == bounds, source


@given(tables, alphas)
def test_the_bounds_are_where_the_score_test_turns(table, alpha):
    found, z = tango(table, alpha), norm.ppf(1 - alpha)
    for bound, sign in ((found.low, 1), (found.high, -1)):
        if -1 < bound < 1:
            assert sign * score(table.lost, table.won, table.n, bound) == pytest.approx(z, abs=1e-6)
    assert -1 <= found.low <= table.delta <= found.high <= 1
    assert found.low < found.high


def test_the_score_statistic_maximises_the_likelihood():
    """The nuisance rate behind it, against a search by brute force."""
    lost, won, n, delta = 7, 12, 60, -0.1
    rates = np.linspace(1e-6 - min(0, delta), (1 - delta) / 2 - 1e-6, 400_001)
    likelihood = lost * np.log(rates) + won * np.log(rates + delta) + (n - lost - won) * np.log(1 - 2 * rates - delta)
    best = rates[np.nanargmax(likelihood)]
    expected = (won - lost - n * delta) / math.sqrt(n * (2 * best + delta - delta**2))
    assert score(lost, won, n, delta) == pytest.approx(expected, abs=1e-4)


@given(tables, alphas)
def test_swapping_the_two_mirrors_every_result_to_the_last_bit(table, alpha):
    for method in (tango, newcombe, difference):
        one, other = method(table, alpha), method(table.mirrored, alpha)
        assert (one.low, one.high, one.value) == (-other.high, -other.low, -other.value)
    assert mcnemar(table, "less") == mcnemar(table.mirrored, "greater")
    assert mcnemar(table) == mcnemar(table.mirrored)


@given(tables, alphas, alphas)
def test_a_stricter_level_is_a_wider_interval(table, one, other):
    wide, narrow = difference(table, min(one, other)), difference(table, max(one, other))
    assert wide.low <= narrow.low <= narrow.high <= wide.high


def test_none_of_ten_leaves_26_points_open_and_never_nothing():
    found = difference(PairedTable(10, 0, 0, 0))
    assert (round(found.low, 3), round(found.high, 3), found.method) == (-0.259, 0.259, "exact")
    for n in (1, 2, 5, 164, 12_032, 1_000_000):
        low, high = difference(PairedTable(n, 0, 0, 0)).low, difference(PairedTable(n, 0, 0, 0)).high
        assert high == -low == pytest.approx(1 - 0.05 ** (1 / n))
        assert difference(PairedTable(0, 0, n, 0)).low == pytest.approx(2 * 0.05 ** (1 / n) - 1)
        assert difference(PairedTable(0, n, 0, 0)).low == -1


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_every_corner_has_bounds_and_more_wins_never_lower_them(n):
    lows = {}
    for lost in range(n + 1):
        for won in range(n + 1 - lost):
            found = difference(PairedTable(n - lost - won, lost, won, 0))
            assert -1 <= found.low < found.high <= 1
            lows[lost, won] = found.low
    for (lost, won), low in lows.items():
        assert low <= lows.get((lost - 1, won + 1), 1)
        assert low <= lows.get((lost - 1, won), 1)


@given(tables, st.sampled_from(["-0.2", "-0.05", "-0.01", 0, 0.03, "0.5"]), alphas)
def test_the_p_value_belongs_to_the_bound(table, at, alpha):
    p, low = p_value(table, at), difference(table, alpha).low
    if abs(p - alpha) > 1e-9:
        assert (p < alpha) == (low > float(at))


def test_identical_pairs_need_299_to_rule_out_one_point():
    for n, passes in ((10, False), (298, False), (299, True)):
        assert non_inferior(difference(PairedTable(n, 0, 0, 0)).low, 0.01) is passes


def one_sided_errors(method, n, losses, wins):
    """P(lower bound > truth) for each pair of rates, by going through every table of n pairs."""
    counts = [(lost, won) for lost in range(n + 1) for won in range(n + 1 - lost)]
    rows = np.array([(lost, won, n - lost - won) for lost, won in counts])
    lows = np.array([method(PairedTable(n - lost - won, lost, won, 0)).low for lost, won in counts])
    return {
        (lost, won): multinomial.pmf(rows, n, [lost, won, 1 - lost - won])[lows > won - lost + 1e-12].sum()
        for lost in losses
        for won in wins
    }


RATES = (0.001, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.16, 0.25)


@pytest.mark.parametrize("n", [20, 50, 100])
def test_true_error_by_going_through_every_table(n):
    """One-sided at 5 %. Where it decides acceptance, at a loss of up to three points, it is held to 6 %; the worst
    is a claim to a gain of some known size from a few wins and no losses."""
    errors = one_sided_errors(difference, n, RATES, RATES)
    losses = [error for (lost, won), error in errors.items() if 0 < lost - won <= 0.031]
    assert max(losses) < 0.06
    assert max(errors.values()) < 0.1
    assert 0.02 < np.mean(list(errors.values())) < 0.055


def test_the_exact_corner_mends_the_error_of_tangos_bound_for_no_discordant_pair():
    rates = [0.2, 0.212, 0.22, 0.25, 0.258]
    plain, mended = (max(one_sided_errors(m, 10, rates, [1e-9]).values()) for m in (tango, difference))
    assert plain == pytest.approx((1 - 0.22) ** 10, abs=0.01)
    assert mended < 0.051


def test_true_size_of_both_forms_of_mcnemar():
    """164 pairs, no difference, one-sided 5 %: exact is held too strictly, mid-p nearly at its level."""
    for discordance, slack in ((0.05, 0.0), (0.1, 0.001), (0.2, 0.001)):
        exact_size = mid_size = 0.0
        for moved in range(165):
            chance = binom.pmf(moved, 164, discordance)
            if chance < 1e-12:
                continue
            for won in range(moved + 1):
                each = chance * binom.pmf(won, moved, 0.5)
                found = mcnemar(PairedTable(164 - moved, moved - won, won, 0), "less")
                exact_size += each * (found.exact <= 0.05)
                mid_size += each * (found.mid_p <= 0.05)
        assert exact_size < 0.04
        assert exact_size < mid_size <= 0.05 + slack


@pytest.mark.parametrize("alpha", [0, 0.5, -0.1, math.nan])
def test_levels_that_make_no_sense_are_refused(alpha):
    for method in (tango, newcombe, difference):
        with pytest.raises(ValueError, match="alpha"):
            method(PairedTable(1, 1, 1, 1), alpha)


@pytest.mark.parametrize("at", [math.nan, -1.5, "x"])
def test_a_tested_difference_lies_between_minus_one_and_one(at):
    with pytest.raises(ValueError, match="at must"):
        p_value(PairedTable(1, 1, 1, 1), at)
