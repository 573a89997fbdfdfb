"""Scoring stored completions: needs the run directory and nothing else, no model and no network.

Each segment of `scores/` begins with a header that names the scorer of every task; the lines after it hold one score
per attempt. Scoring again with another scorer or revision starts a new segment; the newest header is the one that
results are computed from.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import JournalCorrupt
from assay.files import digest_of
from assay.plan.plan import IMPORTED, Plan, ScorerPlan
from assay.records import Outcome
from assay.run import journal
from assay.run.executions import Executor, Progress, Todo
from assay.run.folder import RunFolder, SampleFile
from assay.run.interruption import wait_for
from assay.run.state import State
from assay.run.verdict import verdict
from assay.scoring.base import CodeScorer
from assay.scoring.registry import make

SCHEMA = "assay.scores.v1"
Scorers = Mapping[str, ScorerPlan]


def scorer_id(scorer: ScorerPlan) -> str:
    """`mode@revision:options`, the last a digest: equal ids give equal scores for equal completions."""
    return f"{scorer.mode}@{scorer.revision}:{digest_of(dict(scorer.options))[:8]}"


def planned(plan: Plan) -> dict[str, ScorerPlan]:
    """The scorers that the plan names, by task; tasks that only generate are not in it."""
    return {name: task.scorer for name, task in plan.tasks.items() if task.scorer is not None}


def current(folder: RunFolder, plan: Plan) -> dict[str, ScorerPlan]:
    """The scorers of the newest segment of scores; the plan's where there is none yet."""
    newest = journal.segments(folder.scores)[-1:]
    return _header(newest[0]) if newest else planned(plan)


def header(scorers: Scorers) -> dict[str, Any]:
    """The first line of a segment: which scorer each task's scores are by."""
    return {"schema": SCHEMA, "scorers": {name: asdict(scorer) for name, scorer in scorers.items()}}


def _header(path: Path) -> dict[str, ScorerPlan]:
    line = journal.first_line(path)
    if not line.endswith(b"\n"):
        return {}
    header = journal.parse(path, 1, line)
    if header.get("schema") != SCHEMA:
        raise JournalCorrupt(path, 1, f"schema is {header.get('schema')!r}, expected {SCHEMA!r}")
    return {
        name: ScorerPlan(**{**scorer, "metrics": tuple(scorer["metrics"])})
        for name, scorer in header["scorers"].items()
    }


def read(folder: RunFolder) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Every score line, headers left out, as (segment, line number, record)."""
    for path, number, record in journal.read(folder.scores):
        if number > 1:
            yield path, number, record


@dataclass
class Scoring:
    """Scores what is not scored yet. `scorers` by task; `state` says which line of an attempt is its newest.

    Tasks whose scorer executes code come last, in a sandbox; `workers` bounds how many programs run at once and
    `progress` is told how far they are. Without `execute` they are left for later.
    """

    folder: RunFolder
    plan: Plan
    state: State
    scorers: Scorers
    sealed: frozenset[str] = frozenset()
    workers: int | None = None
    progress: Progress | None = None
    execute: bool = True
    _writer: journal.Writer | None = None

    def run(self) -> int:
        """Score every newest scorable completion that this scorer has not scored; returns how many lines.

        Raises MachineError where code must be executed and the sandbox cannot be had; what was scored is kept.
        """
        self._ids = {name: scorer_id(scorer) for name, scorer in self.scorers.items()}
        self._count = 0
        # A header alone says which scorers count, even where every completion has its score already.
        if current(self.folder, self.plan) != dict(self.scorers):
            self._writer = self._open()
        try:
            todos = self._read()
            if todos and self.execute:
                self._execute(todos)
        finally:
            if self._writer:
                self._writer.close()
        return self._count

    def _read(self) -> list[Todo]:
        """Score what needs only to be read; returns what has to be executed."""
        done = self._done(self._ids)
        own = {name: scorer for name, scorer in self.scorers.items() if scorer.mode != IMPORTED}
        made = {name: make(scorer.mode, scorer.options) for name, scorer in own.items()}
        files = {name: SampleFile(self.folder.sample_path(name)) for name in self.scorers}
        todos = {
            name: Todo(name, self._ids[name], scorer) for name, scorer in made.items() if isinstance(scorer, CodeScorer)
        }
        lines = journal.Lines(self.folder.attempts)
        try:
            for place, record in lines:
                task = self.plan.cells[record["cell"]].task
                if task not in made or done[record["index"]] or not self._newest(record):
                    continue
                position = self.plan.locate(record["index"])[1]
                if task in todos:
                    todos[task].add(place, position)
                else:
                    self._keep(record, task, verdict(made[task], files[task][position], record["completion"]))
        finally:
            lines.close()
            for file in files.values():
                file.close()
        return [todo for todo in todos.values() if todo]

    def _execute(self, todos: list[Todo]) -> None:
        seeds = {name: task.seed for name, task in self.plan.tasks.items()}
        executor = Executor(self.folder, seeds, self._keep, self.sealed, self.workers, self.progress)
        wait_for(executor.run(todos))

    def _keep(self, record: Mapping[str, Any], task: str, found: Mapping[str, Any]) -> None:
        self._writer = self._writer or self._open()
        line = {key: record[key] for key in ("attempt", "index", "cell", "revision")}
        self._writer.append({**line, "scorer": self._ids[task], **found})
        self._count += 1
        if self._writer.due:
            self._writer.sync()

    def _newest(self, record: Mapping[str, Any]) -> bool:
        newest = record["revision"] == self.state.lines[record["index"]] - 1
        return newest and Outcome(record["outcome"]).scorable

    def _done(self, ids: Mapping[str, str]) -> bytearray:
        done = bytearray(len(self.plan))
        for _, _, record in read(self.folder):
            task = self.plan.cells[record["cell"]].task
            newest = record["revision"] == self.state.lines[record["index"]] - 1
            if newest and record["scorer"] == ids.get(task):
                done[record["index"]] = 1
        return done

    def _open(self) -> journal.Writer:
        sealed = frozenset(Path(path).name for path in self.sealed if path.startswith("scores/"))
        path = journal.next_segment(self.folder.scores, sealed)
        if path.exists() and _header(path) not in ({}, dict(self.scorers)):
            path = path.with_name(f"{int(path.stem) + 1:04d}.jsonl")
        writer = journal.Writer(path)
        if not path.stat().st_size:
            writer.append(header(self.scorers))
        return writer


class ScoreIndex:
    """Where each attempt's current score is: eight bytes an attempt, so that a million can be read in any order."""

    def __init__(self, folder: RunFolder, plan: Plan, state: State) -> None:
        names = {task: scorer_id(scorer) for task, scorer in current(folder, plan).items()}
        self._places = array("Q", bytes(8 * len(plan)))
        self._lines = journal.Lines(folder.scores)
        for place, record in self._lines:
            if "schema" not in record and self._is_current(plan, state, names, record):
                self._places[record["index"]] = place

    @staticmethod
    def _is_current(plan: Plan, state: State, names: Mapping[str, str], record: Mapping[str, Any]) -> bool:
        current_scorer = record["scorer"] == names.get(plan.cells[record["cell"]].task)
        return bool(current_scorer and record["revision"] == state.lines[record["index"]] - 1)

    def get(self, index: int) -> dict[str, Any] | None:
        """The current score of an attempt, None where it has none."""
        place = self._places[index]  # place 0 is the first segment's header, so 0 is free to mean "none"
        return self._lines[place] if place else None

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
