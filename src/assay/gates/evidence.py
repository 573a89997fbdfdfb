"""What gates read of a run: a plain view, made by `assay.evidence.read` from sealed files, or from JSON.

A view may be of anything, sound or not: a duplicate attempt, a score off its scale or a run that was killed can all be
expressed, because it is the gates that must find them. It cannot be inconsistent in shape: arrays of one cell
have one length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from assay.errors import EvidenceError
from assay.files import canonical
from assay.gates.judges import Judged, Seen
from assay.records import Outcome
from assay.spec.schema import Strict

SCHEMA = "assay.evidence.v1"
State = Literal["sealed", "running", "resumable", "killed", "failed", "damaged"]
"""How a run stands. Only a sealed one can be gated; `running` and `resumable` ones will be."""

OUTCOMES = tuple(Outcome)
CODES = {outcome.value: code for code, outcome in enumerate(OUTCOMES)}

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the scorer declares it; `low` and `high` bound its scale where it has bounds."""

    name: str
    kind: Literal["pass", "measure", "label"] = "pass"
    higher_is_better: bool = True
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Controls:
    """How reference solutions fared: how many were executed, and which failed without being known to be broken."""

    executed: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CellEvidence:
    """One cell: its facts, and one entry an attempt that ended in each of the arrays.

    `facts` are what two cells must share to be compared. `position` is the sample (an index into `samples`),
    `outcome` an index into OUTCOMES. In `values`, `tokens` (completion tokens) and `latency` (seconds) NaN means that
    there is none; a score that is no finite number is infinite. `clusters` and `categories` have one label a sample.
    `aggregate` has a metric's value and count where that is all there is. `of`: where a run was looked at while it went
    on, how many samples the plan has; `samples` are then those asked, in the order of the looks. `judged` says who
    judged by which rubric, `judged_metrics` what that gives: those are never a task's primary metric.
    """

    model: str
    prompt: str
    task: str
    samples: tuple[str, ...]
    planned: int | None
    position: Whole
    epoch: Whole
    outcome: Codes
    values: Mapping[str, Floats]
    tokens: Floats
    latency: Floats
    metrics: tuple[Metric, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    clusters: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    executes: bool = False
    generates: bool = True
    controls: Controls | None = None
    tier: str | None = None
    forgeable: int = 0
    aggregate: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    of: int | None = None
    judged: tuple[Judged, ...] = ()
    judged_metrics: tuple[Metric, ...] = ()

    @property
    def name(self) -> str:
        """The cell in full."""
        return f"{self.model} · {self.prompt} · {self.task}"

    @property
    def finished(self) -> int:
        """How many attempts have ended."""
        return len(self.outcome)

    def count(self, outcome: Outcome) -> int:
        """How many attempts ended so."""
        return int(np.count_nonzero(self.outcome == CODES[outcome.value]))

    def metric(self, name: str | None) -> Metric | None:
        """The metric of that name, the primary one for None; None where there is no such metric.

        A judged one by its whole name, `tip-v1.composite`, or without the rubric where only one has it.
        """
        found = next((metric for metric in self.metrics if name in (None, metric.name)), None)
        if found is not None or name is None:
            return found
        ours = [one for one in self.judged_metrics if name in (one.name, one.name.rpartition(".")[2])]
        whole = [one for one in ours if one.name == name] or ours
        return whole[0] if len(whole) == 1 else None

    def judged_by(self, metric: Metric | None) -> Judged | None:
        """What a metric was judged by; None for one that no judge gave."""
        if metric is None or metric not in self.judged_metrics:
            return None
        label = metric.name.rpartition(".")[0]
        return next((one for one in self.judged if one.label == label), None)


@dataclass(frozen=True, slots=True)
class Until:
    """That a run was evaluated until it was decided: by which policy (its digest) and against which baseline (the id of
    its seal), how often it was looked at, after `block` samples of the largest task each, and what the last look said:
    the verdict, and the bounds of each task's gain.
    """

    policy: str
    baseline: str | None
    block: int
    looks: int
    verdict: str | None = None
    bounds: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A run as gates see it.

    `manifest` is the id of the seal that was read and `digest` the SHA-256 of its file. Where the run is not sealed,
    `why` says what is wrong and `error` is the failure class. `chosen` is what `only` was told, and `until` says that
    it was looked at while it went on.
    """

    run: str
    state: State
    cells: tuple[CellEvidence, ...] = ()
    manifest: str | None = None
    plan: str | None = None
    synthetic: bool = False
    kind: Literal["run", "import"] = "run"
    why: str = ""
    error: str | None = None
    digest: str | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    until: Until | None = None

    @property
    def stopped(self) -> bool:
        """Whether it stopped before the end of its plan because it was decided."""
        return any(cell.of is not None and len(cell.samples) < cell.of for cell in self.cells)

    def identity(self, role: str) -> dict[str, Any]:
        """How a result names this input: by its digests."""
        value: dict[str, Any] = {"role": role, "run": self.run, "kind": self.kind, "state": self.state}
        value |= {"manifest": self.manifest, "sha256": self.digest, "plan": self.plan, "synthetic": self.synthetic}
        return {**value, "chosen": self.chosen}

    def only(self, model: str | None = None, prompt: str | None = None) -> Evidence:
        """The same run with the cells of one model and one prompt."""
        chosen = (cell for cell in self.cells if model in (None, cell.model) and prompt in (None, cell.prompt))
        asked = {"model": model, "prompt": prompt}
        named = {key: name for key, name in asked.items() if name is not None}
        return replace(self, cells=tuple(chosen), chosen={**self.chosen, **named})


_Text = Annotated[str, Field(max_length=10_000)]
_Count = Annotated[int, Field(ge=0, le=10**12)]
_Value = bool | int | float | None


class _Attempts(Strict):
    position: list[_Count]
    epoch: list[_Count]
    outcome: list[Literal[tuple(CODES)]]  # type: ignore[valid-type]
    values: dict[str, list[_Value]] = Field(default_factory=dict)
    tokens: list[_Value] | None = None
    latency: list[_Value] | None = None


class _Metric(Strict):
    name: _Text
    kind: Literal["pass", "measure", "label"] = "pass"
    higher_is_better: bool = True
    low: float | None = None
    high: float | None = None


class _Controls(Strict):
    executed: _Count
    failed: list[_Text] = Field(default_factory=list)


class _Seen(Strict):
    name: _Text
    kind: _Text
    identity: _Text | None = None


class _Judged(Strict):
    label: _Text
    rubric: _Text
    candidates: _Count
    pending: _Count
    judges: list[_Seen] = Field(default_factory=list)
    marked: list[_Text] = Field(default_factory=list)


class _Cell(Strict):
    model: _Text
    prompt: _Text
    task: _Text
    samples: list[_Text]
    planned: _Count | None = None
    attempts: _Attempts
    metrics: list[_Metric] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    clusters: list[_Text] | None = None
    categories: list[_Text] | None = None
    errors: dict[str, _Count] = Field(default_factory=dict)
    executes: bool = False
    generates: bool = True
    controls: _Controls | None = None
    tier: _Text | None = None
    forgeable: _Count = 0
    aggregate: dict[str, Annotated[tuple[float, _Count], Field(strict=False)]] = Field(default_factory=dict)
    of: _Count | None = None
    judged: list[_Judged] = Field(default_factory=list)
    judged_metrics: list[_Metric] = Field(default_factory=list)


class _Until(Strict):
    policy: _Text
    baseline: _Text | None
    block: Annotated[int, Field(ge=1, le=10**9)]
    looks: Annotated[int, Field(ge=0, le=10**6)]
    verdict: _Text | None = None
    bounds: dict[str, Annotated[tuple[float, float], Field(strict=False)]] | None = None


class _Evidence(Strict):
    schema_: Literal["assay.evidence.v1"] = Field(alias="schema")
    run: _Text
    state: Literal["sealed", "running", "resumable", "killed", "failed", "damaged"]
    cells: list[_Cell] = Field(default_factory=list)
    manifest: _Text | None = None
    plan: _Text | None = None
    synthetic: bool = False
    kind: Literal["run", "import"] = "run"
    why: _Text = ""
    error: _Text | None = None
    until: _Until | None = None


def from_json(value: Any) -> Evidence:
    """The evidence that a JSON value describes. Raises EvidenceError that names the first thing wrong with it."""
    try:
        parsed = _Evidence.model_validate(value)
        cells = tuple(_cell(cell) for cell in parsed.cells)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise EvidenceError(f"not evidence that this version reads: {place}: {first['msg']}") from None
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise EvidenceError(f"not evidence that this version reads: {error}") from None
    names = ("run", "state", "manifest", "plan", "synthetic", "kind", "why", "error")
    until = Until(**dict(parsed.until)) if parsed.until else None
    return Evidence(cells=cells, until=until, **{name: getattr(parsed, name) for name in names})


def _cell(cell: _Cell) -> CellEvidence:
    canonical(cell.facts)
    attempts, many = cell.attempts, len(cell.attempts.outcome)
    position = np.array(attempts.position, dtype=np.int64)
    _check_lengths(cell, many)
    if many and position.max() >= len(cell.samples):
        raise ValueError(f"an attempt is of sample {position.max()}, and there are {len(cell.samples)}")
    nothing = [None] * many
    names = ("model", "prompt", "task", "planned", "facts", "errors", "executes", "generates", "tier", "forgeable")
    return CellEvidence(
        samples=tuple(cell.samples),
        position=position,
        epoch=np.array(attempts.epoch, dtype=np.int64),
        outcome=np.array([CODES[str(name)] for name in attempts.outcome], dtype=np.uint8),
        values={name: _floats(values) for name, values in attempts.values.items()},
        tokens=_floats(attempts.tokens or nothing),
        latency=_floats(attempts.latency or nothing),
        metrics=tuple(Metric(**dict(metric)) for metric in cell.metrics),
        clusters=tuple(cell.clusters) if cell.clusters is not None else None,
        categories=tuple(cell.categories) if cell.categories is not None else None,
        controls=Controls(cell.controls.executed, tuple(cell.controls.failed)) if cell.controls else None,
        aggregate=dict(cell.aggregate),
        of=cell.of,
        judged=tuple(_judged(one) for one in cell.judged),
        judged_metrics=tuple(Metric(**dict(metric)) for metric in cell.judged_metrics),
        **{name: getattr(cell, name) for name in names},
    )


def _judged(one: _Judged) -> Judged:
    judges = tuple(Seen(**dict(seen)) for seen in one.judges)
    return Judged(one.label, one.rubric, one.candidates, one.pending, judges, tuple(one.marked))


def _check_lengths(cell: _Cell, many: int) -> None:
    attempts = cell.attempts
    arrays: list[Sequence[Any] | None] = [attempts.position, attempts.epoch, *attempts.values.values()]
    if any(len(array) != many for array in [*arrays, attempts.tokens, attempts.latency] if array is not None):
        raise ValueError("the columns of the attempts are not equally long")
    for labels in (cell.clusters, cell.categories):
        if labels is not None and len(labels) != len(cell.samples):
            raise ValueError("clusters and categories have one label a sample")


def _floats(values: Sequence[_Value]) -> Floats:
    """NaN where there is no value; infinite where there is one that is no finite number."""
    found: Floats = np.array([np.nan if value is None else _float(value) for value in values], dtype=np.float64)
    return found


def _float(value: bool | int | float) -> float:
    try:
        found = float(value)
    except OverflowError:
        return float("inf")
    return float("inf") if found != found else found
