"""Agreement in a file of recorded ratings: the coefficients of runs, and for verdicts on pairs what fits those."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from assay.gates.result import plain
from assay.judging import verdicts
from assay.judging.agreement import Scale, Settings, coefficient, compare, middle
from assay.judging.recorded import VERDICTS, Orders, Recorded, column
from assay.judging.verdicts import merge
from assay.stats import raters

REFERENCE = "of verdicts, what most people say"
NEVER = "recorded by hand, not read from sealed runs: such numbers are shown, and admit no judge"


def agreement(recorded: Recorded, judge: str, settings: Settings) -> dict[str, Any]:
    """One rater of the file against its people, and the people among themselves."""
    kind = recorded.raters[judge]
    people = [name for name, of in recorded.raters.items() if of == "person" and name != judge]
    found: dict[str, Any] = {}
    ceiling: dict[str, Any] = {}
    for dimension, paired in recorded.dimensions.items():
        held = _Held(recorded, dimension, judge, people, settings)
        found[dimension] = held.pairs() if paired else held.numbers()
        ceiling[dimension] = held.among(paired=paired)
    return {
        "judge": {"name": judge, "kind": kind, "identity": None},
        "people": {name: sum(one.rater == name for one in recorded.ratings) for name in sorted(people)},
        "dimensions": plain(found),
        "ceiling": {"dimensions": plain(ceiling)},
    }


class _Held:
    """One dimension: the values of all raters, and the units that any of these rated."""

    def __init__(
        self, recorded: Recorded, dimension: str, judge: str, people: Sequence[str], settings: Settings
    ) -> None:
        values = recorded.of(dimension)
        self.judge: Mapping[str, Orders] = values.get(judge, {})
        self.people = [values[name] for name in people if name in values]
        rated = {*self.judge, *(unit for one in self.people for unit in one)}
        self.units = [unit for unit in recorded.clusters if unit in rated]
        labels = [recorded.clusters[unit] for unit in self.units]
        self.clusters = labels if len(set(labels)) < len(labels) else None
        self.settings = settings

    def numbers(self) -> dict[str, Any]:
        """The coefficients of runs, on the scale that the values show."""
        own = column(self.judge, self.units)
        rows = [column(one, self.units) for one in self.people]
        said = [middle([value for value in unit if value is not None]) for unit in zip(*rows, strict=True)]
        said = said or [None] * len(own)
        scale = _scale([value for value in (*own, *said) if value is not None])
        value = compare(scale, said, own, self.clusters, self.settings)
        return {**value, "kind": "number", "excluded": _excluded(said, own, {})}

    def pairs(self) -> dict[str, Any]:
        """Accuracy, macro precision, recall and F1, kappa, alpha, and what the order does."""
        given = [self.judge.get(unit, {}) for unit in self.units]
        own = [merge(one).verdict for one in given]
        said, split = self._people()
        shared = [place for place in range(len(own)) if own[place] and said[place]]
        left, right = [str(said[place]) for place in shared], [str(own[place]) for place in shared]
        labels = None if self.clusters is None else [self.clusters[place] for place in shared]
        hits = [one == other for one, other in zip(left, right, strict=True)]
        confidence, more = self.settings.confidence, {"clusters": self.clusters, **asdict(self.settings)}
        return {
            "kind": "verdict",
            "units": len(shared),
            "accuracy": verdicts.share(hits, labels, confidence),
            **verdicts.classes(left, right),
            "kappa": {**coefficient(raters.cohen_kappa(said, own, scale=VERDICTS, **more)), "weights": "none"},
            "alpha": {**coefficient(raters.krippendorff_alpha([said, own], **more)), "metric": "nominal"},
            "order": verdicts.orders(given, said, self.clusters, confidence),
            "excluded": _excluded(said, own, {"no_majority": split}),
        }

    def _people(self) -> tuple[list[str | None], int]:
        """What most people say of each unit, and on how many they are split."""
        words = [[merge(one[unit]).verdict for one in self.people if unit in one] for unit in self.units]
        given = [[word for word in unit if word] for unit in words]
        said = [verdicts.majority(unit) for unit in given]
        return said, sum(bool(unit) and one is None for unit, one in zip(given, said, strict=True))

    def among(self, *, paired: bool) -> dict[str, Any]:
        """People among themselves: alpha, the share on which all agree, and the kappa of each two of them."""
        if len(self.people) < 2:
            return {"reason": "fewer than two people rated it"}
        rows: list[list[Any]]
        if paired:
            rows = [[merge(one.get(unit, {})).verdict for unit in self.units] for one in self.people]
        else:
            rows = [column(one, self.units) for one in self.people]
        scale = None if paired else _scale([value for row in rows for value in row if value is not None])
        metric: raters.Metric = "nominal" if paired else "ordinal" if scale and scale.levels else "interval"
        more = {"clusters": self.clusters, **asdict(self.settings)}
        exact = raters.exact_agreement(rows, clusters=self.clusters, confidence=self.settings.confidence)
        alpha = raters.krippendorff_alpha(rows, metric=metric, **more)
        return {
            "alpha": {**coefficient(alpha), "metric": metric},
            "exact": coefficient(exact),
            "no_value": sum(value is None for row in rows for value in row),
        }


def _scale(values: Sequence[float]) -> Scale:
    """From the least to the largest value seen: for quadratic weights unused levels beyond change nothing."""
    whole = all(value == int(value) for value in values)
    return Scale.of("", min(values, default=0), max(values, default=0), whole=whole and bool(values))


def _excluded(people: Sequence[Any], judge: Sequence[Any], more: Mapping[str, int]) -> dict[str, int]:
    pairs = Counter((one is None, other is None) for one, other in zip(people, judge, strict=True))
    found = {
        "not_judged_by_people": pairs[True, False] - more.get("no_majority", 0),
        "not_judged_by_the_judge": pairs[False, True],
        **more,
    }
    return {name: count for name, count in found.items() if count > 0}
