"""Paired differences that come in clusters: the epochs of a problem, the questions of a subject.

Clusters are independent, differences inside one need not be. Everything is computed from the clusters' sizes and sums,
counted by kind and put in order: the order of samples changes no bit of any result, and swapping baseline and candidate
negates and swaps the bounds to the last bit. `alpha` is one-sided: each bound of an interval is held at alpha.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.stats.exact import NoValues, Number, check_alpha, exact, share_unseen
from assay.stats.intervals import Interval
from assay.stats.paired import PairedTable, score, score_bounds, uniform_bounds, uniform_p_value
from assay.stats.special import t_tail, t_two_sided

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LARGEST = 1e100
"""No difference may be larger: sums of squares must stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Differences summed up by cluster; clusters of equal size and sum are one kind.

    Kind i stands for `times[i]` clusters, each of `sizes[i]` differences that add up to `sums[i]`. Kinds are in
    ascending order of (size, sum). Made by `clusters`.
    """

    sizes: Counts
    sums: Floats
    times: Counts

    @property
    def n(self) -> int:
        """The number of differences."""
        return int(self.sizes @ self.times)

    @property
    def size(self) -> int:
        """The number of clusters."""
        return int(self.times.sum())

    @property
    def value(self) -> float:
        """The mean difference."""
        return math.fsum((self.sums * self.times).tolist()) / self.n + 0.0

    @property
    def mirrored(self) -> Clusters:
        """The same with baseline and candidate swapped."""
        return _ordered(self.sizes, -self.sums, self.times)

    @property
    def alike(self) -> bool:
        """Whether nothing varies between clusters (up to rounding), so that no variance can be estimated."""
        return standard_error(self) <= 1e-12 * float(np.abs(self.sums / self.sizes).max())


def clusters(differences: Sequence[float] | Floats, labels: Sequence[Hashable] | None = None) -> Clusters:
    """The differences (candidate - baseline, one a pair) by cluster; without `labels`, each is a cluster of its own.

    Raises NoValues where there are none, ValueError for one that is not finite or where the lengths differ.
    """
    values = finite(differences, "differences")
    if labels is None:
        sums, times = np.unique(values + 0.0, return_counts=True)
        return Clusters(np.ones(len(sums), np.int64), sums, times.astype(np.int64))
    if len(labels) != len(values):
        raise ValueError(f"labels must be as many as differences, {len(values)}, not {len(labels)}")
    numbers: dict[Hashable, int] = {}
    codes = np.fromiter((numbers.setdefault(label, len(numbers)) for label in labels), np.int64, len(values))
    # Gains and losses are added up apart, smallest first: no order of samples, and no swap, changes a digit.
    order = np.argsort(np.abs(values), kind="stable")
    codes, values = codes[order], values[order]
    gains, losses = (np.bincount(codes, np.maximum(part, 0.0)) for part in (values, -values))
    sizes = np.bincount(codes).astype(np.int64)
    return _ordered(sizes, np.asarray(gains - losses, np.float64), np.ones(len(sizes), np.int64))


def finite(values: Sequence[float] | Floats, name: str) -> Floats:
    """`values` as an array of floats. Raises NoValues where empty; ValueError, naming `name`, where they are no flat
    list of numbers, or one is not finite (or beyond LARGEST)."""
    given = np.asarray(values)
    if given.size == 0:
        raise NoValues(f"{name} must hold at least one number")
    if given.ndim != 1 or given.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be a list of numbers")
    found = given.astype(np.float64)
    if not (sound := np.abs(found) <= LARGEST).all():
        place = int(np.argmin(sound))
        raise ValueError(f"{name}[{place}] must be finite, not {found[place]}")
    return found


def _ordered(sizes: Counts, sums: Floats, times: Counts) -> Clusters:
    order = np.lexsort((sums + 0.0, sizes))
    sizes, sums, times = sizes[order], sums[order] + 0.0, times[order]
    first = np.flatnonzero(np.concatenate(([True], (sizes[1:] != sizes[:-1]) | (sums[1:] != sums[:-1]))))
    return Clusters(sizes[first], sums[first], np.add.reduceat(times, first))


def mean_difference(data: Clusters, alpha: float = 0.05, scale: float | None = None) -> Interval:
    """The cluster-robust t interval for the mean difference, with G - 1 degrees of freedom (Miller 2024, arXiv
    2411.00640, section 2.2; the factor G/(G-1) as in `assay.stats.intervals.clustered_mean`).

    Where all clusters are alike there is no variance to go by. With `scale` (no difference lies outside
    -scale..scale) the bounds are then exact ones: a cluster unlike the G seen has a chance of at most
    1 - alpha^(1/G), and could lie as far off as the scale allows (method `exact-clustered`). Without it they are
    None.
    """
    check_alpha(alpha)
    value = data.value
    if data.alike:
        low, high = (None, None) if scale is None else _unseen(value, data.size, scale, alpha)
        return Interval(
            value, low, high, data.n, data.size, 1 - 2 * alpha, "exact-clustered" if scale else "t-clustered"
        )
    half = t_two_sided(1 - 2 * alpha, data.size - 1) * standard_error(data)
    return Interval(value, value - half, value + half, data.n, data.size, 1 - 2 * alpha, "t-clustered")


def p_value(data: Clusters, at: Number, scale: float | None = None) -> float | None:
    """The one-sided p against "the mean difference is `at` or less" that belongs to `mean_difference`'s lower bound.

    None where that bound is. For "`at` or more" use `p_value(data.mirrored, -at)`.
    """
    point = float(exact(at, "at"))
    if not data.alike:
        return t_tail((data.value - point) / standard_error(data), data.size - 1)
    if scale is None:
        return None
    _check_scale(data.value, scale)
    if point >= data.value:
        return 1.0
    return max(0.0, (point + scale) / (data.value + scale)) ** data.size


def standard_error(data: Clusters) -> float:
    """The standard error of the mean difference, clusters being the units; 0 for a single one."""
    if data.size < 2:
        return 0.0
    residuals = data.sums - data.value * data.sizes
    largest = float(np.abs(residuals).max()) or 1.0  # squares of tiny differences would vanish
    squares = math.fsum(((residuals / largest) ** 2 * data.times).tolist())
    return largest * math.sqrt(squares * data.size / (data.size - 1)) / data.n


def design_effect(data: Clusters, variance: float) -> float:
    """How many times larger clusters make the mean's variance than `variance` (of one difference) / n; at least 1."""
    return max(1.0, standard_error(data) ** 2 * data.n / variance) if variance > 0 else data.n / data.size


def _unseen(value: float, size: int, scale: float, alpha: float) -> tuple[float, float]:
    _check_scale(value, scale)
    share = share_unseen(size, alpha)
    return value - share * (value + scale), value + share * (scale - value)


def _check_scale(value: float, scale: float) -> None:
    if not (math.isfinite(scale) and scale > 0 and abs(value) <= scale):
        raise ValueError(f"scale must be finite, positive and no less than any difference, not {scale}")


def rate_difference(table: PairedTable, data: Clusters, alpha: float = 0.05) -> Interval:
    """Tango's interval for two rates whose pairs come in clusters; `data` holds the same pairs' differences.

    All counts are divided by the design effect (the variance between clusters over that of independent pairs, at least
    1), and Student's t of G - 1 degrees of freedom takes the place of z (Yang, Sun and Hardin 2012 adjust Tango's
    interval so for clustered matched pairs; Korn and Graubard 1998 for one rate). Where all pairs had one outcome
    the clusters are the tries: 1 - alpha^(1/G) for none of G. One cluster alone has no bounds.

    With d discordant pairs the design effect is taken to be at least 1 + (mean size - 1) / d²: simulated one-sided
    errors were then 0 to 7 % at a nominal 5 %, where the t interval's reached 14 % for a few losses among many ties.
    """
    check_alpha(alpha)
    _check_same(table, data)
    value, confidence = float(table.delta), 1 - 2 * alpha
    if data.size == 1:
        return Interval(value, None, None, table.n, 1, confidence, "tango-clustered")
    if table.uniform:
        low, high = uniform_bounds(table, data.size, alpha)
        return Interval(value, low, high, table.n, data.size, confidence, "exact-clustered")
    low, high = score_bounds(*_effective(table, data), t_two_sided(confidence, data.size - 1))
    return Interval(value, low, high, table.n, data.size, confidence, "tango-clustered")


def rate_p_value(table: PairedTable, data: Clusters, at: Number) -> float | None:
    """The one-sided p against "candidate - baseline is `at` or less" that belongs to `rate_difference`'s lower bound.

    None where that bound is. For "`at` or more" use `rate_p_value(table.mirrored, data.mirrored, -at)`.
    """
    point = float(exact(at, "at"))
    if not -1 <= point <= 1:
        raise ValueError(f"at must lie between -1 and 1, not {at}")
    _check_same(table, data)
    if data.size == 1:
        return None
    if table.uniform:
        return uniform_p_value(table, data.size, point)
    return t_tail(score(*_effective(table, data), point), data.size - 1)


def _effective(table: PairedTable, data: Clusters) -> tuple[float, float, float]:
    """The counts of losses, wins and pairs, divided by the design effect."""
    delta = table.won / table.n - table.lost / table.n
    effect = design_effect(data, table.discordant / table.n - delta * delta)
    # A handful of discordant pairs cannot show that clusters do not matter: one alone counts as its whole cluster.
    effect = max(effect, 1 + (table.n / data.size - 1) / table.discordant**2)
    return table.lost / effect, table.won / effect, table.n / effect


def _check_same(table: PairedTable, data: Clusters) -> None:
    if table.n != data.n or table.won - table.lost != (data.sums * data.times).sum():
        raise ValueError("table and data must be of the same pairs")
