"""The beta function's incomplete integral, and the quantiles that follow from it.

scipy has these; they are written out here because importing it takes longer than a whole small run. Agreement
with scipy is tested to nine digits over the range that intervals need (counts up to ten million).
"""

from __future__ import annotations

import math

_TINY = 1e-300
_EPSILON = 1e-16


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b): the chance that a Beta(a, b) variable is at most x.

    By its continued fraction, evaluated with Lentz's method (DLMF 8.17.22; Press et al., Numerical Recipes,
    3rd ed., section 6.4). a and b must be positive; raises ValueError otherwise.
    """
    if not (a > 0 and b > 0 and math.isfinite(a) and math.isfinite(b)):
        raise ValueError(f"a and b must be positive and finite, not {a} and {b}")
    if x <= 0 or x >= 1:
        return float(x >= 1)
    # The fraction converges fast on the near side of the mean; the far side is its mirror image.
    if x < (a + 1) / (a + b + 2):
        return _front(x, a, b) * _fraction(x, a, b) / a
    return 1 - _front(x, a, b) * _fraction(1 - x, b, a) / b


def _front(x: float, a: float, b: float) -> float:
    """x^a (1-x)^b / B(a, b)."""
    return math.exp(_log_front(x, a, b))


def _log_front(x: float, a: float, b: float) -> float:
    if min(a, b) < 10:
        return a * math.log(x) + b * math.log1p(-x) - _log_beta(min(a, b), max(a, b))
    # Large a and b: Stirling's series (DLMF 5.11.1), whose big terms cancel on paper and not in floats.
    n = a + b
    deviance = a * _log_ratio(x * n / a) + b * _log_ratio((1 - x) * n / b)
    rest = _stirling(n) - _stirling(a) - _stirling(b)
    return deviance + rest + 0.5 * (math.log(a / n) + math.log(b) - math.log(2 * math.pi))


def _log_beta(small: float, large: float) -> float:
    """log B(small, large), where lgamma(large) - lgamma(small + large) would lose the digits that count."""
    if large < 10:
        return math.lgamma(small) + math.lgamma(large) - math.lgamma(small + large)
    n = small + large
    fall = small * (1 - math.log(n)) - (large - 0.5) * math.log1p(small / large)
    return math.lgamma(small) + fall + _stirling(large) - _stirling(n)


def _log_ratio(ratio: float) -> float:
    """log(r) - (r - 1), without loss near r = 1."""
    d = ratio - 1
    if abs(d) > 0.1:
        return math.log(ratio) - d
    term, total = d, 0.0
    for power in range(2, 20):
        term *= -d
        total += term / power
    return total


def _stirling(z: float) -> float:
    """lgamma(z) less its leading terms; for z of 10 and more to sixteen digits."""
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / z


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b), times a over its front factor."""
    c, d = 1.0, _inverted(1 - (a + b) * x / (a + 1))
    value = d
    # It takes some multiple of the square root of the larger parameter.
    for m in range(1, 200 + int(20 * math.sqrt(max(a, b)))):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = _inverted(1 + even * d), _away(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = _inverted(1 + odd * d), _away(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < 4 * _EPSILON:
            return value
    raise ArithmeticError(f"the continued fraction of the beta function did not converge at {x}, {a}, {b}")


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _inverted(value: float) -> float:
    return 1 / _away(value)


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p.

    By Newton's method, kept inside a bracket that only shrinks and halved where a step would leave it; where
    the bracket spans powers of ten, halved on a log scale, so that quantiles near 0 have full relative
    precision.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a probability lies in 0..1, not {p}")
    if p in (0, 1):
        return float(p)
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(400):
        error = beta_cdf(x, a, b) - p
        if error == 0:
            return x
        low, high = (low, x) if error > 0 else (x, high)
        step = _newton(x, a, b, error)
        if not low < step < high:
            step = _middle(low, high)
        if abs(step - x) <= 2 * _EPSILON * x or step in (low, high):
            return step
        x = step
    return x


def _newton(x: float, a: float, b: float, error: float) -> float:
    density = math.exp(_log_front(x, a, b)) / (x * (1 - x)) if 0 < x < 1 else 0.0
    return x - error / density if density > 0 else math.nan


def _middle(low: float, high: float) -> float:
    return math.sqrt(max(low, 1e-290) * high) if high > 4 * low else (low + high) / 2


def normal_quantile(p: float) -> float:
    """The z that a standard normal variable stays below with probability p."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def normal_cdf(z: float) -> float:
    """The chance that a standard normal variable is at most z, precise in both tails."""
    return math.erfc(-z / math.sqrt(2)) / 2


def t_tail(t: float, df: float) -> float:
    """The chance that a Student variable of `df` degrees of freedom exceeds t (DLMF 8.17; Abramowitz and Stegun
    26.5.27)."""
    if not (df > 0 and not math.isnan(t)):
        raise ValueError(f"df must be positive and t a number, not {df} and {t}")
    if t * t < min(df, 1.0):  # near the middle, where df / (df + t²) would round to 1
        return 0.5 - math.copysign(beta_cdf(t * t / (df + t * t), 0.5, df / 2) / 2, t)
    tail = beta_cdf(df / (df + t * t), df / 2, 0.5) / 2
    return tail if t >= 0 else 1 - tail


def t_two_sided(confidence: float, df: float) -> float:
    """The t that a Student variable of `df` degrees of freedom stays within, ±t, with probability
    `confidence`.

    From P(|T| > t) = I_x(df/2, 1/2) with x = df / (df + t²) (DLMF 8.17; Abramowitz and Stegun 26.5.27).
    """
    if not (0 < confidence < 1 and df > 0):
        raise ValueError(f"confidence must lie in 0..1 and df be positive, not {confidence} and {df}")
    if confidence > 0.5:
        x = beta_quantile(1 - confidence, df / 2, 0.5)
        if x < 0.5:
            return math.sqrt(df * (1 - x) / x)
    y = beta_quantile(confidence, 0.5, df / 2)
    return math.sqrt(df * y / (1 - y))
