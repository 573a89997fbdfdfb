"""A rubric: what is judged, on which scales, what each level means, and what it all comes to.

A Markdown file: front matter with `id`, `version`, `dimensions`, `composite` and, if wanted, `description`, `examples`
and `pass_mark`; then the guide that every judge reads. Checked as a whole when it is read: every level has its anchor,
every example lies on its scales, the composite names declared dimensions only and can never divide by zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.files import digest_of
from assay.judging.formula import Formula, Range

SCHEMA = "assay.rubric.v1"
Number = int | float


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that is judged, or measured by a scorer whose metric is `metric`.

    `low` and `high` bound its scale, `integer` allows whole numbers alone. `anchors` say what a level means.
    """

    name: str
    low: Number
    high: Number
    integer: bool = True
    measured: bool = False
    metric: str = ""
    help: str = ""
    anchors: tuple[tuple[Number, str], ...] = ()

    @property
    def scale(self) -> str:
        """The scale in words."""
        kind = "whole numbers" if self.integer else "numbers"
        return f"{kind} from {self.low:g} to {self.high:g}"

    def wrong(self, value: Any) -> str | None:
        """What is wrong with a value on this scale, in words; None where nothing is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is not a number"
        if self.integer and value != int(value):
            return "is not a whole number"
        return None if self.low <= value <= self.high else "is off the scale"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "name": self.name,
            "kind": "measured" if self.measured else "judged",
            "scale": [self.low, self.high],
            "integer": self.integer,
            "metric": self.metric or None,
            "help": self.help,
            "anchors": [{"level": level, "text": text} for level, text in self.anchors],
        }


@dataclass(frozen=True, slots=True)
class Example:
    """A calibrated example: an answer, what was asked, the right score in every judged dimension, and why.

    `reference` is its reference answer, for judges who are shown those.
    """

    input: str
    text: str
    scores: Mapping[str, Number]
    why: str = ""
    reference: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        texts = {"input": self.input, "text": self.text, "reference": self.reference, "why": self.why}
        return {**texts, "scores": dict(self.scores)}


@dataclass(frozen=True)
class Rubric:
    """A whole rubric. `guide` is the file's body, `text` the file itself, `where` its place on this machine."""

    id: str
    version: int
    description: str
    dimensions: tuple[Dimension, ...]
    examples: tuple[Example, ...]
    composite: Formula
    pass_mark: Number | None
    guide: str
    text: str = field(default="", compare=False, repr=False)
    where: str = field(default="rubric", compare=False, repr=False)

    @property
    def label(self) -> str:
        """`id-vVERSION`: what people call it, and what may mean one rubric only."""
        return f"{self.id}-v{self.version}"

    @cached_property
    def judged(self) -> tuple[Dimension, ...]:
        """The dimensions that a judge gives."""
        return tuple(dimension for dimension in self.dimensions if not dimension.measured)

    @cached_property
    def measured(self) -> tuple[Dimension, ...]:
        """The dimensions that a scorer measured."""
        return tuple(dimension for dimension in self.dimensions if dimension.measured)

    @cached_property
    def range(self) -> Range:
        """The least and the largest composite."""
        return self.composite.bounds({dimension.name: (dimension.low, dimension.high) for dimension in self.dimensions})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content: two files that say the same have one digest."""
        return digest_of(self.content)

    @cached_property
    def content(self) -> dict[str, Any]:
        """All that it says, as JSON."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "version": self.version,
            "description": self.description,
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
            "examples": [example.to_json() for example in self.examples],
            "composite": self.composite.text,
            "pass_mark": self.pass_mark,
            "guide": self.guide,
        }

    def to_json(self) -> dict[str, Any]:
        """Its content, its digest, and the range of its composite."""
        return {**self.content, "label": self.label, "range": list(self.range), "digest": self.digest}

    @property
    def named(self) -> dict[str, Any]:
        """What a judgement says of it."""
        return {"id": self.id, "version": self.version, "digest": self.digest}

    def unexampled(self) -> list[str]:
        """The levels of judged dimensions that no example shows: `tone 2`."""
        shown = {(name, value) for example in self.examples for name, value in example.scores.items()}
        return [f"{d.name} {level:g}" for d in self.judged for level, _ in d.anchors if (d.name, level) not in shown]
