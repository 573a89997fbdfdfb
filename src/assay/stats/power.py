"""How small a difference n samples can decide, and how many samples a difference needs.

Paired: both systems answer the same samples, and only the samples on which exactly one of them is right
count. Their share is the discordance; under no difference a paired difference has the variance discordance /
n, so that

    smallest difference = (z[1-alpha] + z[power]) · sqrt(discordance · design effect / n)        (one-sided; Miller
    2024, section 5)

Unpaired, the variances of two rates near p add up: 2 p (1-p) / n.

The design effect is 1 for independent samples. For m attempts at each of n/m problems it is 1 + (m-1) · r, with r the
correlation of two attempts at one problem (Kish 1965); n then counts attempts.
"""

from __future__ import annotations

import math

from assay.stats.exact import Number, check_alpha, margin_of, share_unseen
from assay.stats.special import normal_cdf, normal_quantile


def smallest_difference(
    n: int, discordance: float, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> float | None:
    """The smallest difference (as a fraction of 1) that n paired samples decide with this power, one-sided.

    None where there is none: without samples, or where it would exceed the discordance, which no difference
    can.
    """
    _check(discordance, alpha, power, design_effect)
    found = _difference(n, discordance * design_effect, alpha, power)
    return found if found is not None and found <= discordance else None


def smallest_difference_unpaired(
    n: int, rate: float = 0.5, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> float | None:
    """The same for two systems that answer n different samples each, both right about `rate` of the time.

    None without samples, or where it would exceed 1.
    """
    _check(rate, alpha, power, design_effect)
    found = _difference(n, 2 * rate * (1 - rate) * design_effect, alpha, power)
    return found if found is not None and found <= 1 else None


def samples_for(
    margin: float, discordance: float, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> int:
    """How many paired samples decide a difference of `margin` (as a fraction of 1) with this power, one-sided.

    For non-inferiority: how many it takes for the lower bound to clear -margin if the two are equal.
    """
    _check(discordance, alpha, power, design_effect)
    return _samples(margin, discordance * design_effect, alpha, power)


def samples_for_unpaired(
    margin: float, rate: float = 0.5, alpha: float = 0.05, power: float = 0.8, design_effect: float = 1.0
) -> int:
    """The same for two systems that answer different samples: how many each must answer."""
    _check(rate, alpha, power, design_effect)
    return _samples(margin, 2 * rate * (1 - rate) * design_effect, alpha, power)


def samples_without_discordance(margin: Number, alpha: float = 0.05) -> int:
    """How many pairs without a single discordant one rule out a loss of `margin`: the smallest n for which
    1 - alpha^(1/n) lies below it (299 for one point)."""
    check_alpha(alpha)
    share = float(margin_of(margin))
    if share == 1:
        return 1
    n = max(1, math.floor(math.log(alpha) / math.log1p(-share)) - 1)
    while share_unseen(n, alpha) >= share:
        n += 1
    return n


def power_of(n: int, margin: float, discordance: float, alpha: float = 0.05, design_effect: float = 1.0) -> float:
    """The chance that n paired samples decide a difference of `margin`, one-sided: `samples_for` turned round."""
    _check(discordance, alpha, 0.8, design_effect)
    if n < 0 or not 0 < margin <= 1:
        raise ValueError(f"n must not be negative and margin lie between 0 and 1, not {n} and {margin}")
    return normal_cdf(margin * math.sqrt(n / (discordance * design_effect)) - normal_quantile(1 - alpha))


def design_effect_of(attempts: float, correlation: float) -> float:
    """The design effect of `attempts` (1 or more) at each problem, two of which correlate by `correlation` (0..1)."""
    if not (attempts >= 1 and math.isfinite(attempts) and 0 <= correlation <= 1):
        raise ValueError(f"attempts start at 1 and a correlation lies in 0..1, not {attempts} and {correlation}")
    return 1 + (attempts - 1) * correlation


def _difference(n: int, variance: float, alpha: float, power: float) -> float | None:
    if n < 0:
        raise ValueError(f"{n} samples")
    return _constant(alpha, power) * math.sqrt(variance / n) if n else None


def _samples(margin: float, variance: float, alpha: float, power: float) -> int:
    if not 0 < margin <= 1:
        raise ValueError(f"a margin lies between 0 and 1, not {margin}")
    return math.ceil((_constant(alpha, power) / margin) ** 2 * variance)


def _constant(alpha: float, power: float) -> float:
    return normal_quantile(1 - alpha) + normal_quantile(power)


def _check(share: float, alpha: float, power: float, design_effect: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"a discordance or rate lies between 0 and 1, not {share}")
    if not (0 < alpha < 0.5 <= power < 1):
        raise ValueError(f"alpha lies below 0.5 and power between 0.5 and 1, not {alpha} and {power}")
    if not (design_effect > 0 and math.isfinite(design_effect)):
        raise ValueError(f"a design effect lies between 0 and infinity, not {design_effect}")
