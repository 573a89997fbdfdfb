"""Quantiles of many numbers in bounded memory: latencies, token counts.

Exact up to 2,048 values; beyond, values fall into buckets whose bounds grow by a constant factor, and a
quantile is off by at most 1 % of itself (DDSketch: Masson, Rim and Lee 2019, arXiv 1908.10693). Count, mean,
smallest and largest are exact throughout. 100,000 latencies between a microsecond and a day need some 1,200
buckets.
"""

from __future__ import annotations

import math
from array import array

ERROR = 0.01
"""The largest relative error of a quantile."""

EXACT_UP_TO = 2048
SMALLEST = 1e-9
"""Numbers below this share one bucket, with zero; a quantile that falls there is 0."""

_LOG_FACTOR = math.log((1 + ERROR) / (1 - ERROR))


class Sketch:
    """A summary of numbers that are not negative. Order does not matter, except to the last digits of the mean."""

    __slots__ = ("_buckets", "_sum", "_values", "count", "max", "min")

    def __init__(self) -> None:
        self.count = 0
        self.min: float | None = None
        self.max: float | None = None
        self._sum = 0.0
        self._values: array[float] | None = array("d")
        self._buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Count one value. Raises ValueError where it is negative or not finite."""
        if not 0 <= value < math.inf:
            raise ValueError(f"{value} is not a finite number of zero or more")
        self.count += 1
        self._sum += value
        if self.max is None or value > self.max:
            self.max = value
        if self.min is None or value < self.min:
            self.min = value
        if self._values is None:
            self._count(value)
            return
        self._values.append(value)
        if len(self._values) > EXACT_UP_TO:
            self._spill()

    def merge(self, other: Sketch) -> None:
        """Count all of another's values, as if they had been added here."""
        self.count += other.count
        self._sum += other._sum
        self.min = min((value for value in (self.min, other.min) if value is not None), default=None)
        self.max = max((value for value in (self.max, other.max) if value is not None), default=None)
        if self._values is not None and other._values is not None:
            self._values.extend(other._values)
            if len(self._values) > EXACT_UP_TO:
                self._spill()
            return
        self._spill()
        for value in other._values or ():
            self._count(value)
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    @property
    def mean(self) -> float | None:
        """The mean; None where there are no values."""
        return self._sum / self.count if self.count else None

    def quantile(self, q: float) -> float | None:
        """The value that a share `q` of the values does not exceed; None where there are no values.

        While exact, between two values it is interpolated (Hyndman and Fan's type 7, as numpy does); beyond,
        it is the middle of the bucket that the value of that rank fell into.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile lies between 0 and 1, not {q}")
        if self.min is None or self.max is None:
            return None
        rank = q * (self.count - 1)
        if self._values is not None:
            return _interpolated(sorted(self._values), rank)
        if q in (0, 1):
            return self.max if q else self.min
        return min(max(self._ranked(rank), self.min), self.max)

    def _ranked(self, rank: float) -> float:
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen > rank:
                return _middle(bucket)
        raise AssertionError("more values were counted than buckets hold")

    def _spill(self) -> None:
        for value in self._values or ():
            self._count(value)
        self._values = None

    def _count(self, value: float) -> None:
        bucket = math.ceil(math.log(value) / _LOG_FACTOR) if value >= SMALLEST else _ZERO
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1


_ZERO = math.floor(math.log(SMALLEST) / _LOG_FACTOR) - 1


def _middle(bucket: int) -> float:
    """The value whose relative distance to both of the bucket's bounds is the same."""
    return 2 * math.exp(bucket * _LOG_FACTOR) / (1 + math.exp(_LOG_FACTOR)) if bucket > _ZERO else 0.0


def _interpolated(values: list[float], rank: float) -> float:
    below = math.floor(rank)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (rank - below)
