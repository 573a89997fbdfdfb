"""Comparisons that do not depend on rounding, and the checks that every statistic begins with."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

Number = int | float | str | Decimal | Fraction
"""What a threshold may be written as. A float means its shortest decimal: 0.01 is one hundredth."""


class NoValues(ValueError):
    """There is nothing to estimate from: 0 of 0 is no rate, and no pairs have no difference."""


def exact(value: Number, name: str) -> Fraction:
    """`value` as a fraction, without loss. Raises ValueError, naming `name`, where it is no finite number."""
    if isinstance(value, bool):
        raise ValueError(f"{name} must be a number, not {value}")
    try:
        return Fraction(repr(float(value)) if isinstance(value, float) else value)
    except (ValueError, OverflowError, TypeError, ZeroDivisionError):
        raise ValueError(f"{name} must be a finite number, not {value!r}") from None


def margin_of(value: Number, name: str = "margin") -> Fraction:
    """A margin as a fraction of 1. Raises ValueError where it is not above 0 and at most 1."""
    found = exact(value, name)
    if not 0 < found <= 1:
        raise ValueError(f"{name} must lie above 0 and be at most 1, not {value}")
    return found


def above(bound: float | None, threshold: Number) -> bool:
    """Whether a bound lies above a threshold, compared exactly. A bound that could not be estimated lies nowhere."""
    return bound is not None and _bound(bound) > exact(threshold, "threshold")


def below(bound: float | None, threshold: Number) -> bool:
    """Whether a bound lies below a threshold, compared exactly. A bound that could not be estimated lies nowhere."""
    return bound is not None and _bound(bound) < exact(threshold, "threshold")


def non_inferior(low: float | None, margin: Number) -> bool:
    """Whether a lower bound of candidate - baseline rules out a loss of `margin` or more."""
    return above(low, -margin_of(margin))


def share_unseen(tries: int, alpha: float) -> float:
    """How large the share of an outcome may be that came up in none of `tries` independent tries: 1 - alpha^(1/tries),
    the one-sided exact bound (Clopper and Pearson 1934), rounded up."""
    return min(1.0, -math.expm1(math.log(alpha) / tries) * (1 + 1e-15))


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless `alpha` is a one-sided level: above 0 and below 0.5."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie above 0 and below 0.5, not {alpha}")


def _bound(bound: float) -> Fraction:
    """A bound as the very number its float is, not as the decimal it would be printed as."""
    if not math.isfinite(bound):
        raise ValueError(f"bound must be finite, not {bound}")
    return Fraction(bound)
