"""What the judgements of a run come to: per cell every dimension's mean, and the composite's, with their intervals.

A missing judgement is pending, never zero: nothing is put in its place, and a cell with one says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.judging.candidates import is_candidate, judgeable
from assay.judging.judgements import Standing
from assay.judging.queue import tasks_judged
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.results import rounded
from assay.run.scores import ScoreIndex
from assay.run.state import State
from assay.stats.intervals import Interval, clustered_mean, clustered_rate, mean, rate

SCHEMA = "assay.judged.v1"
CONFIDENCE = 0.95


@dataclass
class _Values:
    """One column of a cell: values of attempts, summed by sample, whose attempts are not independent."""

    sums: array[float]
    counts: array[int]
    values: array[float] = field(default_factory=lambda: array("d"))

    @classmethod
    def of(cls, samples: int) -> _Values:
        return cls(array("d", [0.0]) * samples, array("L", [0]) * samples)

    def add(self, sample: int, value: float) -> None:
        self.sums[sample] += value
        self.counts[sample] += 1
        self.values.append(value)

    def mean(self) -> Interval:
        if max(self.counts, default=0) > 1:
            return clustered_mean(self.counts, self.sums, CONFIDENCE)
        return mean(self.values, CONFIDENCE)

    def rate(self) -> Interval:
        if max(self.counts, default=0) > 1:
            return clustered_rate(self.counts, [round(total) for total in self.sums], CONFIDENCE)
        return rate(round(sum(self.values)), len(self.values), CONFIDENCE)


@dataclass
class _Cell:
    """What is known of one cell's candidates."""

    columns: dict[str, _Values]
    composite: _Values
    passed: _Values
    candidates: int = 0
    judged: int = 0
    unmeasured: int = 0
    judges: dict[str, int] = field(default_factory=dict)


def summary(
    folder: RunFolder, plan: Plan, rubric: Rubric, state: State | None = None, tasks: Collection[str] = ()
) -> dict[str, Any]:
    """Per cell the mean of each dimension and of the composite, with intervals clustered by sample; n, and how many
    candidates are pending.

    `tasks`: by default those that were ever exported for this rubric. Several judges of one attempt count as their
    mean. A measured dimension is read from the attempt's current score; where a score has none, the attempt is
    `unmeasured` and has no composite. Raises JournalCorrupt for judgements that are not of this plan.
    """
    state = state or State.read(folder, plan)
    chosen = judgeable(plan, tasks or tasks_judged(folder, rubric))
    standing = Standing.read(folder, plan, state, rubric)
    numbers = [number for number, cell in enumerate(plan.cells) if cell.task in chosen and cell.mode != "choices"]
    cells = {number: _empty(len(plan.tasks[plan.cells[number].task].samples), rubric) for number in numbers}
    index = ScoreIndex(folder, plan, state)
    try:
        for _, _, record in journal.read(folder.attempts):
            if is_candidate(record, plan, state, chosen):
                _add(cells[record["cell"]], record["index"], plan, rubric, standing, index)
    finally:
        index.close()
    rows = [rounded(_row(plan, number, cell, rubric)) for number, cell in cells.items()]
    return {
        "schema": SCHEMA,
        "plan": plan.digest,
        "rubric": {**rubric.named, "composite": rubric.composite.text, "pass_mark": rubric.pass_mark},
        "candidates": sum(row["candidates"] for row in rows),
        "pending": sum(row["pending"] for row in rows),
        "marked": list(_marked(standing)),
        "cells": rows,
    }


def _empty(samples: int, rubric: Rubric) -> _Cell:
    columns = {dimension.name: _Values.of(samples) for dimension in rubric.dimensions}
    return _Cell(columns, _Values.of(samples), _Values.of(samples))


def _add(cell: _Cell, number: int, plan: Plan, rubric: Rubric, standing: Standing, index: ScoreIndex) -> None:
    cell.candidates += 1
    position = plan.locate(number)[1]
    measured = measures(rubric, index.get(number))
    for name, value in measured.items():
        cell.columns[name].add(position, value)
    judges = standing.by_attempt.get(number)
    if not judges:
        return
    cell.judged += 1
    for judge, line in judges.items():
        cell.judges[judge] = cell.judges.get(judge, 0) + 1
        if line.record["kind"] != "candidate":
            raise line.corrupt("a check stands for a candidate")
    given = [line.record["scores"] for line in judges.values()]
    for dimension in rubric.judged:
        cell.columns[dimension.name].add(position, _mean([scores[dimension.name] for scores in given]))
    if any(name not in measured for name in rubric.composite.names if name not in given[0]):
        cell.unmeasured += 1
        return
    composite = _mean([rubric.composite.value({**measured, **scores}) for scores in given])
    cell.composite.add(position, composite)
    if rubric.pass_mark is not None:
        cell.passed.add(position, float(composite >= rubric.pass_mark))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def measures(rubric: Rubric, score: Mapping[str, Any] | None) -> dict[str, float]:
    """The measured dimensions of an attempt, from its score: a pass is one. What the score lacks is left out."""
    metrics = (score or {}).get("metrics") or {}
    return {
        dimension.name: float(metrics[dimension.metric])
        for dimension in rubric.measured
        if isinstance(metrics.get(dimension.metric), bool | int | float)
    }


def _row(plan: Plan, number: int, cell: _Cell, rubric: Rubric) -> dict[str, Any]:
    place = plan.cells[number]
    pending = cell.candidates - cell.judged
    planned = plan.tasks[place.task].attempts
    return {
        "cell": number,
        "model": place.model,
        "prompt": place.prompt,
        "task": place.task,
        "state": "pending" if pending or not cell.candidates else "judged",
        "planned": planned,
        "candidates": cell.candidates,
        "unanswered": planned - cell.candidates,
        "judged": cell.judged,
        "pending": pending,
        "unmeasured": cell.unmeasured,
        "judges": dict(sorted(cell.judges.items())),
        "dimensions": {name: asdict(values.mean()) for name, values in cell.columns.items()},
        "composite": asdict(cell.composite.mean()),
        "passed": asdict(cell.passed.rate()) if rubric.pass_mark is not None else None,
    }


def _marked(standing: Standing) -> Iterator[dict[str, Any]]:
    """The batches behind what stands whose checks failed, and how many judgements of each stand."""
    counts: dict[str, tuple[Mapping[str, Any], int]] = {}
    for judges in standing.by_attempt.values():
        for line in judges.values():
            if line.header["checks"]["marked"]:
                before = counts.get(line.header["batch"], (line.header, 0))[1]
                counts[line.header["batch"]] = (line.header, before + 1)
    for batch, (header, count) in sorted(counts.items()):
        judge = header["judge"]["name"]
        yield {"batch": batch, "judge": judge, "judgements": count, "why": header["checks"]["marked"]}
