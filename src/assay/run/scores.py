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

import orjson

from assay.errors import JournalCorrupt, ScorerError
from assay.files import digest_of
from assay.plan.plan import Plan, ScorerPlan
from assay.records import Completion, Outcome, Sample
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.state import State
from assay.scoring.base import Scorer
from assay.scoring.registry import make

SCHEMA = "assay.scores.v1"
Scorers = Mapping[str, ScorerPlan]
_OFFSET_BITS = 48


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


def _header(path: Path) -> dict[str, ScorerPlan]:
    with path.open("rb") as file:
        line = file.readline()
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
    """Scores what is not scored yet. `scorers` by task; `state` says which line of an attempt is its newest."""

    folder: RunFolder
    plan: Plan
    state: State
    scorers: Scorers
    sealed: frozenset[str] = frozenset()

    def run(self) -> int:
        """Score every newest scorable completion that this scorer has not scored; returns how many lines."""
        ids = {name: scorer_id(scorer) for name, scorer in self.scorers.items()}
        done = self._done(ids)
        made = {name: make(scorer.mode, scorer.options) for name, scorer in self.scorers.items()}
        files = {name: SampleFile(self.folder.sample_path(name)) for name in self.scorers}
        # A header alone says which scorers count, even where every completion has its score already.
        writer = self._open() if current(self.folder, self.plan) != dict(self.scorers) else None
        count = 0
        try:
            for _, _, record in journal.read(self.folder.attempts):
                task = self.plan.cells[record["cell"]].task
                if task not in made or done[record["index"]] or not self._newest(record):
                    continue
                writer = writer or self._open()
                sample = files[task][self.plan.locate(record["index"])[1]]
                writer.append(_line(record, ids[task], made[task], sample))
                count += 1
                if writer.due:
                    writer.sync()
        finally:
            if writer:
                writer.close()
            for file in files.values():
                file.close()
        return count

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
            scorers = {name: asdict(scorer) for name, scorer in self.scorers.items()}
            writer.append({"schema": SCHEMA, "scorers": scorers})
        return writer


class ScoreIndex:
    """Where each attempt's current score is: eight bytes an attempt, so that a million can be read in any order."""

    def __init__(self, folder: RunFolder, plan: Plan, state: State) -> None:
        names = {task: scorer_id(scorer) for task, scorer in current(folder, plan).items()}
        self._places = array("Q", bytes(8 * len(plan)))
        self._files = [path.open("rb") for path in journal.segments(folder.scores)]
        for number, file in enumerate(self._files):
            offset = 0
            for line in file:
                if offset and line.endswith(b"\n"):
                    self._add(plan, state, names, orjson.loads(line), number << _OFFSET_BITS | offset)
                offset += len(line)

    def _add(self, plan: Plan, state: State, names: Mapping[str, str], record: Mapping[str, Any], place: int) -> None:
        current_scorer = record["scorer"] == names.get(plan.cells[record["cell"]].task)
        if current_scorer and record["revision"] == state.lines[record["index"]] - 1:
            self._places[record["index"]] = place

    def get(self, index: int) -> dict[str, Any] | None:
        """The current score of an attempt, None where it has none."""
        place = self._places[index]
        if not place:  # offset 0 of any segment is its header, so 0 is free to mean "none"
            return None
        file = self._files[place >> _OFFSET_BITS]
        file.seek(place & ((1 << _OFFSET_BITS) - 1))
        record: dict[str, Any] = orjson.loads(file.readline())
        return record

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def _line(record: Mapping[str, Any], name: str, scorer: Scorer, sample: Sample) -> dict[str, Any]:
    line = {key: record[key] for key in ("attempt", "index", "cell", "revision")}
    line["scorer"] = name
    return {**line, **verdict(scorer, sample, Completion.from_json(record["completion"]))}


def verdict(scorer: Scorer, sample: Sample, completion: Completion) -> dict[str, Any]:
    """The part of a score line that the scorer decides: metrics, what was extracted and why; or its error."""
    try:
        score = scorer.score(sample, completion)
    except ScorerError as error:
        return {"error": error.message}
    line: dict[str, Any] = {"metrics": dict(score.metrics), "why": score.why}
    if score.extracted is not None:
        line["extracted"] = score.extracted
    return line
