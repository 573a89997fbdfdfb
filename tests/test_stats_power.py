import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.exact import non_inferior
from assay.stats.paired import PairedTable, difference
from assay.stats.power import (
    design_effect_of,
    power_of,
    samples_for,
    samples_for_unpaired,
    samples_without_discordance,
    smallest_difference,
    smallest_difference_unpaired,
)


@pytest.mark.parametrize(
    ("n", "points", "unpaired"),
    [
        (164, (4.3, 6.1, 8.7), 11.9),
        (198, (4.0, 5.6, 7.9), 10.8),
        (378, (2.9, 4.0, 5.7), 7.8),
        (1319, (1.5, 2.2, 3.1), 4.2),
        (12032, (0.5, 0.7, 1.0), 1.4),
    ],
)
def test_the_smallest_difference_that_well_known_tasks_decide(n, points, unpaired):
    found = [smallest_difference(n, discordance) for discordance in (0.05, 0.1, 0.2)]
    assert tuple(round(100 * difference, 1) for difference in found) == points
    assert round(100 * smallest_difference_unpaired(n, rate=0.75), 1) == unpaired


@pytest.mark.parametrize(("margin", "n"), [(0.01, 6183), (0.015, 2748), (0.02, 1546), (0.03, 687)])
def test_the_samples_that_a_margin_needs(margin, n):
    assert samples_for(margin, 0.1) == n


@given(st.floats(0.001, 0.5), st.floats(0.01, 0.99))
def test_the_two_questions_are_each_others_answer(margin, discordance):
    n = samples_for(margin, discordance)
    found = smallest_difference(n, discordance)
    if found is None:
        assert margin > discordance * 0.5
    else:
        assert found <= margin * (1 + 1e-9)
        before = smallest_difference(n - 1, discordance)
        assert before is None or before > margin * (1 - 1e-9)


def test_a_difference_larger_than_the_discordance_cannot_be():
    assert smallest_difference(50, 0.1) is None
    assert smallest_difference(50, 0.2) == pytest.approx(0.1573, abs=1e-4)
    assert smallest_difference(0, 0.1) is None


def test_the_promised_power_is_reached():
    """Paired answers drawn at the smallest difference: a one-sided test finds it about eight times in ten."""
    n, discordance, numbers, found, runs = 400, 0.2, random.Random(3), 0, 1500
    difference = smallest_difference(n, discordance)
    for _ in range(runs):
        draws = [numbers.random() for _ in range(n)]
        better = sum(draw < (discordance + difference) / 2 for draw in draws)
        worse = sum((discordance + difference) / 2 <= draw < discordance for draw in draws)
        found += (better - worse) / math.sqrt(better + worse) > 1.6449
    assert 0.76 <= found / runs <= 0.86


@given(st.floats(0.001, 0.5), st.floats(0.05, 0.95), st.floats(0.5, 30))
def test_unpaired_and_clustered_answers_agree_too(margin, share, effect):
    n = samples_for_unpaired(margin, share, design_effect=effect)
    found = smallest_difference_unpaired(n, share, design_effect=effect)
    assert found is None or found <= margin * (1 + 1e-9)
    n = samples_for(margin, share, design_effect=effect)
    assert power_of(n, margin, share, design_effect=effect) >= 0.8 - 1e-9
    assert n == 1 or power_of(n - 1, margin, share, design_effect=effect) < 0.8 + 1e-9


def test_statsmodels_plans_the_same_unpaired_samples():
    from statsmodels.stats.power import zt_ind_solve_power

    spread = math.sqrt(0.75 * 0.25)
    for margin in (0.01, 0.05):
        theirs = zt_ind_solve_power(margin / spread, alpha=0.05, power=0.8, alternative="larger")
        assert samples_for_unpaired(margin, 0.75) == math.ceil(theirs)


def test_epochs_that_agree_count_once_and_those_that_do_not_in_full():
    assert design_effect_of(5, 1) == 5
    assert design_effect_of(5, 0) == design_effect_of(1, 0.5) == 1
    assert samples_for(0.02, 0.1, design_effect=5) == pytest.approx(5 * samples_for(0.02, 0.1), abs=5)
    assert smallest_difference(820, 0.1, design_effect=5) == pytest.approx(smallest_difference(164, 0.1))


def test_more_than_everything_cannot_be_decided():
    assert smallest_difference_unpaired(3) is None
    assert smallest_difference_unpaired(0) is None


@pytest.mark.parametrize(("margin", "n"), [(0.01, 299), ("0.05", 59), (0.2, 14), (0.5, 5), (0.95, 2), (1, 1)])
def test_how_many_pairs_must_agree_to_rule_a_loss_out(margin, n):
    assert samples_without_discordance(margin) == n
    assert non_inferior(difference(PairedTable(n, 0, 0, 0)).low, margin)
    assert n == 1 or not non_inferior(difference(PairedTable(n - 1, 0, 0, 0)).low, margin)


@pytest.mark.parametrize(
    "call",
    [
        lambda: samples_for(0.1, 0.1, design_effect=0),
        lambda: samples_for_unpaired(0.1, 0.1, design_effect=math.inf),
        lambda: power_of(-1, 0.1, 0.1),
        lambda: power_of(1, 0, 0.1),
        lambda: design_effect_of(0.5, 0.1),
        lambda: design_effect_of(2, math.nan),
        lambda: smallest_difference(-1, 0.1),
        lambda: smallest_difference(10, 0),
        lambda: smallest_difference(10, 1.5),
        lambda: smallest_difference(10, 0.1, alpha=0.6),
        lambda: smallest_difference(10, 0.1, power=1),
        lambda: smallest_difference_unpaired(10, math.nan),
        lambda: samples_for(0, 0.1),
        lambda: samples_for(2, 0.1),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(ValueError, match=r"samples|between|below|negative|start"):
        call()
