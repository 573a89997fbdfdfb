"""What a board ranks: entries made of cells of runs, and what they are ranked by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.run.sums import JudgedSums, RunSums

_NAMED = 5
"""How many names a note lists before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Part:
    """One cell of one run, as a part of an entry."""

    run: RunSums
    cell: int

    @property
    def task(self) -> str:
        """The task's name in the plan."""
        return self.run.plan.cells[self.cell].task

    @property
    def row(self) -> Mapping[str, Any]:
        """The cell's line of the results."""
        return self.run.row(self.cell)

    @property
    def name(self) -> tuple[str, str, str]:
        """Model, prompt, task."""
        cell = self.run.plan.cells[self.cell]
        return cell.model, cell.prompt, cell.task


@dataclass(slots=True)
class Entry:
    """One line of the board: what it is called by each key, and the cells that it is made of."""

    keys: dict[str, str]
    parts: list[Part] = field(default_factory=list)

    @property
    def label(self) -> str:
        """All keys in a row."""
        return " · ".join(self.keys.values())


@dataclass(frozen=True, slots=True)
class Measured:
    """The metric of the board: its name where all tasks share one, each task's own, and how it is read.

    `judged` has the rubric behind it for each task whose metric is judged.
    """

    of: Mapping[str, str]
    kind: str
    higher_is_better: bool
    judged: Mapping[str, JudgedSums] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The one name, or the names of all."""
        return ", ".join(dict.fromkeys(self.of.values()))

    @property
    def rubrics(self) -> dict[str, str]:
        """The digest of the rubric of each task that is ranked by judgements."""
        return {task: judged.digest for task, judged in self.judged.items()}


def check_runs(runs: Sequence[RunSums]) -> None:
    """Raises ConfigError where a run is there twice."""
    seen: dict[str, RunSums] = {}
    for run in runs:
        other = seen.setdefault(str(run.manifest), run)
        if other is not run:
            raise ConfigError(Problem(f"{run.path} is the same run as {other.path}", "RUN", allowed="each run once"))


def check_tasks(tasks: Sequence[str], runs: Sequence[RunSums]) -> None:
    """Raises ConfigError where no run has one of these tasks."""
    known = sorted({name for run in runs for name in run.plan.tasks})
    if unknown := [name for name in tasks if name not in known]:
        message = f"no run has a task {unknown[0]!r}"
        raise ConfigError(Problem(message, "--task", allowed=", ".join(known)))


def parts_of(runs: Iterable[RunSums]) -> Iterator[Part]:
    """Every cell of every run."""
    for run in runs:
        for number in range(len(run.plan.cells)):
            yield Part(run, number)


def entries_of(parts: Sequence[Part], by: Sequence[str], notes: list[str]) -> list[Entry]:
    """One entry for each value of the keys; runs that mean different things by one name have entries of their own."""
    apart = _apart(parts, notes)
    found: dict[tuple[str, ...], Entry] = {}
    for part in parts:
        cell = part.run.plan.cells[part.cell]
        keys = {key: str(getattr(cell, key)) for key in by}
        if any((key, value) in apart for key, value in (("model", cell.model), ("prompt", cell.prompt))):
            keys["run"] = part.run.name
        found.setdefault(tuple(keys.values()), Entry(keys)).parts.append(part)
    return list(found.values())


def _apart(parts: Sequence[Part], notes: list[str]) -> set[tuple[str, str]]:
    """Names that runs share but do not mean the same by, or that they both asked the same."""
    meant: dict[tuple[str, str], set[str]] = {}
    asked: dict[tuple[str, str, str], set[str]] = {}
    for part in parts:
        cell, plan = part.run.plan.cells[part.cell], part.run.plan
        model = plan.models[cell.model]
        meaning = [model.model, {**model.identity}, model.system]
        meant.setdefault(("model", cell.model), set()).add(digest_of(meaning))
        meant.setdefault(("prompt", cell.prompt), set()).add(digest_of(plan.prompts[cell.prompt]))
        asked.setdefault(part.name, set()).add(part.run.name)
    apart = {key for key, found in meant.items() if len(found) > 1}
    for key, name in sorted(apart):
        notes.append(f"the {key} {name} is not the same in every run: each run has an entry of its own")
    for (name, prompt, task), runs in asked.items():
        if len(runs) > 1 and ("model", name) not in apart:
            apart.add(("model", name))
            notes.append(f"{name} · {prompt} was asked {task} by {named(sorted(runs))}: each has an entry of its own")
    return apart


def named(names: Sequence[str], most: int = _NAMED) -> str:
    """Names in a row, the rest of many counted."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
