"""How a judge did on the checks in a batch: the rubric's examples, and candidates that came a second time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.judging.rubric import Dimension, Rubric

Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a check may be off, as a share of its dimension's scale: 0.25 is one level of 1 to 5, none of 0 to 1."""

    anchor: float = 0.25
    repeat: float = 0.25

    def to_json(self) -> dict[str, float]:
        """As a JSON object."""
        return {"anchor": self.anchor, "repeat": self.repeat}


@dataclass
class Checks:
    """The checks of one batch: per dimension how far anchors and repeats were off; `marked` says what was too far."""

    rubric: Rubric
    tolerance: Tolerance
    anchors: int = 0
    repeats: int = 0
    off: dict[str, dict[str, list[float]]] = field(default_factory=lambda: {"anchor": {}, "repeat": {}})
    marked: list[str] = field(default_factory=list)

    def anchor(self, example: int, scores: Scores) -> None:
        """Compare the scores of an example with its calibrated ones."""
        self.anchors += 1
        right = self.rubric.examples[example].scores
        for name, given, wanted in self._far("anchor", scores, right, self.tolerance.anchor):
            self.marked.append(f"anchor {example + 1}: {name} is {given:g}, calibrated as {wanted:g}")

    def repeat(self, item: str, first: Scores, again: Scores) -> None:
        """Compare what was said of a candidate with what was said of it the second time."""
        self.repeats += 1
        for name, given, before in self._far("repeat", again, first, self.tolerance.repeat):
            self.marked.append(f"repeat of {item}: {name} is {given:g}, was {before:g}")

    def _far(self, kind: str, scores: Scores, wanted: Scores, tolerance: float) -> Iterable[tuple[str, float, float]]:
        for dimension in self.rubric.judged:
            given, right = scores[dimension.name], wanted[dimension.name]
            self.off[kind].setdefault(dimension.name, []).append(abs(given - right))
            if abs(given - right) > _allowed(dimension, tolerance):
                yield dimension.name, given, right

    def to_json(self) -> dict[str, Any]:
        """Counts, and for each dimension that was compared the share of exact agreement and the mean distance."""
        found = {
            f"{kind}s": {"n": n, "dimensions": dict(_agreement(self.off[kind]))}
            for kind, n in (("anchor", self.anchors), ("repeat", self.repeats))
        }
        return {**found, "tolerance": self.tolerance.to_json(), "marked": self.marked}


def _allowed(dimension: Dimension, tolerance: float) -> float:
    return tolerance * (dimension.high - dimension.low) + 1e-9


def _agreement(off: Mapping[str, list[float]]) -> Iterator[tuple[str, dict[str, float]]]:
    for name, distances in off.items():
        yield (
            name,
            {
                "exact": sum(distance == 0 for distance in distances) / len(distances),
                "distance": sum(distances) / len(distances),
            },
        )
