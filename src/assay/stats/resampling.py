"""What resampling says of a mean difference: the BCa bootstrap interval and the sign-flip test, over clusters.

Resamples are drawn by kind of cluster: how often each kind comes up is multinomial, so that paired right-or-wrong data
need three numbers a resample, however many pairs there are. Where nearly every cluster is a kind of its own,
clusters are drawn one by one, in blocks of a fixed size. Memory grows by eight bytes a resample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.stats.clustered import Clusters, Floats
from assay.stats.exact import check_alpha
from assay.stats.intervals import Interval

BLOCK = 1 << 18
"""Numbers drawn at a time."""

EXACT_COST = 1 << 19
"""Up to this many additions, all sign flips are gone through."""

_FEW = 24
"""With this many clusters a kind on average, drawing by kind is the faster way."""

_NORMAL = NormalDist()


def bootstrap(data: Clusters, alpha: float = 0.05, resamples: int = 10_000, seed: int = 0) -> Interval:
    """The BCa bootstrap interval for the mean difference, by clusters (Efron 1987; DiCiccio and Efron 1996).

    Bias from the share of resamples below the mean (half of those equal to it), acceleration from leaving out one
    cluster at a time. An asymptotic method: below some 20 clusters it is too short, prefer the t interval. Bounds are
    None where all clusters are alike, or there is but one. The same seed gives the same bounds.
    """
    check_alpha(alpha)
    _check_resamples(resamples)
    low, high = (None, None) if data.alike else _symmetric(data, alpha, resamples, seed)
    return Interval(data.value, low, high, data.n, data.size, 1 - 2 * alpha, "bca-clustered")


def _symmetric(data: Clusters, alpha: float, resamples: int, seed: int) -> tuple[float, float]:
    """Of the data and their mirror image, only one is ever resampled, so that swapped sides get mirrored bounds."""
    mirrored = data.mirrored
    mine, other = ([*each.sizes, *each.sums, *each.times] for each in (data, mirrored))
    low, high = _bca(data if mine <= other else mirrored, alpha, resamples, seed)
    if mine == other:
        return (low - high) / 2, (high - low) / 2
    return (low, high) if mine < other else (-high, -low)


def _bca(data: Clusters, alpha: float, resamples: int, seed: int) -> tuple[float, float]:
    means = np.fromiter((mean for block in _resampled(data, resamples, seed) for mean in block), np.float64, resamples)
    below = np.count_nonzero(means < data.value) + np.count_nonzero(means == data.value) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 0.5), resamples - 0.5) / resamples)
    acceleration = _acceleration(data)
    shares = [_adjusted(_NORMAL.inv_cdf(share), bias, acceleration) for share in (alpha, 1 - alpha)]
    low, high = np.quantile(means, shares)
    return float(low), float(high)


def _adjusted(z: float, bias: float, acceleration: float) -> float:
    shrunk = 1 - acceleration * (bias + z)
    if shrunk <= 0:
        return float(z > 0)
    return _NORMAL.cdf(bias + (bias + z) / shrunk)


def _acceleration(data: Clusters) -> float:
    total, n = float((data.sums * data.times).sum()), data.n
    left = np.where(data.sizes < n, (total - data.sums) / np.maximum(n - data.sizes, 1), 0.0)
    away = float((left * data.times).sum()) / data.size - left
    away = away / (float(np.abs(away).max()) or 1.0)  # cubes of tiny differences would vanish
    squares = float((away**2 * data.times).sum())
    return float((away**3 * data.times).sum()) / (6 * squares**1.5) if squares else 0.0


def _resampled(data: Clusters, resamples: int, seed: int) -> Iterator[Floats]:
    """The means of as many resamples, in blocks."""
    numbers, kinds, size = _numbers(seed), len(data.times), data.size
    by_kind = kinds * _FEW <= size or kinds <= 3
    rows = max(1, BLOCK // (kinds if by_kind else size))
    sums, sizes = np.repeat(data.sums, data.times), np.repeat(data.sizes.astype(np.float64), data.times)
    equal = bool((sizes == sizes[0]).all())
    for start in range(0, resamples, rows):
        many = min(rows, resamples - start)
        if by_kind:
            drawn = numbers.multinomial(size, data.times / size, many).astype(np.float64)
            yield (drawn @ data.sums) / (drawn @ data.sizes)
        else:
            places = numbers.integers(0, size, (many, size))
            below = size * sizes[0] if equal else sizes.take(places).sum(axis=1)
            yield sums.take(places).sum(axis=1) / below


@dataclass(frozen=True, slots=True)
class SignFlip:
    """The sign-flip test's p-values: `less` speaks for a worse candidate, `greater` for a better one.

    `method` is `exact` (all sign flips) or `monte-carlo` (`resamples` of them, and the data themselves counted in).
    """

    less: float
    greater: float
    two_sided: float
    method: Literal["exact", "monte-carlo"]
    resamples: int | None


def sign_flip(data: Clusters, resamples: int = 10_000, seed: int = 0) -> SignFlip:
    """The permutation test of no difference: under it, swapping the two systems throughout a cluster changes nothing.

    Exact wherever the sums of all flips can be gone through (always for right-or-wrong data of ordinary size, where
    it is McNemar's exact test if each cluster is one pair), else by Monte Carlo with p = (1 + hits) / (1 + resamples)
    (Phipson and Smyth 2010). Sums within 1e-9 of the one seen count as equal to it.
    """
    _check_resamples(resamples)
    moved = data.sums != 0
    sizes, where = np.unique(np.abs(data.sums[moved]), return_inverse=True)
    times = np.bincount(where, data.times[moved]).astype(np.int64) if len(sizes) else np.zeros(0, np.int64)
    seen = math.fsum((data.sums * data.times).tolist())
    slack = 1e-9 * math.fsum((sizes * times).tolist())
    everything = _distribution(sizes, times)
    if everything is not None:
        chances = [_chance(*everything, side, slack) for side in (-seen, seen, abs(seen))]
        return SignFlip(chances[0], chances[1], min(1.0, 2 * chances[2]), "exact", None)
    flips = np.concatenate(list(_flipped(sizes, times, resamples, seed)))
    hits = [np.count_nonzero(flips >= side - slack) for side in (-seen, seen)]
    hits.append(np.count_nonzero(np.abs(flips) >= abs(seen) - slack))
    less, greater, both = ((1 + int(hit)) / (1 + resamples) for hit in hits)
    return SignFlip(less, greater, both, "monte-carlo", resamples)


def _distribution(sizes: Floats, times: NDArray[np.int64]) -> tuple[Floats, Floats] | None:
    """Every sum that flips can reach and its chance, one kind of cluster after the other; None where too many."""
    reached: Floats = np.zeros(1)
    chances: Floats = np.ones(1)
    cost = 0
    for size, many in zip(sizes.tolist(), times.tolist(), strict=True):
        cost += len(reached) * (many + 1)
        if cost > EXACT_COST:
            return None
        steps = size * (2.0 * np.arange(many + 1) - many)
        reached, where = np.unique((reached[:, None] + steps).ravel(), return_inverse=True)
        chances = np.bincount(where, (chances[:, None] * _halves(many)).ravel()).astype(np.float64)
    return reached, chances


def _halves(n: int) -> Floats:
    """Binomial(n, 1/2)."""
    steps = np.log(np.arange(n, 0, -1) / np.arange(1, n + 1))
    chances: Floats = np.exp(np.concatenate(([0.0], np.cumsum(steps))) - n * math.log(2))
    return chances


def _chance(reached: Floats, chances: Floats, side: float, slack: float) -> float:
    return min(1.0, math.fsum(chances[reached >= side - slack].tolist()))


def _flipped(sizes: Floats, times: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """Sums with random signs, in blocks."""
    numbers, clusters = _numbers(seed), int(times.sum())
    by_kind = len(sizes) * _FEW <= clusters
    tables = None if by_kind else _byte_sums(np.repeat(sizes, times))
    rows = max(1, BLOCK // (len(sizes) if tables is None else len(tables)))
    for start in range(0, resamples, rows):
        many = min(rows, resamples - start)
        if tables is None:
            yield (2.0 * numbers.binomial(times, 0.5, (many, len(sizes))) - times) @ sizes
        else:
            patterns = np.frombuffer(numbers.bytes(many * len(tables)), np.uint8).reshape(many, -1)
            places = patterns + 256 * np.arange(len(tables))
            yield tables.ravel().take(places).sum(axis=1)


def _byte_sums(sizes: Floats) -> Floats:
    """For each eight clusters, the sum under each of their 256 patterns of signs: one look-up for eight flips."""
    eights = np.zeros(-(-len(sizes) // 8) * 8)
    eights[: len(sizes)] = sizes
    signs = 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1) - 1
    return np.asarray(eights.reshape(-1, 8) @ signs.T)


def _numbers(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))  # twice as fast as the default one where it counts


def _check_resamples(resamples: int) -> None:
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, not {resamples}")
