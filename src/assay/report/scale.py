"""From a value to a place along an axis, and which ticks that axis shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic; `ticks` lie within it."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies: 0 at the axis's start, 1 at its end; values outside are put on the edge."""
        low, high, here = self.low, self.high, value
        if self.log:
            low, high, here = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(1.0, max(0.0, (here - low) / (high - low)))

    def at(self, value: float) -> str:
        """Where `value` lies, as SVG wants it: `42.5%`."""
        return f"{100 * self.share(value):.2f}%"


PERCENT = Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
"""The axis that all rates share, so that plots can be compared."""


def linear(values: Iterable[float], *, zero: bool = False) -> Scale:
    """A linear axis around `values` with about four round steps; from 0 where `zero`."""
    known = list(values) or [0.0]
    known += [0.0] if zero else []
    low, high = min(known), max(known)
    if low == high:
        low, high = (low, low + 1.0) if zero else (low - 0.5, high + 0.5)
    step = _step((high - low) / 4)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def _step(rough: float) -> float:
    """The 1, 2, 2.5 or 5 times a power of ten that is nearest above `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def logarithmic(low: float, high: float) -> Scale:
    """A logarithmic axis from `low` to `high` (both above 0); ticks at 1, 2 and 5, or powers of ten, or the ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = math.log10(high / low) < 2
    steps = [factor * 10.0**power for power in powers for factor in ((1, 2, 5) if fine else (1,))]
    ticks = tuple(step for step in steps if low <= step <= high)
    return Scale(low, high, ticks if len(ticks) > 1 else (low, high), log=True)
