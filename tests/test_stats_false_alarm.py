from fractions import Fraction

import numpy as np
import pytest

from assay.stats.clustered import clusters, rate_difference
from assay.stats.exact import NoValues, below
from assay.stats.false_alarm import (
    alarm_rate,
    false_alarms,
    null_epochs,
    null_pairs,
    null_tables,
    summed,
)
from assay.stats.paired import PairedTable, difference, mcnemar

REAL = PairedTable(90, 9, 7, 58)


def any_drop(table):
    return table.delta < 0


def significant(table):
    return mcnemar(table, "less").exact <= 0.05


def test_the_rates_of_well_known_rules():
    """The same model twice, 164 samples, 10 % discordance: a point rule alarms almost every other time."""
    assert alarm_rate(164, 0.1, any_drop) == pytest.approx(0.4505, abs=5e-4)
    assert alarm_rate(164, 0.1, lambda table: -table.delta > Fraction(1, 100)) == pytest.approx(0.3545, abs=5e-4)
    assert alarm_rate(164, 0.1, significant) == pytest.approx(0.0309, abs=5e-4)
    assert alarm_rate(164, 0.1, lambda table: True) == pytest.approx(1, abs=1e-9)


def test_the_edges_of_the_discordance():
    assert alarm_rate(50, 0, any_drop) == 0
    assert alarm_rate(50, 1, any_drop) == pytest.approx((1 - 0.11228) / 2, abs=1e-4)


@pytest.mark.parametrize("rule", [any_drop, significant])
def test_resampling_a_real_table_comes_to_the_same(rule):
    found = false_alarms(null_tables(REAL, 4000), rule, 0.999)
    assert found.rate.low < alarm_rate(164, REAL.discordant / 164, rule) < found.rate.high
    assert found.resamples == 4000
    assert found.rate.value == found.alarms / 4000


def test_the_resampled_sides_are_exchangeable_whatever_the_real_difference():
    lopsided = PairedTable(50, 40, 0, 10)
    deltas = [float(table.delta) for table in null_tables(lopsided, 2000)]
    assert abs(np.mean(deltas)) < 0.01
    assert {table.n for table in null_tables(lopsided, 50)} == {100}


def test_clusters_are_drawn_and_swapped_whole():
    baseline, candidate, labels = [1.0, 1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.5], list("aabbc")
    sizes = set()
    for left, right, new in null_pairs(baseline, candidate, labels, 200):
        assert len(left) == len(right) == len(new)
        sizes.add(len(left))
        for each in set(new):
            sums = {float(right[i] - left[i]) for i in range(len(new)) if new[i] == each}
            assert len(sums) == 1
    assert sizes <= {3, 4, 5, 6}
    assert len(sizes) > 1


def test_a_gate_over_epochs_keeps_its_level():
    numbers = np.random.default_rng(6)
    chances = np.repeat(numbers.beta(0.6, 0.6, 80), 3)
    baseline, candidate = (numbers.random((2, 240)) < chances).astype(float)
    labels, alarms = np.repeat(np.arange(80), 3).tolist(), 0
    for left, right, new in null_pairs(baseline, candidate, labels, 1000):
        table = PairedTable.of(left.tolist(), right.tolist())
        alarms += below(rate_difference(table, clusters(right - left, new)).high, 0)
    found = summed(alarms, 1000, 0.999)
    assert found.rate.low <= 0.05 <= found.rate.high + 0.01


def test_one_run_with_epochs_is_its_own_control():
    numbers = np.random.default_rng(1)
    passes = [
        (numbers.random(count) < chance).tolist()
        for count, chance in zip([2, 5, 3] * 40, [0.5, 0.9, 0.1] * 40, strict=True)
    ]
    tables = list(null_epochs(passes, 1500))
    assert {table.n for table in tables} == {120}
    assert 0.1 < np.mean([table.discordant / table.n for table in tables]) < 0.5
    assert abs(np.mean([float(table.delta) for table in tables])) < 0.01
    alarms = false_alarms(iter(tables), lambda table: below(difference(table).high, 0))
    assert alarms.rate.low < 0.06


def test_a_try_is_never_compared_with_itself():
    assert {table.discordant for table in null_epochs([[0, 1]] * 30, 50)} == {30}


def test_a_seed_fixes_the_draws():
    for make in (
        lambda seed: list(null_tables(REAL, 20, seed)),
        lambda seed: list(null_epochs([[0, 1, 1], [1, 0]] * 9, 20, seed)),
        lambda seed: [left.tolist() for left, _, _ in null_pairs([0.1, 0.2, 0.3], [0.3, 0.1, 0.2], None, 20, seed)],
    ):
        assert make(1) == make(1) != make(2)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: list(null_pairs([1.0], [1.0, 0.0], None, 1)), "length"),
        (lambda: list(null_pairs([1.0], [float("nan")], None, 1)), "candidate"),
        (lambda: list(null_epochs([[1, 0], [1]], 1)), r"passes\[1\]"),
        (lambda: list(null_epochs([], 1)), "no samples"),
        (lambda: alarm_rate(0, 0.1, any_drop), "n must"),
        (lambda: alarm_rate(5, 1.1, any_drop), "discordance"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()


def test_nothing_resampled_has_no_rate():
    with pytest.raises(NoValues):
        false_alarms(iter([]), any_drop)
