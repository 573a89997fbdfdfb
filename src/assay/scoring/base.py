"""What a scorer is. The built-in ones and those of other packages come through the same door:
the entry-point group `assay.scorers`, each naming a function that takes the spec's options and returns a Scorer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from assay.records import Completion, Sample, Score


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a scorer yields per attempt.

    `kind` says how attempts are summed up: `pass` (a bool; a rate), `measure` (a number; a mean) or `label` (a
    string; counts). `low` and `high` bound a measure's scale where it has bounds.
    """

    name: str
    kind: Literal["pass", "measure", "label"] = "pass"
    higher_is_better: bool = True
    low: float | None = None
    high: float | None = None
    help: str = ""


@runtime_checkable
class Scorer(Protocol):
    """Turns (sample, completion) into a Score: a pure function, with no I/O, no clock and no randomness."""

    @property
    def name(self) -> str:
        """As written in `scoring_mode`."""

    @property
    def revision(self) -> str:
        """Changes whenever the same completion could get another score; part of the plan and of every score."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it measures, the primary metric first."""

    @property
    def needs(self) -> Literal["text", "choices"]:
        """Whether it reads the completion's text or the log-likelihood of the sample's choices."""

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Score one completion. Raises ScorerError where this sample cannot be scored at all."""
