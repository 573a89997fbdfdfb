from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report import numbers
from assay.report.scale import PERCENT, linear, logarithmic

FINITE = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (0.0214, "21.4 ms"),
        (0.9999, "1 s"),
        (1.234, "1.23 s"),
        (125.0, "2 min 5 s"),
    ],
)
def test_latency_takes_the_unit_that_suits_it(value, text):
    assert numbers.latency(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (59.94, "59.9 s"), (60.0, "1 min 0 s"), (11400, "3 h 10 min")]
)
def test_duration(value, text):
    assert numbers.duration(value) == text


def test_missing_is_never_zero():
    assert {numbers.percent(None), numbers.count(None), numbers.figure(None), numbers.money(None)} == {"–"}
    assert numbers.value_of({"kind": "pass", "value": None}) == "–"


def test_small_amounts_keep_their_cents():
    assert numbers.money({"amount": 0.0132, "currency": "USD"}) == "0.0132 USD"
    assert numbers.money({"amount": 1234.5, "currency": "EUR"}) == "1,234.50 EUR"


def test_an_interval_needs_both_ends():
    assert numbers.interval_of({"kind": "pass", "low": 0.4623, "high": 0.751}) == "46.2–75.1%"
    assert numbers.interval_of({"kind": "pass", "low": None, "high": 0.7}) == ""
    assert numbers.interval_of({"kind": "measure", "low": -1.25, "high": 3.0}) == "-1.25 to 3"


def test_labels_are_shown_as_counts():
    assert numbers.value_of({"kind": "label", "counts": {"a": 3, "b": 1200}}) == "a 3, b 1,200"


@given(st.lists(FINITE, min_size=1, max_size=6), st.booleans())
def test_a_linear_axis_holds_its_values_between_few_ticks(values, zero):
    scale = linear(values, zero=zero)
    assert scale.low <= min(values) + 1e-9 * abs(min(values))
    assert max(values) - 1e-9 * abs(max(values)) <= scale.high
    assert 2 <= len(scale.ticks) <= 7
    assert not zero or scale.low <= 0 <= scale.high


@given(st.floats(1e-6, 10), st.floats(1.2, 1e6))
def test_a_logarithmic_axis_has_ticks_within(low, factor):
    scale = logarithmic(low, low * factor)
    assert len(scale.ticks) >= 2
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert scale.share(low * factor**0.5) == pytest.approx(0.5)


def test_places_outside_the_axis_are_put_on_its_edge():
    assert [PERCENT.at(value) for value in (-1, 0, 0.125, 1, 2)] == [
        "0.00%",
        "0.00%",
        "12.50%",
        "100.00%",
        "100.00%",
    ]
