"""What an importer finds: the tool, its models, prompts and tasks, its own numbers, and its rows one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import Problem
from assay.plan.plan import Kind
from assay.records import Completion, Outcome, Sample, Value

MOST_TEXT = 2_000
"""Characters kept of a tool's explanation of a score, or of an error's message."""


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """What is known of a metric before its values are seen. `passes`: its values are 0 and 1, where they are."""

    passes: bool = False
    higher_is_better: bool = True
    low: float | None = None
    high: float | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task as the tool knows it. `settings` shape its scores: they are part of the scorer's identity.

    `metrics` are in the tool's order, the primary one first; others that rows have come after them.
    """

    version: str = "unknown"
    kind: Kind = "generate"
    settings: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, MetricFacts] = field(default_factory=dict)
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class CellFacts:
    """One (model, prompt, task), by the keys that the source has them under."""

    model: str
    prompt: str
    task: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that the tool reports of a cell; see `assay.run.imported.Reported`."""

    cell: int
    metric: str
    value: float
    n: int | None = None
    stderr: float | None = None
    mean: bool = True
    why: str = ""
    counted: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt: sample `sample` of cell number `cell`, its `epoch`-th try from 0, and how it ended.

    `identity` is what the data set says of the sample, where its input is more than that (a rendered prompt).
    A row that can be scored has `metrics`, or `unscored` says why the tool has none. `error` is (type, message) of an
    attempt that the model did not answer. `place` is `{"line": 3}` or `{"file": "samples/1.json"}`.
    """

    cell: int
    sample: Sample
    epoch: int
    outcome: Outcome
    place: Mapping[str, Any]
    completion: Completion | None = None
    metrics: Mapping[str, Value] = field(default_factory=dict)
    extracted: str | None = None
    why: str = ""
    unscored: str = ""
    error: tuple[str, str] | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    identity: Any = None


Rows = Callable[[str | None], Iterator[Row | Problem]]
"""Reads the rows from the start each time it is called; those of one task alone where it is named."""


@dataclass(frozen=True)
class Source:
    """Results of one tool. `files` are all that were read, `title` what the run is called after the tool's name."""

    tool: str
    version: str
    title: str
    files: tuple[Path, ...]
    models: Mapping[str, Mapping[str, Any]]
    prompts: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, TaskFacts]
    cells: tuple[CellFacts, ...]
    rows: Rows
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()


def no_rows(task: str | None = None) -> Iterator[Row | Problem]:
    """The rows of a source that has totals only."""
    return iter(())
