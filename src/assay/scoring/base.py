"""What a scorer is. The built-in ones and those of other packages come through the same door:
the entry-point group `assay.scorers`, each naming a function that takes the spec's options and returns a Scorer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from assay.records import Completion, Sample, Score
from assay.sandbox.execution import Program, Settings


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """The program that a completion means, and how it was found in the text (see `assay.scoring.extraction`)."""

    program: Program
    strategy: Literal["fenced", "head", "whole", "verbatim"]
    form: Literal["completion", "program"]
    found: bool

    @property
    def digest(self) -> str:
        """What ties an execution to the program it is of: the first 16 hex digits of the source's SHA-256."""
        source = self.program.solution.encode("utf-8", "surrogatepass")
        return hashlib.sha256(source).hexdigest()[:16]


@runtime_checkable
class CodeScorer(Scorer, Protocol):
    """A scorer whose verdict needs an execution: somebody else executes `program` and hands the outcome to `judge`.

    Both are pure functions; `score` raises MachineError, since nothing is executed while scores are read.
    """

    @property
    def settings(self) -> Settings:
        """How solutions are confined."""

    @property
    def control(self) -> Literal["sample", "full"]:
        """Whether some or all reference solutions are executed to check the harness itself."""

    @property
    def k(self) -> tuple[int, ...]:
        """For which k pass@k is asked, ascending."""

    @property
    def check_determinism(self) -> bool:
        """Whether every program is executed twice and both outcomes are compared."""

    def settings_for(self, samples: Iterable[Sample]) -> Settings:
        """The settings with what these samples' tests import."""

    def program(self, sample: Sample, completion: Completion) -> Candidate:
        """The program to execute. Raises ScorerError where the sample has no tests."""

    def judge(self, sample: Sample, completion: Completion, execution: Mapping[str, Any]) -> Score:
        """The score that a stored execution gives: an Execution's JSON and, under `program`, the candidate's digest.

        Raises ScorerError for an execution of another program, one that is malformed, and one that the sandbox
        itself failed.
        """
