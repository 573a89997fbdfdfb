"""Bootstrap intervals for statistics of independent units: seeded, drawn in blocks, memory flat in resamples.

A statistic is a function of weights: how many times each row of the data was drawn. Rows are units, or kinds of
units that stand for several equal ones (Units.repeated), or parts of units that are drawn together
(Units.clustered). Efron 1987, *Better bootstrap confidence intervals*; Efron and Tibshirani 1993, chapters 13, 14.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

RESAMPLES = 2000
FEWEST_RESAMPLES = 100
JACKKNIFE_GROUPS = 400
"""With more units than this, the jackknife behind the acceleration leaves out groups of them, not one at a time."""

_BLOCK = 2_000_000
"""Weights held at a time: 16 MB."""

_FEW = 10
"""Units that a kind must stand for, on average, before kinds are drawn rather than units."""


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What is drawn with replacement, and the rows that each draw brings along.

    `count` is the number of units, `rows` the length of a row of weights. `owner` maps each unit to its row
    where units are kinds or stand for themselves; `cluster` maps each row to its unit where a unit has several
    rows. Exactly one of the two is set.
    """

    count: int
    rows: int
    owner: Whole | None
    cluster: Whole | None

    @classmethod
    def alone(cls, count: int) -> Units:
        """Every row is a unit."""
        return cls.repeated([1] * count)

    @classmethod
    def repeated(cls, times: Sequence[int] | Whole) -> Units:
        """Row i stands for `times[i]` units that are all alike."""
        import numpy as np

        counts = np.asarray(times, dtype=np.int64)
        return cls(int(counts.sum()), len(counts), np.repeat(np.arange(len(counts)), counts), None)

    @classmethod
    def clustered(cls, labels: Sequence[Hashable]) -> Units:
        """Rows with the same label are drawn together."""
        import numpy as np

        known: dict[Hashable, int] = {}
        index = np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)
        return cls(len(known), len(index), None, index)

    def whole(self) -> Floats:
        """The weights of the data as they are, shape (1, rows)."""
        import numpy as np

        if self.owner is None:
            return np.ones((1, self.rows))
        return np.bincount(self.owner, minlength=self.rows).astype(np.float64)[None, :]

    def draws(self, resamples: int, seed: int) -> Iterator[Floats]:
        """Weights of `resamples` resamples in blocks of shape (b, rows); the same seed gives the same ones."""
        import numpy as np

        generator = np.random.default_rng(seed)
        few = self.owner is not None and self.rows * _FEW < self.count
        block = max(1, _BLOCK // max(self.rows if few else self.count, self.rows, 1))
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            if few:  # drawing kinds costs as much as there are kinds, whatever the number of units
                yield generator.multinomial(self.count, self.whole()[0] / self.count, size).astype(np.float64)
                continue
            drawn = generator.integers(0, self.count, (size, self.count))
            yield self._weights(drawn if self.owner is None else self.owner[drawn])

    def _weights(self, drawn: Whole) -> Floats:
        """How often each row comes, from which rows (or clusters) were drawn, shape (b, count)."""
        import numpy as np

        size, width = len(drawn), self.rows if self.cluster is None else self.count
        flat = (drawn + np.arange(size)[:, None] * width).ravel()
        counts = np.bincount(flat, minlength=size * width).reshape(size, width).astype(np.float64)
        return counts if self.cluster is None else counts[:, self.cluster]

    def left_out(self) -> Iterator[Floats]:
        """Weights with each unit (or, of many, each of 400 random groups of units) left out once, in blocks."""
        import numpy as np

        groups = min(self.count, JACKKNIFE_GROUPS)
        group = np.random.default_rng(0).permutation(self.count) % groups
        block = max(1, _BLOCK // max(self.rows, 1))
        for start in range(0, groups, block):
            yield self._without(group, np.arange(start, min(start + block, groups)))

    def _without(self, group: Whole, wanted: Whole) -> Floats:
        import numpy as np

        weights = np.repeat(self.whole(), len(wanted), axis=0)
        rows = np.arange(self.rows) if self.owner is None else self.owner
        of_row = group if self.cluster is None else group[self.cluster]
        inside = (of_row >= wanted[0]) & (of_row <= wanted[-1])
        np.subtract.at(weights, (of_row[inside] - wanted[0], rows[inside]), 1.0)
        return weights


@dataclass(frozen=True, slots=True)
class Bounds:
    """`low` and `high` are None where they cannot be estimated. `undefined` counts the resamples in which the
    statistic has no value; `method` is `bootstrap-bca` or `bootstrap-percentile`.
    """

    low: float | None
    high: float | None
    undefined: int
    method: str


def bounds(
    statistic: Callable[[Floats], Floats],
    units: Units,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Bounds:
    """The BCa interval of `statistic`, which turns weights of shape (b, rows) into b values.

    A value that is not finite is undefined (agreement where a resample holds one category alone). Such
    resamples count against both bounds: as if below every value for the low one, above for the high one; where
    they reach a bound, it is None. Fewer than two units, or the same value in every resample, have no
    bounds at all. Where all resamples lie on one side of the value BCa does not exist and the
    percentiles stand in.
    """
    import numpy as np

    check(confidence, resamples)
    if units.count < 2:
        return Bounds(None, None, 0, "bootstrap-bca")
    value = float(statistic(units.whole())[0])
    drawn = np.concatenate([statistic(block) for block in units.draws(resamples, seed)])
    defined = np.sort(drawn[np.isfinite(drawn)])
    undefined = resamples - len(defined)
    if not math.isfinite(value) or not len(defined) or not _varies(defined, value):
        return Bounds(None, None, undefined, "bootstrap-bca")
    levels, method = _levels(statistic, units, defined, value, confidence)
    low = _order(defined, math.floor(levels[0] * (resamples + 1)) - 1 - undefined, resamples, undefined)
    high = _order(defined, math.ceil(levels[1] * (resamples + 1)) - 1, resamples, undefined)
    return Bounds(low, high, undefined, method)


def check(confidence: float, resamples: int) -> None:
    """Raise ValueError where the confidence is none, or the resamples are too few to have tails."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(f"at least {FEWEST_RESAMPLES} resamples are needed, not {resamples}")


def _varies(ordered: Floats, value: float) -> bool:
    return bool(ordered[-1] - ordered[0] > 1e-12 * max(abs(value), 1e-300))


def _order(defined: Floats, place: int, resamples: int, undefined: int) -> float | None:
    """The value at `place` among the defined ones; None where an undefined resample stands there."""
    if undefined and not 0 <= place < len(defined):
        return None
    return float(defined[min(max(place, 0), len(defined) - 1)])


def _levels(
    statistic: Callable[[Floats], Floats], units: Units, defined: Floats, value: float, confidence: float
) -> tuple[tuple[float, float], str]:
    """The two quantiles to read, corrected for bias and skew (Efron 1987, equations 2.3 and 6.6)."""
    import numpy as np

    tail = (1 - confidence) / 2
    tolerance = 1e-12 * max(abs(value), 1.0)
    below = float(np.mean(defined < value - tolerance) + np.mean(np.abs(defined - value) <= tolerance) / 2)
    if not 0 < below < 1:
        return (tail, 1 - tail), "bootstrap-percentile"
    normal = NormalDist()
    shift, skew = normal.inv_cdf(below), _acceleration(statistic, units)
    found = []
    for level in (tail, 1 - tail):
        sum_ = shift + normal.inv_cdf(level)
        if skew * sum_ >= 1:
            return (tail, 1 - tail), "bootstrap-percentile"
        found.append(normal.cdf(shift + sum_ / (1 - skew * sum_)))
    return (found[0], found[1]), "bootstrap-bca"


def _acceleration(statistic: Callable[[Floats], Floats], units: Units) -> float:
    """A sixth of the skewness of the jackknife's influences; 0 where some of them have no value."""
    import numpy as np

    values = np.concatenate([statistic(block) for block in units.left_out()])
    if not np.isfinite(values).all():
        return 0.0
    influence = values.mean() - values
    scale = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * scale**1.5) if scale > 1e-300 else 0.0
