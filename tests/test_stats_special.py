import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from assay.stats.special import beta_cdf, beta_quantile, normal_cdf, normal_quantile, t_tail, t_two_sided

SHAPES = [0.5, 1, 1.5, 3, 9.9, 10, 30, 500, 1e4, 1e6, 1e7]
PROBABILITIES = [1e-9, 1e-4, 0.005, 0.025, 0.3, 0.5, 0.8, 0.975, 0.9999]
log_shape = st.floats(-0.3, 7).map(lambda power: 10**power)


@pytest.mark.parametrize("a", SHAPES)
@pytest.mark.parametrize("b", SHAPES)
def test_beta_agrees_with_scipy_on_a_grid(a, b):
    for p in PROBABILITIES:
        x = special.betaincinv(a, b, p)
        if 0 < x < 1:
            assert beta_quantile(p, a, b) == pytest.approx(x, rel=2e-9)
            assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=2e-9)


@given(log_shape, log_shape, st.floats(1e-6, 1 - 1e-6))
def test_the_quantile_undoes_the_distribution(a, b, p):
    x = beta_quantile(p, a, b)
    assert 0 <= x <= 1
    # A quantile is a float: what a step of one last digit of it changes cannot be undone.
    assert beta_cdf(math.nextafter(x, 0), a, b) - 1e-8 <= p <= beta_cdf(math.nextafter(x, 1), a, b) + 1e-8


@given(log_shape, log_shape, st.floats(0, 1), st.floats(0, 1))
def test_the_distribution_grows_and_mirrors(a, b, one, other):
    low, high = sorted((one, other))
    assert beta_cdf(low, a, b) <= beta_cdf(high, a, b) + 1e-12
    assert beta_cdf(low, a, b) == pytest.approx(1 - beta_cdf(1 - low, b, a), abs=1e-7)


def test_the_ends():
    assert (beta_cdf(0, 2, 3), beta_cdf(1, 2, 3), beta_quantile(0, 2, 3), beta_quantile(1, 2, 3)) == (0, 1, 0, 1)


@pytest.mark.parametrize("df", [1, 2, 3, 4.5, 9, 29, 30, 100, 1e3, 1e5, 1e7])
@pytest.mark.parametrize("confidence", [0.01, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1 - 1e-7])
def test_student_agrees_with_scipy(df, confidence):
    assert t_two_sided(confidence, df) == pytest.approx(stats.t.isf((1 - confidence) / 2, df), rel=1e-9)


@pytest.mark.parametrize(("df", "t"), [(1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (120, 1.980)])
def test_student_agrees_with_the_printed_table(df, t):
    assert round(t_two_sided(0.95, df), 3) == t


@pytest.mark.parametrize("p", [1e-12, 0.05, 0.5, 0.8, 0.975, 1 - 1e-9])
def test_the_normal_quantile_agrees_with_scipy(p):
    assert normal_quantile(p) == pytest.approx(special.ndtri(p), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (beta_cdf, (0.5, 0, 1)),
        (beta_cdf, (0.5, 1, math.inf)),
        (beta_cdf, (0.5, math.nan, 1)),
        (beta_quantile, (1.5, 1, 1)),
        (beta_quantile, (math.nan, 1, 1)),
        (t_two_sided, (0.95, 0)),
        (t_two_sided, (1, 5)),
    ],
)
def test_what_has_no_value_is_refused(call, arguments):
    with pytest.raises(ValueError, match="not"):
        call(*arguments)


@given(st.floats(-35, 8))
def test_the_normal_distribution_is_precise_in_its_tail(z):
    assert normal_cdf(z) == pytest.approx(stats.norm.cdf(z), rel=1e-10)


@given(st.floats(-50, 50), st.sampled_from([1, 2, 5, 13, 100, 12_031]))
def test_the_tail_of_student_agrees_with_scipy(t, df):
    assert t_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-8)


def test_the_tail_of_no_number_is_refused():
    for t, df in ((math.nan, 3), (1.0, 0)):
        with pytest.raises(ValueError, match="df must"):
            t_tail(t, df)
