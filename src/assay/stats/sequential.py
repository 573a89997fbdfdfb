"""Looking at the data as often as one likes: bounds that hold at every look at once.

A confidence sequence by betting (Waudby-Smith and Ramdas 2024, JRSS B 86: 1-27, section 4). Against "the mean is m or
less" one bets the share c of one's money on each value x in -1..1 being larger than m: a bet multiplies the money by
1 - c + c (1 + x)/(1 + m). If m is the mean, no bet and no mixture of bets is expected to gain, so the chance that the
money ever grows 1/alpha-fold is at most alpha (Ville 1939): no assumption but independent values on the scale, any
number of looks, any n.

The bets are a fixed mixture over shares from 1 % to 99 %, so the money depends on how often each value came, not on the
order inside the sequence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.stats.clustered import Floats, finite
from assay.stats.exact import check_alpha

SHARES: Floats = np.geomspace(0.01, 0.99, 14)
"""The shares bet; each has the same part of the money at first."""

_CLOSE = 1e-7


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known after `n` values: the mean so far, and the tightest bounds yet, each held at the sequence's alpha.

    `low` above `high` happens with a chance of at most 2 alpha; else it means that the values drifted (they did not
    come in random order, or something changed on the way).
    """

    n: int
    value: float
    low: float
    high: float


class ConfidenceSequence:
    """One-sided bounds for a mean of values in -scale..scale that may be looked at after any block, and stopped on.

    Values are one a cluster (a problem's mean over its epochs), independent and in random order. `alpha` holds for each
    bound: the chance that the mean ever lies outside of it, over all looks.
    """

    def __init__(self, alpha: float = 0.05, scale: float = 1.0) -> None:
        check_alpha(alpha)
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be finite and positive, not {scale}")
        self.alpha = alpha
        self.scale = scale
        self._seen: Counter[float] = Counter()
        self._low, self._high = -1.0, 1.0

    def add(self, values: Sequence[float] | Floats) -> Bounds:
        """Take in a block of values and say what is known. Raises ValueError for one off the scale or not finite, and
        NoValues for an empty block; nothing of such a block is counted."""
        block = finite(values, "values")
        if (off := np.abs(block) > self.scale).any():
            place = int(np.argmax(off))
            raise ValueError(f"values[{place}] must lie within {self.scale} of 0, not {block[place]}")
        kinds, times = np.unique(block / self.scale + 0.0, return_counts=True)
        self._seen.update(dict(zip(kinds.tolist(), times.tolist(), strict=True)))
        seen, counts = self._kinds()
        mirrored = np.ascontiguousarray(-seen[::-1]), np.ascontiguousarray(counts[::-1])
        self._low = _raised(self._low, seen, counts, self.alpha)
        self._high = -_raised(-self._high, *mirrored, self.alpha)
        return self.bounds()

    def bounds(self) -> Bounds:
        """What is known so far; before any value, the whole scale (and a mean of NaN)."""
        values, counts = self._kinds()
        n = int(counts.sum())
        value = math.fsum((values * counts).tolist()) / n * self.scale if n else math.nan
        return Bounds(n, value, self._low * self.scale, self._high * self.scale)

    def _kinds(self) -> tuple[Floats, Floats]:
        ordered = sorted(self._seen)
        return np.array(ordered), np.array([self._seen[value] for value in ordered], dtype=np.float64)


def _raised(low: float, values: Floats, counts: Floats, alpha: float) -> float:
    """The largest mean, from `low` on, against which the bets have multiplied the money by 1/alpha: they beat every
    smaller one too."""
    goal, high = -math.log(alpha), float(values @ counts / counts.sum())
    if high <= low or (low > -1 and _log_money(values, counts, low) < goal):
        return low
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if _log_money(values, counts, middle) >= goal else (low, middle)
    return low


def _log_money(values: Floats, counts: Floats, mean: float) -> float:
    gains = np.log1p(SHARES[:, None] * ((values - mean) / (1 + mean)))
    logs = gains @ counts
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))
