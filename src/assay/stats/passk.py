"""pass@k: the chance that at least one of k attempts at a problem passes, and its mean over problems.

Nothing is drawn to estimate it: of n attempts c passed, and the unbiased estimate is the share of all subsets of k
attempts that hold a pass (Chen et al. 2021, arXiv 2107.03374, equation 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.stats.bootstrap import Units, bounds
from assay.stats.intervals import Interval, rate
from assay.stats.special import beta_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

RESAMPLES = 10_000
"""How often the problems are drawn again, in blocks; of each resample only its mean is kept, 8 bytes."""

FEW = 10
"""Where fewer problems than this make up the distance from 1, or from 0, the interval is the exact one: a resample
cannot hold what the sample hardly shows, and the bootstrap's intervals were far too short there."""

_ROUNDING = 1e-12


def pass_at_k(counts: Sequence[int], passes: Sequence[int], k: int) -> Floats:
    """1 - C(n-c, k)/C(n, k) for each problem, of whose `counts` n attempts `passes` c passed.

    Computed as 1 minus the product of 1 - c/(n-j) over j below k, in logarithms: right to ten digits for n up to
    10,000. Raises ValueError where k is not positive, where more passed than were tried, and where problems have fewer
    than k attempts: those have no estimate, and without them the mean would be of other problems.
    """
    import numpy as np

    n, c = np.asarray(counts, dtype=np.int64), np.asarray(passes, dtype=np.int64)
    _check(n, c, k)
    open_ = n - c >= k  # elsewhere every subset of k holds a pass
    left, passed = n[open_].astype(np.float64), c[open_]
    logs = np.zeros(left.shape)
    for j in range(k):
        logs += np.log1p(-passed / (left - j))
    values = np.ones(n.shape)
    values[open_] = np.abs(np.expm1(logs))
    return values


def _check(n: Whole, c: Whole, k: int) -> None:
    if n.shape != c.shape or n.ndim != 1:
        raise ValueError("counts and passes are two lists of equal length, one entry a problem")
    if k < 1:
        raise ValueError(f"k is a number of attempts, 1 or more, not {k}")
    if bool(((c < 0) | (c > n)).any()):
        raise ValueError("a problem has more passes than attempts, or a negative count")
    if short := int((n < k).sum()):
        raise ValueError(f"pass@{k} needs {k} attempts a problem; {short} of {len(n)} problems have fewer")


def mean_pass_at_k(
    counts: Sequence[int], passes: Sequence[int], k: int, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The mean of pass@k over problems; the interval is for problems like these, not for these alone.

    By BCa bootstrap over problems, or where too few of them tell (`FEW`), or all are alike, by the exact interval
    with each problem as one try: wide rather than short, since no values in 0..1 vary more than 0 and 1 do. With one
    attempt a problem, the rate's own interval. In 140 simulated worlds (10 to 164 problems, 5 to 200 attempts) this
    held the truth in at least 91 % of runs and in half of the worlds in 98 %; BCa alone fell to 29 %, the plain
    percentiles of the same resamples to 26 %, and these lay below BCa in the middle too (94 % and 95 %).

    `n` counts attempts, `clusters` problems (None where they are the same). Equal arguments give equal bounds. Raises
    ValueError as `pass_at_k` does, and for a confidence outside 0..1.
    """
    values = pass_at_k(counts, passes, k)
    attempts, size = sum(counts), len(values)
    if attempts == size:
        return rate(sum(passes), size, confidence)
    value = float(values.mean())
    if _few(values):
        return Interval(value, *_exact(value, size, confidence), attempts, size, confidence, "clopper-pearson")
    low, high = _drawn(values, confidence, seed)
    return Interval(value, low, high, attempts, size, confidence, "bootstrap-bca")


def _few(values: Floats) -> bool:
    alike = float(values.max() - values.min()) <= _ROUNDING
    return alike or min(_telling(values), _telling(1 - values)) < FEW


def _telling(distances: Floats) -> float:
    """How many equal distances would vary as these do (Kish's effective size): one large one among many tiny ones
    counts as one."""
    squares = float((distances**2).sum())
    return float(distances.sum()) ** 2 / squares if squares else 0.0


def _exact(value: float, size: int, confidence: float) -> tuple[float, float]:
    """The bounds for a share of `size` tries that need not be whole (Clopper and Pearson 1934)."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
    tail, passed = (1 - confidence) / 2, value * size
    low = beta_quantile(tail, passed, size - passed + 1) if value > _ROUNDING else 0.0
    high = beta_quantile(1 - tail, passed + 1, size - passed) if value < 1 - _ROUNDING else 1.0
    return min(low, value), max(high, value)


def _drawn(values: Floats, confidence: float, seed: int) -> tuple[float | None, float | None]:
    import numpy as np

    kinds, times = np.unique(values, return_counts=True)

    def mean(weights: Floats) -> Floats:
        found: Floats = weights @ kinds / weights.sum(axis=1)
        return found

    found = bounds(mean, Units.repeated(times), confidence, RESAMPLES, seed)
    return found.low, found.high
