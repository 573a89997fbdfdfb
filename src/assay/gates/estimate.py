"""How much better the candidate is: a gain, its bounds at any level, and the p-values that belong to them.

`gain` is candidate - baseline where higher is better, and the other way round where lower is: a positive gain is
good. What statistics is used where is written in docs/gates.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np

from assay.gates.evidence import Floats, Metric, Whole
from assay.gates.pairs import Pairs
from assay.gates.run import mean_of
from assay.stats import clustered, paired
from assay.stats.clustered import Clusters
from assay.stats.exact import Number, exact
from assay.stats.intervals import Interval, clustered_mean, clustered_rate
from assay.stats.paired import McNemar, PairedTable, mcnemar
from assay.stats.power import samples_for, samples_without_discordance, smallest_difference
from assay.stats.resampling import sign_flip
from assay.stats.special import normal_quantile

Fill = Literal["worst", "best"]
"""What a missing score is taken for: the worst case for the candidate, or the best."""

MOST_SAMPLES = 10**12
"""Whoever would need more than this cannot decide."""

FILLS: tuple[Fill, Fill] = ("worst", "best")


@dataclass(frozen=True, eq=False)
class Estimate:
    """The paired scores of one task, with no value missing. `scale` is (lowest, highest); `sign` is -1 where lower is
    better. `label` is None where each pair is a cluster of its own."""

    baseline: Floats
    candidate: Floats
    label: Whole | None
    rate: bool
    scale: tuple[float, float]
    sign: int = 1
    _bounds: dict[float, Interval] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        """The number of pairs."""
        return len(self.baseline)

    @property
    def width(self) -> float:
        """How far apart two scores can be."""
        return self.scale[1] - self.scale[0]

    @cached_property
    def table(self) -> PairedTable:
        """Right and wrong as counts, wins being gains. For rates only."""
        both = int(np.count_nonzero((self.baseline == 1) & (self.candidate == 1)))
        neither = int(np.count_nonzero((self.baseline == 0) & (self.candidate == 0)))
        only_left = int(np.count_nonzero((self.baseline == 1) & (self.candidate == 0)))
        only_right = int(np.count_nonzero((self.baseline == 0) & (self.candidate == 1)))
        table = PairedTable(both, only_left, only_right, neither)
        return table if self.sign > 0 else table.mirrored

    @cached_property
    def data(self) -> Clusters:
        """The gains by cluster."""
        labels = None if self.label is None else self.label.tolist()
        return clustered.clusters(self.sign * (self.candidate - self.baseline), labels)

    @cached_property
    def gain(self) -> Fraction:
        """The mean gain, exactly."""
        if self.rate:
            return self.table.delta
        return self.sign * (mean_of(self.candidate) - mean_of(self.baseline))

    def interval(self, alpha: float) -> Interval:
        """The gain with its bounds, each held at `alpha`."""
        if alpha not in self._bounds:
            self._bounds[alpha] = self._interval(alpha)
        return self._bounds[alpha]

    def _interval(self, alpha: float) -> Interval:
        if not self.rate:
            return clustered.mean_difference(self.data, alpha, self.width)
        if self.label is None:
            return paired.difference(self.table, alpha)
        return clustered.rate_difference(self.table, self.data, alpha)

    def p_above(self, at: Number) -> float:
        """The one-sided p against "the gain is `at` or less"; 1 where it cannot be told."""
        if not self.rate:
            found = clustered.p_value(self.data, at, self.width)
        elif self.label is None:
            found = paired.p_value(self.table, at)
        else:
            found = clustered.rate_p_value(self.table, self.data, at)
        return 1.0 if found is None else min(1.0, max(0.0, found))

    def p_below(self, at: Number) -> float:
        """The one-sided p against "the gain is `at` or more"."""
        return self.mirrored.p_above(-exact(at, "at"))

    @cached_property
    def mirrored(self) -> Estimate:
        """The same with baseline and candidate swapped."""
        found = Estimate(self.candidate, self.baseline, self.label, self.rate, self.scale, self.sign)
        found.__dict__["data"] = self.data.mirrored  # the same clusters: no need to sum them up again
        return found

    @cached_property
    def test(self) -> McNemar:
        """The paired test for a loss: McNemar's for independent pairs of rights and wrongs, else sign flips of clusters
        (which have no mid-p form: both numbers are then the same)."""
        if self.rate and self.label is None:
            return mcnemar(self.table, "less")
        flipped = sign_flip(self.data).less
        return McNemar(flipped, flipped)

    @property
    def won(self) -> Whole:
        """The places of the pairs that the candidate won."""
        return np.flatnonzero(self.sign * (self.candidate - self.baseline) > 0)

    @property
    def lost(self) -> Whole:
        """The places of the pairs that it lost."""
        return np.flatnonzero(self.sign * (self.candidate - self.baseline) < 0)

    @cached_property
    def _error(self) -> float:
        """The standard error of the gain if there were none; 0 where nothing varies."""
        if not self.rate:
            return 0.0 if self.data.alike else clustered.standard_error(self.data)
        return math.sqrt(self.discordance * self.design_effect / self.n)

    @property
    def discordance(self) -> float:
        """The share of pairs that differ."""
        return (len(self.won) + len(self.lost)) / self.n

    @cached_property
    def design_effect(self) -> float:
        """How many times more the mean gain varies for coming in clusters."""
        if self.label is None:
            return 1.0
        gains = self.sign * (self.candidate - self.baseline)
        return clustered.design_effect(self.data, float(gains.var()))

    @property
    def units(self) -> int:
        """How many independent clusters there are."""
        return self.n if self.label is None else self.data.size

    def smallest(self, alpha: float, power: float) -> float | None:
        """The smallest difference that so many samples decide; None where none can be decided.

        Where nothing differed it is the loss that the exact bound rules out.
        """
        if not self._error:
            return self.width * -math.expm1(math.log(alpha) / self.units)
        if self.rate and self.discordance < 1:
            return smallest_difference(self.n, self.discordance, alpha, power, self.design_effect)
        return min(self.width, _constant(alpha, power) * self._error)

    def fixed(self, margin: Fraction, alpha: float, power: float) -> int | None:
        """How many samples a plan of fixed size takes to accept with this power, if the two are equal."""
        if not self._error:
            clusters = samples_without_discordance(min(Fraction(1), margin / exact(self.width, "width")), alpha)
            return math.ceil(clusters * self.n / self.units)
        found = self._samples(float(margin), alpha, power)
        return found if found <= MOST_SAMPLES else None

    def needed(self, margin: Fraction, alpha: float, power: float) -> int | None:
        """How many samples it would take to accept: if the two were equal, or, where that many did not suffice, if
        the gain is what was measured. None where it lies on the margin itself, or beyond."""
        if not self._error:
            clusters = samples_without_discordance(min(Fraction(1), margin / exact(self.width, "width")), alpha)
            return self._more(math.ceil(clusters * self.n / self.units))
        if (equal := self._samples(float(margin), alpha, power)) > self.n:
            return equal if equal <= MOST_SAMPLES else None
        distance = self.gain + margin
        found = self._more(self._samples(abs(float(distance)), alpha, power)) if distance else None
        return found if found and found <= MOST_SAMPLES else None

    def _samples(self, margin: float, alpha: float, power: float) -> int:
        if self.rate and self.discordance < 1 and margin <= 1:
            return samples_for(margin, self.discordance, alpha, power, self.design_effect)
        return math.ceil(self.n * (_constant(alpha, power) * self._error / margin) ** 2)

    def _more(self, samples: int) -> int:
        return max(samples, self.n + 1)

    def level_of_baseline(self, alpha: float) -> Interval:
        """The baseline's own score with its bounds."""
        label = np.arange(self.n) if self.label is None else np.unique(self.label, return_inverse=True)[1]
        counts, sums = np.bincount(label), np.bincount(label, self.baseline)
        if self.rate:
            return clustered_rate(counts.tolist(), np.rint(sums).astype(int).tolist(), 1 - 2 * alpha)
        return clustered_mean(counts.tolist(), sums.tolist(), 1 - 2 * alpha)


def _constant(alpha: float, power: float) -> float:
    return normal_quantile(1 - alpha) + normal_quantile(power)


def estimate(pairs: Pairs, metric: Metric, sign: int, scale: tuple[float, float], fill: Fill | None = None) -> Estimate:
    """The estimate from pairs. Missing scores are left out, or with `fill` taken for an extreme of the scale.

    Between the two fills lies whatever the missing scores would have been. Raises NoValues where nothing is left.
    """
    left, right = pairs.values(metric.name)
    bad, good = scale if sign > 0 else (scale[1], scale[0])
    if fill is not None:
        left = np.where(np.isnan(left), good if fill == "worst" else bad, left)
        right = np.where(np.isnan(right), bad if fill == "worst" else good, right)
    whole = ~(np.isnan(left) | np.isnan(right))
    label = pairs.label[whole] if pairs.clustered else None
    return Estimate(left[whole], right[whole], label, metric.kind == "pass", scale, sign)
