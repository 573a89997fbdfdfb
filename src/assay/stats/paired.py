"""Two systems that answered the same samples, right or wrong: tests and intervals for the difference of their rates.

All differences are candidate - baseline. Pairs are independent; where they come in clusters (epochs of a problem), see
`assay.stats.clustered`. `alpha` is one-sided everywhere: an interval holds each of its bounds at alpha, both
together at 1 - 2 alpha.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from assay.stats.exact import NoValues, Number, check_alpha, exact, share_unseen
from assay.stats.intervals import Interval, wilson
from assay.stats.special import beta_cdf, normal_cdf, normal_quantile

Alternative = Literal["less", "greater", "two-sided"]
"""`less`: the candidate is worse; `greater`: it is better."""

WHOLE = 400
"""Up to this many discordant pairs, binomial tails are added up in whole numbers; beyond, to some twelve digits."""


@dataclass(frozen=True, slots=True)
class PairedTable:
    """How many pairs had which outcome: the 2×2 table, as counts.

    `both` and `neither` got the sample right together or not at all; `lost` are those that only the baseline got
    right, `won` those that only the candidate did. Raises ValueError for a count that is no whole number of 0 or more,
    and NoValues (a ValueError) where there are no pairs.
    """

    both: int
    lost: int
    won: int
    neither: int

    def __post_init__(self) -> None:
        for name in ("both", "lost", "won", "neither"):
            count = getattr(self, name)
            if isinstance(count, bool) or not hasattr(count, "__index__") or operator.index(count) < 0:
                raise ValueError(f"{name} must be a whole number of 0 or more, not {count!r}")
            object.__setattr__(self, name, operator.index(count))
        if not self.n:
            raise NoValues("there are no pairs to compare")

    @classmethod
    def of(cls, baseline: Iterable[float], candidate: Iterable[float]) -> PairedTable:
        """The table of two equally long lists of outcomes, each 0 or 1 (or a bool); position i is one sample."""
        counts = [0, 0, 0, 0]
        for place, (left, right) in enumerate(zip(baseline, candidate, strict=True)):
            for name, outcome in (("baseline", left), ("candidate", right)):
                if outcome not in (0, 1):
                    raise ValueError(f"{name}[{place}] must be 0 or 1, not {outcome!r}")
            counts[(0 if left else 2) + (not right)] += 1
        both, lost, won, neither = counts
        return cls(both, lost, won, neither)

    @property
    def n(self) -> int:
        """The number of pairs."""
        return self.both + self.lost + self.won + self.neither

    @property
    def discordant(self) -> int:
        """The pairs that exactly one of the two got right."""
        return self.lost + self.won

    @property
    def baseline(self) -> Fraction:
        """The baseline's rate."""
        return Fraction(self.both + self.lost, self.n)

    @property
    def candidate(self) -> Fraction:
        """The candidate's rate."""
        return Fraction(self.both + self.won, self.n)

    @property
    def delta(self) -> Fraction:
        """The candidate's rate less the baseline's."""
        return Fraction(self.won - self.lost, self.n)

    @property
    def uniform(self) -> bool:
        """Whether every pair was won, every pair lost or none was either: nothing varies."""
        return not self.discordant or self.n in (self.won, self.lost)

    @property
    def mirrored(self) -> PairedTable:
        """The same pairs with baseline and candidate swapped."""
        return PairedTable(self.both, self.won, self.lost, self.neither)


def drop(table: PairedTable, relative: bool = False) -> Fraction:
    """How far the candidate's rate lies below the baseline's, exactly; `relative`: as a share of the baseline's.

    Compare it with a threshold made by `exact`. Raises NoValues for a relative drop from a baseline of 0.
    """
    if not relative:
        return -table.delta
    if not table.baseline:
        raise NoValues("a baseline rate of 0 has no relative drop")
    return -table.delta / table.baseline


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two p-values of one test: `exact` never alarms too often, `mid_p` comes closer to the level it is held to."""

    exact: float
    mid_p: float


def mcnemar(table: PairedTable, alternative: Alternative = "two-sided") -> McNemar:
    """McNemar's test in its exact and mid-p forms (McNemar 1947; Fagerland, Lydersen and Laake 2013).

    Given the discordant pairs, wins are Binomial(discordant, 1/2) if the two rates are equal. mid-p counts the table
    seen with half its weight. With no discordant pair a one-sided p is 1 (mid-p 1/2), a two-sided one 1.
    """
    less, greater = _tail(table.won, table.discordant), _tail(table.lost, table.discordant)
    if alternative == "less":
        return less
    if alternative == "greater":
        return greater
    if alternative != "two-sided":
        raise ValueError(f"alternative must be less, greater or two-sided, not {alternative!r}")
    return McNemar(min(1.0, 2 * min(less.exact, greater.exact)), min(1.0, 2 * min(less.mid_p, greater.mid_p)))


def _tail(k: int, n: int) -> McNemar:
    """P(X <= k), and with half of P(X = k) taken away, for X ~ Binomial(n, 1/2)."""
    at_most, fewer = _cumulated(k, n), _cumulated(k - 1, n)
    return McNemar(at_most, (at_most + fewer) / 2)


def _cumulated(k: int, n: int) -> float:
    if k < 0 or k >= n:
        return float(k >= n)
    if n <= WHOLE:
        return float(sum(math.comb(n, i) for i in range(k + 1)) / (1 << n))
    return beta_cdf(0.5, n - k, k + 1)


def difference(table: PairedTable, alpha: float = 0.05) -> Interval:
    """The interval for candidate - baseline that decisions use: Tango's score interval, and exact bounds where all
    pairs had the same outcome (method `tango` or `exact`).

    Where no pair is discordant, each bound is the exact one for 0 of n discordant pairs, 1 - alpha^(1/n): 26 points
    for 10 pairs. Tango's would be 21, and would be exceeded 9 times in 100 instead of 5. Where every pair was won
    (or lost), it is 2 alpha^(1/n) - 1 likewise. The p-value that belongs to it is `p_value`.

    True one-sided error at a nominal 5 %, over all tables of 20 to 164 pairs: up to 5.7 % for ruling out a loss of up
    to three points that is there; up to 9.7 % for claiming more of a gain (or, by the upper bound, of a loss) than
    there is from a few wins and no losses. 3 to 5 % on average.
    """
    check_alpha(alpha)
    if not table.uniform:
        return tango(table, alpha)
    low, high = uniform_bounds(table, table.n, alpha)
    return Interval(float(table.delta), low, high, table.n, None, 1 - 2 * alpha, "exact")


def tango(table: PairedTable, alpha: float = 0.05) -> Interval:
    """Tango's score interval for the difference of two paired rates (Tango 1998, Statistics in Medicine 17: 891-908).

    The differences that the score test does not reject; the nuisance rate is the maximum-likelihood one under each.
    """
    check_alpha(alpha)
    low, high = score_bounds(table.lost, table.won, table.n, normal_quantile(1 - alpha))
    return Interval(float(table.delta), low, high, table.n, None, 1 - 2 * alpha, "tango")


def newcombe(table: PairedTable, alpha: float = 0.05) -> Interval:
    """Newcombe's hybrid score interval, method 10 (Newcombe 1998, Statistics in Medicine 17: 2635-2650).

    Two Wilson intervals combined with the pairs' correlation, its numerator corrected for continuity; closed in form, a
    check of Tango's.
    """
    check_alpha(alpha)
    low, high = _newcombe_low(table, alpha), -_newcombe_low(table.mirrored, alpha)
    return Interval(float(table.delta), low, high, table.n, None, 1 - 2 * alpha, "newcombe")


def p_value(table: PairedTable, at: Number) -> float:
    """The one-sided p against "candidate - baseline is `at` or less", at most alpha where `difference`'s lower bound at
    alpha is at least `at`: for non-inferiority, `at` is minus the margin.

    For "`at` or more" use `p_value(table.mirrored, -at)`.
    """
    point = float(exact(at, "at"))
    if not -1 <= point <= 1:
        raise ValueError(f"at must lie between -1 and 1, not {at}")
    if table.uniform:
        return uniform_p_value(table, table.n, point)
    return normal_cdf(-score(table.lost, table.won, table.n, point))


def uniform_bounds(table: PairedTable, tries: int, alpha: float) -> tuple[float, float]:
    """The exact bounds where all of `tries` independent units had one outcome (see `difference`)."""
    return _uniform_low(table, tries, alpha), -_uniform_low(table.mirrored, tries, alpha)


def uniform_p_value(table: PairedTable, tries: int, at: float) -> float:
    """The p-value that belongs to the lower one of `uniform_bounds`: how likely such a table is at most where the
    difference is `at` or less."""
    if table.won:
        return math.pow((1 + at) / 2, tries)
    return math.pow(min(1.0, 1 + at), tries) if not table.lost else 1.0


def _uniform_low(table: PairedTable, tries: int, alpha: float) -> float:
    if table.lost:
        return -1.0
    share = share_unseen(tries, alpha)
    return 1 - 2 * share if table.won else -share


def score_bounds(lost: float, won: float, n: float, z: float) -> tuple[float, float]:
    """Tango's bounds at the normal quantile `z`, from counts that need not be whole (an effective sample size)."""
    return _score_low(lost, won, n, z), -_score_low(won, lost, n, z)


def score(lost: float, won: float, n: float, delta: float) -> float:
    """Tango's score statistic against a true difference of `delta` in [-1, 1]; it falls as `delta` grows.

    With q the maximum-likelihood rate of losses where the rate of wins is q + delta (equation 10 of Tango 1998).
    """
    if delta > 0:
        return -score(won, lost, n, -delta)
    loss = -delta
    linear = won + lost + (2 * n - won + lost) * loss
    root = math.sqrt(max(0.0, linear * linear - 8 * n * lost * loss * (1 + loss)))
    q = (linear + root) / (4 * n)
    excess, variance = won - lost + n * loss, n * (2 * q - loss * (1 + loss))
    if variance <= 0:
        return math.copysign(math.inf, excess) if excess else 0.0
    return excess / math.sqrt(variance)


def _score_low(lost: float, won: float, n: float, z: float) -> float:
    """By bisection, down to neighbouring floats; of the two the outer one."""
    low, high = -1.0, (won - lost) / n
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if score(lost, won, n, middle) >= z else (low, middle)
    return low


def _newcombe_low(table: PairedTable, alpha: float) -> float:
    better = wilson(table.both + table.won, table.n, 1 - 2 * alpha)
    worse = wilson(table.both + table.lost, table.n, 1 - 2 * alpha)
    down, up = _gap(better.low, better.value), _gap(worse.value, worse.high)
    squares = down * down - 2 * _correlation(table) * down * up + up * up
    return float(table.delta) - math.sqrt(max(0.0, squares))


def _gap(low: float | None, high: float | None) -> float:
    return (high or 0.0) - (low or 0.0)  # a table is never empty, so that Wilson's interval always has bounds


def _correlation(table: PairedTable) -> float:
    a, b, c, d, n = table.both, table.lost, table.won, table.neither, table.n
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return 0.0
    product = a * d - b * c
    if product > 0:
        return max(0.0, product - n / 2) / math.sqrt(margins)
    return product / math.sqrt(margins)
