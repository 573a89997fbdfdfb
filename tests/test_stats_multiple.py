import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from assay.stats.exact import NoValues, non_inferior
from assay.stats.multiple import bonferroni, holm
from assay.stats.paired import PairedTable, difference, p_value

p_lists = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.0125, 0.025, 0.05, 1.0])), min_size=1, max_size=12
)


@settings(max_examples=15, deadline=None)  # statsmodels takes a tenth of a second for each
@given(p_lists, st.sampled_from([0.01, 0.05, 0.1]))
def test_both_agree_with_statsmodels(p, alpha):
    for ours, name in ((holm, "holm"), (bonferroni, "bonferroni")):
        found = ours(p, alpha)
        rejected, adjusted, _, _ = multipletests(p, alpha, name)
        assert [each.adjusted for each in found] == pytest.approx(list(adjusted), rel=1e-12)
        # At the border itself statsmodels compares p/1 with alpha/k in floats of its own.
        for mine, theirs, each in zip(found, rejected, adjusted, strict=True):
            if abs(each - alpha) > 1e-12:
                assert mine.rejected == theirs


@given(p_lists, st.randoms())
def test_the_order_of_tests_does_not_matter(p, shuffler):
    places = list(range(len(p)))
    shuffler.shuffle(places)
    found = holm(p)
    assert holm([p[place] for place in places]) == [found[place] for place in places]


@given(p_lists)
def test_each_level_decides_as_the_procedure_does(p):
    for each in holm(p):
        assert each.rejected == (each.p <= each.level)
        assert 0.05 / len(p) <= each.level <= 0.05


def test_a_worked_example():
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert [each.adjusted for each in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [each.rejected for each in found] == [True, False, False, True]
    assert [each.level for each in found] == pytest.approx([0.05 / 3, 0.025, 0.025, 0.0125])


def test_intervals_at_these_levels_decide_the_same():
    tables = [
        PairedTable(900, 10, 20, 70),
        PairedTable(450, 6, 8, 36),
        PairedTable(80, 3, 2, 15),
        PairedTable(600, 9, 0, 391),
    ]
    found = holm([p_value(table, "-0.03") for table in tables])
    assert {each.rejected for each in found} == {True, False}
    for table, each in zip(tables, found, strict=True):
        assert non_inferior(difference(table, each.level).low, "0.03") == each.rejected


def test_ten_tasks_alarm_together_as_often_as_one_may():
    numbers, runs = np.random.default_rng(1), 4000
    p = numbers.random((runs, 10))
    assert 0.38 < (p <= 0.05).any(axis=1).mean() < 0.42  # uncorrected: 40 %
    alarms = sum(any(each.rejected for each in holm(row.tolist())) for row in p)
    assert 0.04 < alarms / runs < 0.06


@pytest.mark.parametrize("p", [[0.1, math.nan], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused_by_place(p):
    for correction in (holm, bonferroni):
        with pytest.raises(ValueError, match=rf"p_values\[{len(p) - 1}\]"):
            correction(p)


def test_nothing_to_adjust_is_an_error_of_its_own_type():
    for correction in (holm, bonferroni):
        with pytest.raises(NoValues):
            correction([])
