"""How far raters agree: Cohen's kappa, Krippendorff's alpha, exact agreement, each rater's bias.

Ratings come as rows, one a rater, over the same units; None (or NaN) is a rating that is missing. A unit with fewer
than two ratings says nothing about agreement: it is left out and counted. Kappa and alpha are

    1 - disagreement seen / disagreement expected by chance

and have no value where chance would never disagree, as when every rating is the same: agreement on the only
category in use is no evidence that raters can tell two apart. Sources: Cohen 1960 and 1968; Krippendorff 2011,
*Computing Krippendorff's alpha-reliability*; intervals by resampling units, as in Zapf, Castell, Morawietz and Karch
2016, *Measuring inter-rater reliability for nominal data*, but BCa.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Literal

from assay.stats.bootstrap import RESAMPLES, Bounds, Units, bounds, check
from assay.stats.intervals import Interval, clopper_pearson, clustered_rate, rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Statistic = Callable[[Floats], Floats]

Rating = Hashable
Ratings = Sequence[Sequence[Rating | None]]
Clusters = Sequence[Hashable]
Metric = Literal["nominal", "ordinal", "interval", "ratio"]

MOST_VALUES = 4000
"""Weighted kappa and alpha's ratio metric compare every pair of distinct values: more than this do not fit."""

LARGEST = 1e100
"""Numbers beyond this are refused: their squares would overflow."""

FEW_DISAGREEMENTS = 3
"""With fewer units than this in disagreement, the lower bound is no higher than their number leaves open.

In simulations of 20 to 100 units with one or two rare and grave disagreements on a scale of five, the bootstrap alone
held the truth in 82 to 91 % of runs, with this rule in 94 to 98 %.
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient of agreement and what it rests on.

    `interval.value` is None where the coefficient has no value, a bound where it cannot be estimated; `reason` then
    says why. `units` counted, `excluded` had fewer than two ratings, `undefined` resamples had no value (they count
    against both bounds).
    """

    interval: Interval
    units: int
    excluded: int
    undefined: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Bias:
    """How far the rater of this row lies above (below: negative) the others, in the scale's unit, over `units`
    units that it shares with them; `excluded` units it does not. `reason` says why a bound is None.
    """

    rater: int
    interval: Interval
    units: int
    excluded: int
    reason: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Shared:
    """The units with at least two ratings: (row, rating) pairs, and the units' clusters where there are any."""

    units: list[list[tuple[int, Rating]]]
    labels: list[Hashable] | None
    excluded: int


@dataclass(frozen=True, slots=True, eq=False)
class _Coefficient:
    """A coefficient over kinds of units: its value from weights; each kind's share of the disagreement seen, and
    the largest that one could have; the disagreement that chance gives, in the same unit.
    """

    statistic: Statistic
    seen: Floats
    worst: float
    chance: float


def cohen_kappa(
    first: Sequence[Rating | None],
    second: Sequence[Rating | None],
    *,
    weights: Literal["none", "linear", "quadratic"] = "none",
    scale: Sequence[Rating] | None = None,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Cohen's kappa of two raters: of categories or, weighted, of places on an ordered scale.

    `scale` lists the categories in order, also those that nobody used; weights |i-j| or (i-j)² go by place in it. It
    is required for weights, because leaving out an unused middle level would change them. `clusters` names each
    unit's cluster where units are not independent; whole clusters are then resampled. Raises ValueError for rows
    of unequal length and for ratings off the scale.
    """
    check(confidence, resamples)
    if weights not in ("none", "linear", "quadratic"):
        raise ValueError(f"weights are none, linear or quadratic, not {weights!r}")
    if weights != "none" and scale is None:
        raise ValueError("weighted kappa needs the scale: every category, in order")
    shared = _shared([first, second], clusters)
    places = _places(shared, scale)
    pairs = [tuple(places[rating] for _, rating in unit) for unit in shared.units]
    kinds, units = _kinds(pairs, shared.labels)
    make = _kappa(kinds, len(places), weights) if kinds else None
    return _agreement(make, units, shared, confidence, resamples, seed)


def krippendorff_alpha(
    ratings: Ratings,
    *,
    metric: Metric = "nominal",
    scale: Sequence[Rating] | None = None,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Krippendorff's alpha of any number of raters, some ratings missing; `ratings[rater][unit]`.

    `metric` says how far two values differ: `nominal`, `ordinal` (by ranks; numbers, or categories in the order of
    `scale`), `interval` (numbers), `ratio` (numbers of zero or more). `clusters` as for kappa. Raises ValueError
    for rows of unequal length, ratings off the scale, and ratings that the metric cannot compare.
    """
    check(confidence, resamples)
    if metric not in ("nominal", "ordinal", "interval", "ratio"):
        raise ValueError(f"a metric is nominal, ordinal, interval or ratio, not {metric!r}")
    if scale is not None and metric in ("interval", "ratio"):
        raise ValueError(f"the {metric} metric measures numbers; it takes no scale")
    shared = _shared(ratings, clusters)
    numeric = scale is None and metric != "nominal"
    places = _numbers(shared, metric) if numeric else _places(shared, scale)
    rows = [tuple(sorted(places[rating] for _, rating in unit)) for unit in shared.units]
    kinds, units = _kinds(rows, shared.labels)
    values = sorted({_float(key) for key in places}) if numeric else []
    make = _alpha(kinds, metric, values, len(values) or len(places)) if kinds else None
    return _agreement(make, units, shared, confidence, resamples, seed)


def exact_agreement(ratings: Ratings, *, clusters: Clusters | None = None, confidence: float = 0.95) -> Agreement:
    """The share of units on which all ratings are equal, of those with at least two; `ratings[rater][unit]`.

    A rate, so its interval is a rate's (assay.stats.intervals): where all agree a bootstrap would claim certainty.
    """
    shared = _shared(ratings, clusters)
    equal = [len({rating for _, rating in unit}) == 1 for unit in shared.units]
    if shared.labels is None:
        found = rate(sum(equal), len(equal), confidence)
    else:
        counts = Counter(shared.labels)
        agreed = Counter(label for label, same in zip(shared.labels, equal, strict=True) if same)
        found = clustered_rate([*counts.values()], [agreed[label] for label in counts], confidence)
    reason = "no unit has two ratings" if not equal else None if found.low is not None else _ONE
    return Agreement(found, len(equal), shared.excluded, 0, reason)


def bias(
    ratings: Ratings,
    *,
    reference: int | None = None,
    clusters: Clusters | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Bias, ...]:
    """Each rater's mean difference from the others' mean on the same unit, or from the rater of row `reference`.

    `ratings[rater][unit]`, numbers. With a reference, that rater has no entry. Every unit weighs the same.
    """
    check(confidence, resamples)
    shared = _shared(ratings, clusters)
    _numbers(shared, "interval")
    if reference is not None and not 0 <= reference < len(ratings):
        raise ValueError(f"the reference is a row from 0 to {len(ratings) - 1}, not {reference}")
    raters = [rater for rater in range(len(ratings)) if rater != reference]
    total = len(shared.units) + shared.excluded
    return tuple(_bias_of(rater, reference, shared, total, confidence, resamples, seed) for rater in raters)


_ONE = "one unit (or one cluster of units) says nothing about others"
_SAME = "every rating is the same: chance would agree as often"
_STILL = "every resample has the same value"


def _bias_of(
    rater: int, reference: int | None, shared: _Shared, total: int, confidence: float, resamples: int, seed: int
) -> Bias:
    import numpy as np

    found = [(index, _apart(unit, rater, reference)) for index, unit in enumerate(shared.units)]
    kept = [(index, apart) for index, apart in found if apart is not None]
    values = np.array([apart for _, apart in kept])
    labels = [shared.labels[index] for index, _ in kept] if shared.labels is not None else None
    units = Units.alone(len(kept)) if labels is None else Units.clustered(labels)
    value = math.fsum(values) / len(kept) if kept else None
    limits = Bounds(None, None, 0, "bootstrap-bca")
    if kept:
        limits = bounds(lambda drawn: drawn @ values / drawn.sum(axis=1), units, confidence, resamples, seed)
    reason = "no unit is shared with another rater" if not kept else _why(limits, units, resamples)
    clusters = None if labels is None else units.count
    interval = Interval(value, limits.low, limits.high, len(kept), clusters, confidence, limits.method)
    return Bias(rater, interval, len(kept), total - len(kept), reason)


def _apart(unit: list[tuple[int, Rating]], rater: int, reference: int | None) -> float | None:
    own = [_float(value) for row, value in unit if row == rater]
    others = [_float(value) for row, value in unit if row != rater and reference in (None, row)]
    return own[0] - math.fsum(others) / len(others) if own and others else None


def _shared(ratings: Ratings, clusters: Clusters | None) -> _Shared:
    lengths = {len(row) for row in ratings}
    if len(ratings) < 2 or len(lengths) != 1:
        raise ValueError(f"agreement needs at least two rows of equal length, not {[len(row) for row in ratings]}")
    if clusters is not None and len(clusters) != len(ratings[0]):
        raise ValueError(f"{len(clusters)} cluster names for {len(ratings[0])} units")
    units = [
        [(row, value) for row, value in enumerate(unit) if not _missing(value)] for unit in zip(*ratings, strict=True)
    ]
    kept = [index for index, unit in enumerate(units) if len(unit) > 1]
    labels = None if clusters is None else [clusters[index] for index in kept]
    return _Shared([units[index] for index in kept], labels, len(units) - len(kept))


def _missing(value: Rating | None) -> bool:
    return value is None or value != value  # NaN alone differs from itself


def _places(shared: _Shared, scale: Sequence[Rating] | None) -> dict[Rating, int]:
    """Each category's place; without a scale in order of appearance."""
    seen = dict.fromkeys(rating for unit in shared.units for _, rating in unit)
    if scale is None:
        return {rating: place for place, rating in enumerate(seen)}
    places = {rating: place for place, rating in enumerate(scale)}
    if len(places) != len(scale):
        raise ValueError("the scale names a category twice")
    if off := [rating for rating in seen if rating not in places]:
        raise ValueError(f"not on the scale {list(scale)}: {off[:5]}")
    return places


def _numbers(shared: _Shared, metric: str) -> dict[Rating, int]:
    """Each number's place among the distinct ones."""
    seen = dict.fromkeys(rating for unit in shared.units for _, rating in unit)
    for rating in seen:
        if not isinstance(rating, int | float | Integral) or not abs(rating) <= LARGEST:
            raise ValueError(f"the {metric} metric compares finite numbers up to {LARGEST:g}, not {rating!r}")
        if metric == "ratio" and rating < 0:
            raise ValueError(f"the ratio metric compares numbers of zero or more, not {rating!r}")
    places = {value: place for place, value in enumerate(sorted({_float(rating) for rating in seen}))}
    return {rating: places[_float(rating)] for rating in seen}


def _float(rating: Rating) -> float:
    return float(rating)  # type: ignore[arg-type]


def _kinds(rows: list[tuple[int, ...]], labels: list[Hashable] | None) -> tuple[list[tuple[int, ...]], Units]:
    """Equal units become one row that stands for all of them; units in clusters stay as they are."""
    if labels is not None:
        return rows, Units.clustered(labels)
    counts = Counter(rows)
    return [*counts], Units.repeated([*counts.values()])


def _marginals(slots: Sequence[tuple[int, int]], size: int) -> Statistic:
    """A function from weights (b, kinds) to how often each of `size` values comes, (b, size); a slot is one rating:
    its value and its kind.
    """
    import numpy as np

    ordered = np.array(sorted(slots), dtype=np.int64)
    present, starts = np.unique(ordered[:, 0], return_index=True)

    def count(drawn: Floats) -> Floats:
        found = np.zeros((len(drawn), size))
        found[:, present] = np.add.reduceat(drawn[:, ordered[:, 1]], starts, axis=1)
        return found

    return count


def _kappa(kinds: list[tuple[int, ...]], size: int, weights: str) -> Callable[[Units], _Coefficient]:
    import numpy as np

    pairs = np.array(kinds, dtype=np.int64)
    one = _marginals([(pair[0], kind) for kind, pair in enumerate(kinds)], size)
    other = _marginals([(pair[1], kind) for kind, pair in enumerate(kinds)], size)
    power = {"none": 0, "linear": 1, "quadratic": 2}[weights]
    apart = np.abs(pairs[:, 0] - pairs[:, 1])
    seen = np.where(apart > 0, apart.astype(np.float64) ** power, 0.0)
    cost = None if weights == "none" else _costs(size, power)

    def chance(drawn: Floats) -> Floats:
        n, rows, columns = drawn.sum(axis=1), one(drawn), other(drawn)
        if cost is None:
            return np.asarray(n - (rows * columns).sum(axis=1) / n)
        return np.asarray(((rows @ cost) * columns).sum(axis=1) / n)

    return _coefficient(seen, chance, float(size - 1) ** power)


def _costs(size: int, power: int) -> Floats:
    import numpy as np

    _check_size(size)
    places = np.arange(size, dtype=np.float64)
    return np.asarray(np.abs(places[:, None] - places[None, :]) ** power)


def _check_size(size: int) -> None:
    if size > MOST_VALUES:
        raise ValueError(f"{size} distinct values are more than the {MOST_VALUES} that can be compared; round them")


def _coefficient(seen: Floats, chance: Statistic, worst: float) -> Callable[[Units], _Coefficient]:
    """One minus what is seen over what chance gives, where what is seen in a kind does not depend on the sample."""
    return lambda units: _Coefficient(
        lambda drawn: _one_minus(drawn @ seen, chance(drawn)), seen, worst, float(chance(units.whole())[0])
    )


def _one_minus(seen: Floats, chance: Floats) -> Floats:
    """Not a number where chance would not disagree."""
    import numpy as np

    found = np.full(len(seen), np.nan)
    np.divide(seen, chance, out=found, where=chance > 0)
    return 1 - found


def _alpha(
    kinds: list[tuple[int, ...]], metric: str, values: list[float], size: int
) -> Callable[[Units], _Coefficient]:
    import numpy as np

    count = _marginals([(place, kind) for kind, row in enumerate(kinds) for place in row], size)
    if metric == "ordinal":
        return _ordinal(kinds, count)
    widest = max(len(row) for row in kinds)
    if metric == "nominal":
        seen = np.array([(len(row) ** 2 - sum(n * n for n in Counter(row).values())) / (len(row) - 1) for row in kinds])
        return _coefficient(seen, lambda drawn: _unequal(count(drawn)), float(widest))
    numbers = np.array(values)
    if metric == "interval":
        numbers = numbers - numbers.mean()
        seen = np.array([2 * len(row) * float(np.var(numbers[[*row]])) * len(row) / (len(row) - 1) for row in kinds])
        return _coefficient(seen, lambda drawn: _spread(count(drawn), numbers), widest * float(np.ptp(numbers)) ** 2)
    apart = _ratios(numbers)
    seen = np.array([float(apart[np.ix_([*row], [*row])].sum()) / (len(row) - 1) for row in kinds])
    return _coefficient(seen, lambda drawn: _pairs(count(drawn), apart), widest * float(apart.max()))


def _unequal(counts: Floats) -> Floats:
    """The disagreement that chance gives (Krippendorff's D_e times n): pairs of unequal values over n - 1."""
    n = counts.sum(axis=1)
    unequal: Floats = (n**2 - (counts**2).sum(axis=1)) / (n - 1)
    return unequal


def _spread(counts: Floats, numbers: Floats) -> Floats:
    """The same for squared differences, from sums and squares; what is no more than rounding is nothing."""
    n, squares = counts.sum(axis=1), 2 * counts.sum(axis=1) * ((counts * numbers) * numbers).sum(axis=1)
    found: Floats = squares - 2 * ((counts * numbers).sum(axis=1)) ** 2
    found[found <= 1e-12 * squares] = 0.0
    found /= n - 1
    return found


def _pairs(counts: Floats, apart: Floats) -> Floats:
    found: Floats = ((counts @ apart) * counts).sum(axis=1) / (counts.sum(axis=1) - 1)
    return found


def _ratios(numbers: Floats) -> Floats:
    """((c - k) / (c + k))² for every pair; nothing between two zeros."""
    import numpy as np

    _check_size(len(numbers))
    total = numbers[:, None] + numbers[None, :]
    return np.asarray(((numbers[:, None] - numbers[None, :]) / np.where(total > 0, total, 1.0)) ** 2)


def _ordinal(kinds: list[tuple[int, ...]], count: Statistic) -> Callable[[Units], _Coefficient]:
    """Krippendorff's ordinal difference of c and k is that of their mean ranks: the metric depends on the sample."""
    import numpy as np

    sizes = np.array([len(row) for row in kinds], dtype=np.float64)
    places = np.zeros((len(kinds), int(sizes.max())), dtype=np.int64)
    for kind, row in enumerate(kinds):
        places[kind, : len(row)] = row
    used = np.arange(places.shape[1])[None, :] < sizes[:, None]

    def parts(drawn: Floats) -> tuple[Floats, Floats, Floats]:
        counts = count(drawn)
        n = counts.sum(axis=1, keepdims=True)
        ranks = np.cumsum(counts, axis=1) - counts / 2 - n / 2
        given = ranks[:, places] * used
        apart = 2 * (sizes * (given**2).sum(axis=2) - given.sum(axis=2) ** 2) / (sizes - 1)
        chance = (2 * n[:, 0] * (counts * ranks**2).sum(axis=1) - 2 * (counts * ranks).sum(axis=1) ** 2) / (n[:, 0] - 1)
        return apart, chance, ranks

    def statistic(drawn: Floats) -> Floats:
        apart, chance, _ = parts(drawn)
        return _one_minus((drawn * apart).sum(axis=1), chance)

    def make(units: Units) -> _Coefficient:
        apart, chance, ranks = parts(units.whole())
        return _Coefficient(statistic, apart[0], float(sizes.max() * np.ptp(ranks) ** 2), float(chance[0]))

    return make


def _agreement(
    make: Callable[[Units], _Coefficient] | None,
    units: Units,
    shared: _Shared,
    confidence: float,
    resamples: int,
    seed: int,
) -> Agreement:
    n, clusters = len(shared.units), None if shared.labels is None else units.count
    if make is None:
        interval = Interval(None, None, None, 0, clusters, confidence, "bootstrap-bca")
        return Agreement(interval, 0, shared.excluded, 0, "no unit has two ratings")
    coefficient = make(units)
    value = float(coefficient.statistic(units.whole())[0])
    if not math.isfinite(value):
        interval = Interval(None, None, None, n, clusters, confidence, "bootstrap-bca")
        return Agreement(interval, n, shared.excluded, 0, _SAME)
    found = bounds(coefficient.statistic, units, confidence, resamples, seed)
    reason = _why(found, units, resamples)
    low, high, method = found.low, found.high, found.method
    floor = _floor(coefficient, units, n, confidence)
    if floor is not None and (low is None or floor < low):
        low, method = floor, "exact-disagreement"
        high = value if high is None and value == 1 else high
        reason = None if high is not None else reason
    return Agreement(
        Interval(value, low, high, n, clusters, confidence, method), n, shared.excluded, found.undefined, reason
    )


def _floor(coefficient: _Coefficient, units: Units, n: int, confidence: float) -> float | None:
    """The coefficient if as many units disagreed as their number leaves open (exactly), each as far as the scale or
    the values seen allow, with the disagreement that chance gives taken as seen.

    A bootstrap knows only the one or two disagreements there are, and nothing at all where there are none.
    """
    disagree = coefficient.seen > 1e-12 * max(coefficient.worst, 1e-300)
    if units.cluster is not None:
        few = len(set(units.cluster[disagree].tolist()))
    else:
        few = int(units.whole()[0][disagree].sum())
    if units.count < 2 or few >= FEW_DISAGREEMENTS:
        return None
    share = clopper_pearson(few, units.count, confidence).high or 0.0
    return max(-1.0, 1 - share * n * coefficient.worst / coefficient.chance)


def _why(found: Bounds, units: Units, resamples: int) -> str | None:
    if units.count < 2:
        return _ONE
    if found.low is not None and found.high is not None:
        return None
    return f"{found.undefined} of {resamples} resamples have no value" if found.undefined else _STILL
