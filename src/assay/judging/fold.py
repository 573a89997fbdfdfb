"""What the judgements of a run come to: per cell every dimension's mean, and the composite's, with their intervals.

A missing judgement is pending, never zero: nothing is put in its place, and a cell with one says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.judging.candidates import judgeable
from assay.judging.judgements import Standing
from assay.judging.rubric import Rubric
from assay.judging.values import Answer, answers, cells_of, tasks_of
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.results import rounded
from assay.run.state import State
from assay.stats.intervals import Interval, clustered_mean, clustered_rate, mean, rate

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
    flags: dict[str, int] = field(default_factory=dict)


def summary(
    folder: RunFolder,
    plan: Plan,
    rubric: Rubric,
    state: State | None = None,
    tasks: Collection[str] = (),
    standing: Standing | None = None,
) -> dict[str, Any]:
    """Per cell the mean of each dimension and of the composite, with intervals clustered by sample; n, and how many
    candidates are pending.

    `tasks`: by default those that were ever exported for this rubric, or judged by it. Several judges of one attempt
    count as their mean. A measured dimension is read from the attempt's current score; where a score has none, the
    attempt is `unmeasured` and has no composite. `state`, `standing`: where they are read already. Raises
    JournalCorrupt for judgements that are not of this plan.
    """
    state = state or State.read(folder, plan)
    standing = standing or Standing.read(folder, plan, state, rubric)
    chosen = judgeable(plan, tasks) if tasks else tasks_of(folder, plan, rubric, standing)
    cells = {
        number: _empty(len(plan.tasks[plan.cells[number].task].samples), rubric) for number in cells_of(plan, chosen)
    }
    for answer in answers(folder, plan, state, rubric, standing, chosen):
        _add(cells[answer.cell], answer, rubric)
    rows = [rounded(_row(plan, number, cell, rubric)) for number, cell in cells.items()]
    return {
        "plan": plan.digest,
        "rubric": {
            "label": rubric.label,
            **rubric.named,
            "composite": rubric.composite.text,
            "pass_mark": rubric.pass_mark,
            "range": list(rubric.range),
        },
        "candidates": sum(row["candidates"] for row in rows),
        "pending": sum(row["pending"] for row in rows),
        "judges": list(judges_of(standing)),
        "marked": list(marked_of(standing)),
        "cells": rows,
    }


def _empty(samples: int, rubric: Rubric) -> _Cell:
    columns = {dimension.name: _Values.of(samples) for dimension in rubric.dimensions}
    return _Cell(columns, _Values.of(samples), _Values.of(samples))


def _add(cell: _Cell, answer: Answer, rubric: Rubric) -> None:
    cell.candidates += 1
    for name, value in {**answer.measured, **answer.judged(rubric)}.items():
        cell.columns[name].add(answer.sample, value)
    if not answer.lines:
        return
    cell.judged += 1
    for judge, line in answer.lines.items():
        cell.judges[judge] = cell.judges.get(judge, 0) + 1
        for flag in line.record.get("flags", ()):
            cell.flags[flag] = cell.flags.get(flag, 0) + 1
    composite = answer.composite(rubric)
    if composite is None:
        cell.unmeasured += 1
        return
    cell.composite.add(answer.sample, composite)
    if rubric.pass_mark is not None:
        cell.passed.add(answer.sample, float(composite >= rubric.pass_mark))


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
        "flags": dict(sorted(cell.flags.items())),
        "dimensions": {name: asdict(values.mean()) for name, values in cell.columns.items()},
        "composite": asdict(cell.composite.mean()),
        "passed": asdict(cell.passed.rate()) if rubric.pass_mark is not None else None,
    }


def judges_of(standing: Standing) -> Iterator[dict[str, Any]]:
    """Who stands behind the numbers: each judge's name, kind, and how many judgements of theirs stand; of a model what
    it is, too.
    """
    found: dict[str, tuple[Mapping[str, Any], int]] = {}
    for lines in standing.by_attempt.values():
        for name, line in lines.items():
            found[name] = (line.header["judge"], found.get(name, ({}, 0))[1] + 1)
    for name, (judge, count) in sorted(found.items()):
        kept = {key: judge[key] for key in ("kind", "identity", "votes") if key in judge}
        yield {"judge": name, **kept, "judgements": count}


def marked_of(standing: Standing) -> Iterator[dict[str, Any]]:
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
