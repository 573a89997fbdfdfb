"""How often a decision rule alarms where there is nothing to find: the A/A control.

Real outcomes are resampled so that both sides are the same system: clusters are drawn with replacement, and in each the
two sides are swapped or not by the toss of a coin. What a rule says of such data is a false alarm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from assay.stats.clustered import Floats, finite
from assay.stats.exact import NoValues
from assay.stats.intervals import Interval, clopper_pearson
from assay.stats.paired import PairedTable

Rule = Callable[[PairedTable], bool]
"""Whether a rule alarms at a table."""


def null_tables(table: PairedTable, resamples: int, seed: int = 0) -> Iterator[PairedTable]:
    """Tables of as many independent pairs, resampled from a real one, with no difference between the sides."""
    numbers = np.random.default_rng(seed)
    shares = np.array([table.both, table.discordant, table.neither]) / table.n
    for _ in range(resamples):
        both, discordant, neither = (int(count) for count in numbers.multinomial(table.n, shares))
        lost = int(numbers.binomial(discordant, 0.5))
        yield PairedTable(both, lost, discordant - lost, neither)


def null_pairs(
    baseline: Sequence[float] | Floats,
    candidate: Sequence[float] | Floats,
    labels: Sequence[Hashable] | None,
    resamples: int,
    seed: int = 0,
) -> Iterator[tuple[Floats, Floats, list[int]]]:
    """The same for scores in clusters: (baseline, candidate, labels) of each resample, its clusters numbered anew.

    Clusters may differ in size, so resamples may differ in length. Raises ValueError where lengths differ or a score
    is not finite.
    """
    left, right = finite(baseline, "baseline"), finite(candidate, "candidate")
    names = list(range(len(left))) if labels is None else list(labels)
    if not len(left) == len(right) == len(names):
        raise ValueError(f"baseline, candidate and labels differ in length: {len(left)}, {len(right)}, {len(names)}")
    places: dict[Hashable, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    groups = [np.array(group) for group in places.values()]
    numbers = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = numbers.integers(0, len(groups), len(groups))
        lengths = [len(groups[group]) for group in drawn]
        order = np.concatenate([groups[group] for group in drawn])
        swapped = np.repeat(numbers.integers(0, 2, len(groups)).astype(bool), lengths)
        one, other = left[order], right[order]
        new = np.repeat(np.arange(len(groups)), lengths).tolist()
        yield np.where(swapped, other, one), np.where(swapped, one, other), new


def null_epochs(passes: Sequence[Sequence[float]], resamples: int, seed: int = 0) -> Iterator[PairedTable]:
    """Tables from one run alone: sample i was tried `len(passes[i])` >= 2 times; two tries each are drawn, without
    replacement, as baseline and candidate, from samples drawn with replacement."""
    if not passes:
        raise NoValues("there are no samples")
    if short := [place for place, tries in enumerate(passes) if len(tries) < 2]:
        raise ValueError(f"passes[{short[0]}] must have at least two tries, not {len(passes[short[0]])}")
    numbers = np.random.default_rng(seed)
    tries = np.array([len(each) for each in passes])
    width = int(tries.max())
    outcomes = np.array([[*each, *[0] * (width - len(each))] for each in passes])
    for _ in range(resamples):
        drawn = numbers.integers(0, len(passes), len(passes))
        first = numbers.integers(0, tries[drawn])
        second = (first + numbers.integers(1, tries[drawn])) % tries[drawn]
        yield PairedTable.of(outcomes[drawn, first].tolist(), outcomes[drawn, second].tolist())


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """How many of `resamples` made a rule alarm, and the exact interval for that rate."""

    alarms: int
    resamples: int
    rate: Interval


def false_alarms(tables: Iterator[PairedTable], rule: Rule, confidence: float = 0.95) -> FalseAlarms:
    """Count a rule's alarms. It is asked once for each distinct table."""
    counted = Counter(tables)
    return summed(sum(times for table, times in counted.items() if rule(table)), counted.total(), confidence)


def summed(alarms: int, resamples: int, confidence: float = 0.95) -> FalseAlarms:
    """The same from a count of alarms. Raises NoValues where nothing was resampled."""
    if not resamples:
        raise NoValues("nothing was resampled")
    return FalseAlarms(alarms, resamples, clopper_pearson(alarms, resamples, confidence))


def alarm_rate(n: int, discordance: float, rule: Rule) -> float:
    """A rule's false-alarm rate for n independent pairs at an assumed discordance, by going through every table.

    Tables too far out to matter (together less than 1e-9) are left out. `rule` must not depend on how the
    concordant pairs split; here they are all right on both sides. Meant for n up to some thousands.
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"n must be positive and discordance lie in 0..1, not {n} and {discordance}")
    spread = 7 * math.sqrt(n * discordance * (1 - discordance)) + 30
    total = []
    for moved in range(max(0, math.floor(n * discordance - spread)), min(n, math.ceil(n * discordance + spread)) + 1):
        chance = _binomial(moved, n, discordance)
        for lost in range(moved + 1):
            each = chance * _binomial(lost, moved, 0.5)
            if each > 1e-15 and rule(PairedTable(n - moved, lost, moved - lost, 0)):
                total.append(each)
    return math.fsum(total)


def _binomial(k: int, n: int, p: float) -> float:
    if p in (0, 1):
        return float(k == n * p)
    logs = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(logs + k * math.log(p) + (n - k) * math.log1p(-p))
