"""How small a difference n samples can decide, and how many samples a difference needs.

Paired: both systems answer the same samples, and only the samples on which exactly one of them is right
count. Their share is the discordance; under no difference a paired difference has the variance discordance /
n, so that

    smallest difference = (z[1-alpha] + z[power]) · sqrt(discordance / n)        (one-sided; Miller 2024,
    section 5)

Unpaired, the variances of two rates near p add up: 2 p (1-p) / n.
"""

from __future__ import annotations

import math

from assay.stats.special import normal_quantile


def smallest_difference(n: int, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest difference (as a fraction of 1) that n paired samples decide with this power, one-sided.

    None where there is none: without samples, or where it would exceed the discordance, which no difference
    can.
    """
    _check(discordance, alpha, power)
    found = _difference(n, discordance, alpha, power)
    return found if found is not None and found <= discordance else None


def smallest_difference_unpaired(n: int, rate: float = 0.5, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The same for two systems that answer n different samples each, both right about `rate` of the time."""
    _check(rate, alpha, power)
    return _difference(n, 2 * rate * (1 - rate), alpha, power)


def samples_for(margin: float, discordance: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many paired samples decide a difference of `margin` (as a fraction of 1) with this power, one-sided."""
    _check(discordance, alpha, power)
    if not 0 < margin <= 1:
        raise ValueError(f"a margin lies between 0 and 1, not {margin}")
    return math.ceil((_constant(alpha, power) / margin) ** 2 * discordance)


def _difference(n: int, variance: float, alpha: float, power: float) -> float | None:
    if n < 0:
        raise ValueError(f"{n} samples")
    return _constant(alpha, power) * math.sqrt(variance / n) if n else None


def _constant(alpha: float, power: float) -> float:
    return normal_quantile(1 - alpha) + normal_quantile(power)


def _check(share: float, alpha: float, power: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"a discordance or rate lies between 0 and 1, not {share}")
    if not (0 < alpha < 0.5 <= power < 1):
        raise ValueError(f"alpha lies below 0.5 and power between 0.5 and 1, not {alpha} and {power}")
