"""The count, mean and variance of numbers that come one at a time, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Moments:
    """Welford's running mean and sum of squared deviations (Welford 1962); `merge` is Chan, Golub and
    LeVeque's (1983).

    The last digits of a mean depend on the order in which values came; add them in the order they are stored.
    """

    n: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Count one value. Raises ValueError where it is not finite: such a value would poison all others."""
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        self.n += 1
        step = value - self._mean
        self._mean += step / self.n
        self._squares += step * (value - self._mean)

    def merge(self, other: Moments) -> None:
        """Count all of another's values."""
        if not other.n:
            return
        step, n = other._mean - self._mean, self.n + other.n
        self._squares += other._squares + step * step * self.n * other.n / n
        self._mean += step * other.n / n
        self.n = n

    @property
    def mean(self) -> float | None:
        """The mean; None where there are no values."""
        return self._mean if self.n else None

    @property
    def variance(self) -> float | None:
        """The sample variance (n-1 below the line); None for fewer than two values."""
        return self._squares / (self.n - 1) if self.n > 1 else None
