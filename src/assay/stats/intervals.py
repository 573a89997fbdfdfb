"""Confidence intervals for a rate and for a mean, of independent values or of values that come in clusters.

Every function returns an Interval. What cannot be estimated (nothing seen, one cluster, no variation at all
in a measure) has the bounds None: never zero width, which would claim certainty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.stats.moments import Moments
from assay.stats.special import beta_quantile, normal_quantile, t_two_sided

EXACT_BELOW = 30
"""With fewer values (or clusters) than this, a rate's interval is the exact one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and what the data leave open about it.

    `low` and `high` are None where they cannot be estimated, `value` too where there are no data. `n` counts
    the values, `clusters` the independent groups they come in (None where each value stands for itself).
    `method` is `wilson`, `clopper-pearson`, `t`, `wilson-clustered`, `clopper-pearson-clustered` or
    `t-clustered`; for differences of pairs `tango`, `newcombe` or `exact`, and `tango-clustered`, `t-clustered`,
    `bca-clustered` or `exact-clustered`.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int | None
    confidence: float
    method: str


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for k of n (Wilson 1927; Brown, Cai and DasGupta 2001, section 3.1.1)."""
    _check_counts(k, n, confidence)
    if n == 0:
        return Interval(None, None, None, 0, None, confidence, "wilson")
    low, high = _score_bounds(k / n, n, normal_quantile(0.5 + confidence / 2))
    return Interval(k / n, low, high, n, None, confidence, "wilson")


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """The exact interval for k of n: never too short, at the price of some length (Clopper and Pearson 1934)."""
    _check_counts(k, n, confidence)
    if n == 0:
        return Interval(None, None, None, 0, None, confidence, "clopper-pearson")
    low, high = _exact_bounds(k, n, confidence)
    return Interval(k / n, low, high, n, None, confidence, "clopper-pearson")


def rate(k: int, n: int, confidence: float = 0.95) -> Interval:
    """The interval for k of n independent tries: exact at 0, at n and for n below 30, else Wilson's."""
    exact = n < EXACT_BELOW or k in (0, n)
    return clopper_pearson(k, n, confidence) if exact else wilson(k, n, confidence)


def clustered_rate(counts: Sequence[int], passes: Sequence[int], confidence: float = 0.95) -> Interval:
    """The interval for a rate whose tries come in clusters: cluster g passed `passes[g]` of `counts[g]`.

    Clusters are independent, tries inside one are not: a sample's epochs, a subject's questions. The number
    of tries is first cut to the effective one, p(1-p) divided by the variance between clusters (never more
    than the real one); that goes into Wilson's interval with Student's t of G-1 degrees of freedom for z, and
    with fewer than 30 clusters into the exact interval, scaled by (z/t)² (Korn and Graubard 1998; Dean and
    Pagano 2015 compare both). With no pass, or nothing but passes, the clusters themselves are the tries: 0
    of G. Empty clusters are ignored.
    """
    groups = [(count, k) for count, k in zip(counts, passes, strict=True) if count]
    n, k, size = sum(count for count, _ in groups), sum(k for _, k in groups), len(groups)
    _check_counts(k, n, confidence)
    if any(not 0 <= k <= count for count, k in groups):
        raise ValueError("a cluster has more passes than tries, or a negative count")
    if n == size:
        return rate(k, n, confidence)
    if size < 2:
        return Interval(k / n, None, None, n, size, confidence, "clopper-pearson-clustered")
    low, high, method = _clustered_bounds(groups, k, n, confidence)
    return Interval(k / n, low, high, n, size, confidence, f"{method}-clustered")


def _clustered_bounds(groups: list[tuple[int, int]], k: int, n: int, confidence: float) -> tuple[float, float, str]:
    size, p = len(groups), k / n
    if k in (0, n):
        return *_exact_bounds(k * size / n, size, confidence), "clopper-pearson"
    variance = _between(((count, float(passed)) for count, passed in groups), p, n, size)
    effective = min(n, p * (1 - p) / variance) if variance else n
    t = t_two_sided(confidence, size - 1)
    if size >= EXACT_BELOW:
        return *_score_bounds(p, effective, t), "wilson"
    effective *= (normal_quantile(0.5 + confidence / 2) / t) ** 2
    return *_exact_bounds(p * effective, effective, confidence), "clopper-pearson"


def mean(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Student's t interval for the mean of independent values (read once, not kept)."""
    moments = Moments()
    for value in values:
        moments.add(value)
    return mean_of(moments, confidence)


def mean_of(moments: Moments, confidence: float = 0.95) -> Interval:
    """The same from the values' count, mean and variance."""
    _check_confidence(confidence)
    value = moments.mean
    half = None
    if moments.variance:
        half = t_two_sided(confidence, moments.n - 1) * math.sqrt(moments.variance / moments.n)
    return _around(value, half, moments.n, None, confidence, "t")


def clustered_mean(counts: Sequence[int], sums: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval for a mean whose values come in clusters: cluster g holds `counts[g]` values that add up
    to `sums[g]`.

    The clustered standard error (Miller 2024, arXiv 2411.00640, section 2.2) with the correction G/(G-1), and
    Student's t of G-1 degrees of freedom. Empty clusters are ignored.
    """
    _check_confidence(confidence)
    groups = [(count, total) for count, total in zip(counts, sums, strict=True) if count]
    if any(count < 0 or not math.isfinite(total) for count, total in groups):
        raise ValueError("a cluster has a negative count or a sum that is not finite")
    n, size = sum(count for count, _ in groups), len(groups)
    value = math.fsum(total for _, total in groups) / n if n else None
    half = None
    if value is not None and size > 1 and (variance := _between(groups, value, n, size)):
        half = t_two_sided(confidence, size - 1) * math.sqrt(variance)
    return _around(value, half, n, size, confidence, "t-clustered")


def _between(groups: Iterable[tuple[int, float]], value: float, n: int, size: int) -> float:
    """The variance of a ratio of sums, from how far each cluster's sum lies from what `value` predicts."""
    squares = math.fsum((total - value * count) ** 2 for count, total in groups)
    return squares * size / (size - 1) / n**2


def _around(
    value: float | None, half: float | None, n: int, clusters: int | None, confidence: float, method: str
) -> Interval:
    # Below this, what looks like variation is rounding: equal values must not yield an interval of no width.
    if value is None or half is None or half <= 1e-12 * abs(value):
        return Interval(value, None, None, n, clusters, confidence, method)
    return Interval(value, value - half, value + half, n, clusters, confidence, method)


def _score_bounds(p: float, n: float, z: float) -> tuple[float, float]:
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return (0.0 if p == 0 else max(0.0, centre - half)), (1.0 if p == 1 else min(1.0, centre + half))


def _exact_bounds(k: float, n: float, confidence: float) -> tuple[float, float]:
    """The bounds for k of n; neither need be whole, which is how an effective sample size enters."""
    tail = (1 - confidence) / 2
    low = beta_quantile(tail, k, n - k + 1) if k > 0 else 0.0
    high = beta_quantile(1 - tail, k + 1, n - k) if k < n else 1.0
    return low, high


def _check_counts(k: int, n: int, confidence: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is not a rate")
    _check_confidence(confidence)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
