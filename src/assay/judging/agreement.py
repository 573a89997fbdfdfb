"""How far a judge agrees with people, dimension by dimension, and people among themselves.

The people's word on an answer is the median of theirs, the lower of the middle two where their number is even: it
always lies on the scale. Every interval is over samples: answers to one question are resampled together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.gates.result import plain
from assay.judging.formula import Formula, parse
from assay.judging.ratings import COMPOSITE, FLAG, Ratings, Scores, Unit
from assay.stats import raters
from assay.stats.bootstrap import RESAMPLES, Units, bounds

REFERENCE = "median of the people's values, the lower of the middle two"
MOST_LEVELS = 1000
"""Kappa needs the levels of a scale; a composite with more whole values than this has alpha alone."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How intervals are made: two-sided `confidence`, and of the bootstrap the number of resamples and the seed."""

    confidence: float = 0.95
    resamples: int = RESAMPLES
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scale:
    """A dimension's scale. `levels`: its whole numbers in order, None where it allows others, which have no kappa."""

    name: str
    low: float
    high: float
    levels: tuple[int, ...] | None

    @classmethod
    def of(cls, name: str, low: float, high: float, *, whole: bool) -> Scale:
        """The scale from low to high."""
        few = whole and low == int(low) and high == int(high) and high - low < MOST_LEVELS
        return cls(name, low, high, tuple(range(int(low), int(high) + 1)) if few else None)


@dataclass(frozen=True, slots=True)
class Content:
    """What agreement needs of a rubric: the judged dimensions, and the composite over them and what was measured."""

    judged: tuple[Scale, ...]
    composite: Formula
    bounds: tuple[float, float]

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Content:
        """That of a rubric's `content`. Raises KeyError, TypeError or ValueError where it is none."""
        judged = [one for one in content["dimensions"] if one["kind"] == "judged"]
        scales = tuple(Scale.of(one["name"], *one["scale"], whole=one["integer"]) for one in judged)
        formula = parse(content["composite"])
        ranges = {one["name"]: (one["scale"][0], one["scale"][1]) for one in content["dimensions"]}
        return cls(scales, formula, formula.bounds(ranges))

    @property
    def names(self) -> tuple[str, ...]:
        """The judged dimensions by name."""
        return tuple(scale.name for scale in self.judged)

    def total(self, scores: Scores | None, measured: Scores) -> float | None:
        """The composite; None where there are no scores or a measure is missing."""
        held = {**measured, **(scores or {})}
        if scores is None or any(name not in held for name in self.composite.names):
            return None
        return float(self.composite.value(held))


def middle(given: Iterable[float]) -> float | None:
    """The lower median; None of nothing."""
    ordered = sorted(given)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def reference(unit: Unit, names: Sequence[str]) -> dict[str, float] | None:
    """What the people said of a unit, by dimension; None where nobody did."""
    if not unit.people:
        return None
    found = {name: middle(scores[name] for scores in unit.people.values()) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def agreement(ratings: Ratings, content: Content, settings: Settings) -> dict[str, Any]:
    """One judge against the people, and the people among themselves; see docs/agreement.md for every key."""
    units = ratings.units
    references = [reference(unit, content.names) for unit in units]
    shared = [unit.judge is not None and said is not None for unit, said in zip(units, references, strict=True)]
    columns = {scale.name: _column(scale, units, references) for scale in content.judged}
    clusters = _clusters(units)
    dimensions = {scale.name: compare(scale, *columns[scale.name], clusters, settings) for scale in content.judged}
    dimensions[COMPOSITE] = _composite(units, references, content, clusters, settings)
    return {
        "judge": ratings.judge.to_json(),
        "units": sum(shared),
        "people": dict(sorted(Counter(name for unit in units for name in unit.people).items())),
        "excluded": _excluded(ratings),
        "marked": [dict(batch) for batch in ratings.marked],
        "dimensions": plain(dimensions),
        "ceiling": plain(among(units, content, clusters, settings)),
        "votes": plain(_votes(units, content.names)),
        "self_preference": plain(_own_family(units, references, content, settings)),
    }


def _excluded(ratings: Ratings) -> dict[str, int]:
    """What is in no coefficient, and why."""
    found = {
        "not_judged_by_people": sum(unit.judge is not None and not unit.people for unit in ratings.units),
        "not_judged_by_the_judge": sum(unit.judge is None for unit in ratings.units),
        **ratings.ignored,
    }
    return {name: count for name, count in found.items() if count}


def _column(scale: Scale, units: Sequence[Unit], references: Sequence[Scores | None]) -> tuple[Values, Values]:
    """The people's and the judge's values of one dimension."""
    return (
        [said[scale.name] if said else None for said in references],
        [unit.judge[scale.name] if unit.judge else None for unit in units],
    )


def _clusters(units: Sequence[Unit]) -> list[str] | None:
    """Each unit's cluster; None where every unit is a cluster of its own, which is the same and quicker."""
    labels = [unit.cluster for unit in units]
    return labels if len(set(labels)) < len(labels) else None


def compare(
    scale: Scale, people: Values, judge: Values, clusters: Sequence[str] | None, settings: Settings
) -> dict[str, Any]:
    """Kappa, alpha, exact agreement and bias of two columns of values on one scale."""
    given: dict[str, Any] = asdict(settings)
    rows = [people, judge]
    units = sum(one is not None and other is not None for one, other in zip(people, judge, strict=True))
    value: dict[str, Any] = {"scale": [scale.low, scale.high], "units": units}
    if scale.levels is None:
        value["kappa"] = _none("the scale is not of whole numbers: kappa is for levels")
    else:
        whole = [[None if rating is None else int(rating) for rating in row] for row in rows]
        found = raters.cohen_kappa(*whole, weights="quadratic", scale=scale.levels, clusters=clusters, **given)
        value["kappa"] = {**coefficient(found), "weights": "quadratic"}
    metric: raters.Metric = "interval" if scale.levels is None else "ordinal"
    value["alpha"] = {**coefficient(_alpha(rows, metric, clusters, settings)), "metric": metric}
    value["exact"] = coefficient(raters.exact_agreement(rows, clusters=clusters, confidence=settings.confidence))
    (apart,) = raters.bias(rows, reference=0, clusters=clusters, **given)
    value["bias"] = coefficient(apart)
    return value


def _alpha(
    rows: Sequence[Values], metric: raters.Metric, clusters: Sequence[str] | None, settings: Settings
) -> raters.Agreement:
    return raters.krippendorff_alpha(rows, metric=metric, clusters=clusters, **asdict(settings))


def coefficient(found: raters.Agreement | raters.Bias) -> dict[str, Any]:
    """A coefficient as a JSON object; `reason` says why it has no value, or a bound is None."""
    interval = found.interval
    value = {"value": interval.value, "low": interval.low, "high": interval.high, "n": found.units}
    return {**value, "clusters": interval.clusters, "method": interval.method, "reason": found.reason}


def _none(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "n": 0, "clusters": None, "method": None, "reason": reason}


def _composite(
    units: Sequence[Unit],
    references: Sequence[Scores | None],
    content: Content,
    clusters: Sequence[str] | None,
    settings: Settings,
) -> dict[str, Any]:
    people = [content.total(said, unit.measured) for unit, said in zip(units, references, strict=True)]
    judge = [content.total(unit.judge, unit.measured) for unit in units]
    given = [value for value in (*people, *judge) if value is not None]
    whole = all(value == int(value) for value in given)
    missing = sum(
        value is None and said is not None and unit.judge is not None
        for value, said, unit in zip(judge, references, units, strict=True)
    )
    low, high = math.floor(content.bounds[0]), math.ceil(content.bounds[1])
    scale = Scale.of(COMPOSITE, low, high, whole=whole)
    return {**compare(scale, people, judge, clusters, settings), "unmeasured": missing}


def among(
    units: Sequence[Unit], content: Content, clusters: Sequence[str] | None, settings: Settings
) -> dict[str, Any]:
    """How far people agree among themselves: what no judge can be expected to exceed by much."""
    names = sorted({name for unit in units for name in unit.people})
    shared = sum(len(unit.people) > 1 for unit in units)
    if len(names) < 2:
        return {"units": 0, "dimensions": {}, "reason": "only one person judged, so nothing shows how far people agree"}
    found = {}
    for scale in content.judged:
        rows = [[unit.people[name][scale.name] if name in unit.people else None for unit in units] for name in names]
        metric: raters.Metric = "interval" if scale.levels is None else "ordinal"
        exact = raters.exact_agreement(rows, clusters=clusters, confidence=settings.confidence)
        alpha = _alpha(rows, metric, clusters, settings)
        found[scale.name] = {"alpha": {**coefficient(alpha), "metric": metric}, "exact": coefficient(exact)}
    reason = None if shared else "no answer was judged by two people, so nothing shows how far people agree"
    return {"units": shared, "dimensions": found, "reason": reason}


def _votes(units: Sequence[Unit], names: Sequence[str]) -> dict[str, Any] | None:
    """How far a model's own votes lie apart; None where there is nothing on them."""
    spreads = [unit.spread for unit in units if unit.spread is not None]
    if not spreads:
        return None
    found = {}
    for name in names:
        apart = [spread[name] for spread in spreads]
        found[name] = {
            "mean_spread": math.fsum(apart) / len(apart),
            "largest_spread": max(apart),
            "unanimous": sum(one == 0 for one in apart) / len(apart),
        }
    return {"units": len(spreads), "dimensions": found}


def _own_family(
    units: Sequence[Unit], references: Sequence[Scores | None], content: Content, settings: Settings
) -> dict[str, Any] | None:
    """The bias on answers of the judge's own family, that on all others, and the difference; None without a flag."""
    flagged = sum(FLAG in unit.flags for unit in units)
    if not flagged:
        return None
    pairs = [
        (unit, said, unit.judge)
        for unit, said in zip(units, references, strict=True)
        if said is not None and unit.judge is not None
    ]
    own = [FLAG in unit.flags for unit, _, _ in pairs]
    value: dict[str, Any] = {"flagged": flagged, "own": sum(own), "others": len(own) - sum(own), "dimensions": {}}
    for name in content.names if any(own) and not all(own) else ():
        apart = [judge[name] - said[name] for _, said, judge in pairs]
        value["dimensions"][name] = _difference(apart, own, [unit.cluster for unit, _, _ in pairs], settings)
    return value


def _difference(
    apart: Sequence[float], own: Sequence[bool], clusters: Sequence[str], settings: Settings
) -> dict[str, Any]:
    import numpy as np

    values, chosen = np.array(apart), np.array(own, dtype=np.float64)

    def means(drawn: Any) -> Any:
        """NaN where a resample has none of one side."""
        counts = drawn @ chosen, drawn @ (1 - chosen)
        sums = drawn @ (values * chosen), drawn @ (values * (1 - chosen))
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums[0] / counts[0] - sums[1] / counts[1]

    units = Units.clustered(list(clusters))
    found = bounds(means, units, settings.confidence, settings.resamples, settings.seed)
    more = float(means(units.whole())[0])
    return {
        "own": float(values[chosen == 1].mean()),
        "others": float(values[chosen == 0].mean()),
        "difference": {"value": more, "low": found.low, "high": found.high, "n": len(values)},
    }
