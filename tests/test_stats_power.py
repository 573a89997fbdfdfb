import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.power import samples_for, smallest_difference, smallest_difference_unpaired


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


@pytest.mark.parametrize(
    "call",
    [
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
    with pytest.raises(ValueError, match=r"samples|between|below"):
        call()
