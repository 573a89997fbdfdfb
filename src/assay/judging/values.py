"""Judged numbers, attempt by attempt: which metrics a rubric gives, what each judged answer comes to, what is pending.

An answer has its values where somebody judged it and its scorer measured what the composite needs. Any other has none:
a missing judgement is pending and never a zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.errors import ConfigError, Problem
from assay.judging.candidates import is_candidate, judgeable
from assay.judging.judgements import Line, Standing
from assay.judging.queue import tasks_judged
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.scores import ScoreIndex
from assay.run.state import State

COMPOSITE = "composite"
PASSED = "passed"


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A number that judgements give: `name` is `<label>.<part>`, `kind` `pass` or `measure`, its range low to high."""

    name: str
    kind: str
    low: float
    high: float
    higher_is_better: bool = True

    @property
    def short(self) -> str:
        """The name without the rubric's label."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class JudgedValue:
    """What one answer was judged: its attempt's index in the plan, its cell, each metric's value, and who judged it."""

    index: int
    cell: int
    values: Mapping[str, float]
    judges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A candidate with all that is known of it: its sample's position in the plan, the measured dimensions, and each
    judge's standing judgement.
    """

    index: int
    cell: int
    sample: int
    measured: Mapping[str, float]
    lines: Mapping[str, Line]

    def given(self) -> list[Mapping[str, float]]:
        """Each judge's scores."""
        return [line.record["scores"] for line in self.lines.values()]

    def judged(self, rubric: Rubric) -> dict[str, float]:
        """The mean over the judges of each judged dimension; empty where nobody judged it."""
        given = self.given()
        return {one.name: _mean([scores[one.name] for scores in given]) for one in rubric.judged} if given else {}

    def composite(self, rubric: Rubric) -> float | None:
        """The mean over the judges of their composites; None where nobody judged it or a measure is missing."""
        given = self.given()
        judged = {dimension.name for dimension in rubric.judged}
        if not given or any(name not in self.measured for name in rubric.composite.names if name not in judged):
            return None
        return _mean([rubric.composite.value({**self.measured, **scores}) for scores in given])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def metrics(rubric: Rubric) -> tuple[JudgedMetric, ...]:
    """What a rubric gives: `<label>.composite`, `<label>.passed` where it has a pass mark, then each judged dimension.

    A dimension is better low where the composite falls as it rises, all others being in the middle of their scales.
    """
    low, high = rubric.range
    found = [JudgedMetric(f"{rubric.label}.{COMPOSITE}", "measure", low, high)]
    if rubric.pass_mark is not None:
        found.append(JudgedMetric(f"{rubric.label}.{PASSED}", "pass", 0, 1))
    return (
        *found,
        *(
            JudgedMetric(f"{rubric.label}.{one.name}", "measure", one.low, one.high, _rises(rubric, one.name))
            for one in rubric.judged
        ),
    )


def _rises(rubric: Rubric, name: str) -> bool:
    middle = {one.name: (one.low + one.high) / 2 for one in rubric.dimensions}
    low, high = next((one.low, one.high) for one in rubric.dimensions if one.name == name)
    composite = rubric.composite
    return bool(composite.value({**middle, name: high}) >= composite.value({**middle, name: low}))


def find(name: str, rubrics: Collection[Rubric]) -> JudgedMetric | None:
    """The metric of that name; its short one will do where only one rubric has it. None where no rubric has it.

    Raises ConfigError where several have it.
    """
    found = [metric for rubric in rubrics for metric in metrics(rubric) if name in (metric.name, metric.short)]
    whole = [metric for metric in found if metric.name == name]
    if len(whole or found) > 1:
        allowed = ", ".join(metric.name for metric in found)
        raise ConfigError(Problem(f"several rubrics give {name!r}", "--metric", allowed=allowed))
    return next(iter(whole or found), None)


@dataclass
class Counts:
    """Of one cell: how many candidates there are, how many nobody judged, and how many lack a measure that the
    composite needs though somebody judged them.
    """

    candidates: int = 0
    pending: int = 0
    unmeasured: int = 0


@dataclass
class Judged:
    """Every value by one rubric, and each cell's counts: of the cells of judged tasks, whether or not they have any."""

    rubric: Rubric
    tasks: tuple[str, ...]
    standing: Standing
    values: list[JudgedValue] = field(default_factory=list)
    counts: dict[int, Counts] = field(default_factory=dict)


def judged(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> Judged:
    """Values and counts in one pass over the run. Raises JournalCorrupt for judgements that are not of this plan."""
    standing = Standing.read(folder, plan, state, rubric)
    tasks = tasks_of(folder, plan, rubric, standing)
    found = Judged(rubric, tuple(tasks), standing)
    found.counts = {number: Counts() for number in cells_of(plan, tasks)}
    for answer in answers(folder, plan, state, rubric, standing, tasks):
        count, value = found.counts[answer.cell], value_of(answer, rubric)
        count.candidates += 1
        count.pending += not answer.lines
        count.unmeasured += bool(answer.lines) and value is None
        if value is not None:
            found.values.append(value)
    return found


def values(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> Iterator[JudgedValue]:
    """What each candidate was judged that has all that the composite needs, in the order of the journal.

    Raises JournalCorrupt for judgements that are not of this plan.
    """
    yield from judged(folder, plan, state, rubric).values


def pending(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> dict[int, int]:
    """How many candidates nobody has judged by this rubric, for each cell of the tasks that are judged by it."""
    return {cell: count.pending for cell, count in judged(folder, plan, state, rubric).counts.items()}


def value_of(answer: Answer, rubric: Rubric) -> JudgedValue | None:
    """An answer's metrics; None where it is pending, or unmeasured."""
    composite = answer.composite(rubric)
    if composite is None:
        return None
    label = rubric.label
    found = {f"{label}.{COMPOSITE}": composite}
    if rubric.pass_mark is not None:
        found[f"{label}.{PASSED}"] = float(composite >= rubric.pass_mark)
    found |= {f"{label}.{name}": value for name, value in answer.judged(rubric).items()}
    return JudgedValue(answer.index, answer.cell, found, tuple(sorted(answer.lines)))


def tasks_of(folder: RunFolder, plan: Plan, rubric: Rubric, standing: Standing) -> list[str]:
    """The tasks that are judged by a rubric: handed out or judged so; where neither was, all whose answers are text."""
    said = {plan.cells[plan.locate(index)[0]].task for index in standing.by_attempt}
    return judgeable(plan, sorted({*tasks_judged(folder, rubric), *said}))


def cells_of(plan: Plan, tasks: Collection[str]) -> list[int]:
    """The cells of these tasks whose answers are text."""
    return [number for number, cell in enumerate(plan.cells) if cell.task in tasks and cell.mode != "choices"]


def answers(
    folder: RunFolder, plan: Plan, state: State, rubric: Rubric, standing: Standing, tasks: Collection[str]
) -> Iterator[Answer]:
    """Every candidate of these tasks, in the order of the journal. Raises JournalCorrupt."""
    index = ScoreIndex(folder, plan, state)
    try:
        for _, _, record in journal.read(folder.attempts):
            if is_candidate(record, plan, state, tasks):
                number = record["index"]
                lines = standing.by_attempt.get(number, {})
                measured = measures(rubric, index.get(number))
                yield Answer(number, record["cell"], plan.locate(number)[1], measured, lines)
    finally:
        index.close()


def measures(rubric: Rubric, score: Mapping[str, Any] | None) -> dict[str, float]:
    """The measured dimensions of an attempt, from its score: a pass is one. What the score lacks is left out."""
    found = (score or {}).get("metrics") or {}
    return {
        dimension.name: float(found[dimension.metric])
        for dimension in rubric.measured
        if isinstance(found.get(dimension.metric), bool | int | float)
    }
