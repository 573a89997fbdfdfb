"""The second reading of a source: its samples, its attempts and its scores become the files of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, Problem
from assay.files import digest_file
from assay.importers.base import Row
from assay.importers.draft import Draft, missing
from assay.plan.plan import Plan
from assay.records import Attempt, Outcome, Sample, Value
from assay.run import journal, scores
from assay.run.folder import RunFolder

NOT_THERE = "NotInTheFile"
"""The type of the error of an attempt that another cell of the task has, and this one has not."""


def changed(path: Path) -> ConfigError:
    """The error that a file is no longer what was checked."""
    return ConfigError(Problem("the file changed while it was read", str(path)))


def samples(draft: Draft) -> Iterator[tuple[str, Iterator[Sample], Iterator[Sample]]]:
    """For each task of the plan its samples in the plan's order, and none that are shown."""
    for key, name in zip(draft.survey.source.tasks, draft.plan.tasks, strict=True):
        yield name, _samples(draft, key), iter(())


def _samples(draft: Draft, task: str) -> Iterator[Sample]:
    """Each sample at its first row: that is the order that the survey gave them."""
    source, places = draft.survey.source, draft.survey.tasks[task].places
    if not places:
        return
    written = 0
    for row in source.rows(task):
        if isinstance(row, Row) and source.cells[row.cell].task == task and places.get(row.sample.id) == written:
            written += 1
            yield row.sample
    if written != len(places):
        raise changed(source.files[0])


def rows(folder: RunFolder, draft: Draft) -> None:
    """Write the journal and the scores anew. Raises ConfigError where a file changed since it was surveyed."""
    plan, source = draft.plan, draft.survey.source
    _start_over(folder)
    attempts, scored = (journal.Writer(part / "0000.jsonl") for part in (folder.attempts, folder.scores))
    now = round(time.time(), 3)
    try:
        scored.append(scores.header(scores.planned(plan)))
        lines = _Lines(draft, now)
        for item in source.rows(None):
            if not isinstance(item, Row):
                raise changed(source.files[0])
            _write(attempts, scored, *lines.of(item))
        for line in lines.missing():
            _write(attempts, scored, line, None)
    finally:
        attempts.close()
        scored.close()
    _check(draft)


def _start_over(folder: RunFolder) -> None:
    """An import that was stopped is made again from its source: what it wrote is worth nothing without the rest."""
    for part in (folder.attempts, folder.scores):
        for path in part.glob("[0-9][0-9][0-9][0-9].*"):
            path.unlink()


def _write(
    attempts: journal.Writer, scored: journal.Writer, line: dict[str, Any], score: dict[str, Any] | None
) -> None:
    attempts.append(line)
    if score is not None:
        scored.append(score)
    for writer in (attempts, scored):
        if writer.due:
            writer.sync()


def _check(draft: Draft) -> None:
    for path, known in zip(draft.survey.source.files, draft.origin.sources, strict=True):
        if digest_file(path) != known["sha256"]:
            raise changed(path)


class _Lines:
    """Makes the journal's line and the score's line of a row."""

    def __init__(self, draft: Draft, now: float) -> None:
        self._draft = draft
        self._plan: Plan = draft.plan
        self._now = now
        self._ids = {name: scores.scorer_id(scorer) for name, scorer in scores.planned(draft.plan).items()}

    def of(self, row: Row) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The two lines; no score where the model did not answer."""
        survey = self._draft.survey
        task = survey.source.cells[row.cell].task
        position = survey.tasks[task].places.get(row.sample.id)
        if position is None:
            raise changed(survey.source.files[0])
        try:
            attempt = self._plan.attempt(self._plan.index(row.cell, position, row.epoch))
        except IndexError:
            raise changed(survey.source.files[0]) from None
        line = self._line(attempt, row.outcome)
        if row.completion is not None:
            line["completion"] = row.completion.to_json()
        if row.error is not None:
            line["error"] = {"type": row.error[0], "message": row.error[1]}
        line["given"] = {**row.place, "labels": dict(row.labels), **row.more}
        return line, self._score(attempt, task, row) if row.outcome.scorable else None

    def missing(self) -> Iterator[dict[str, Any]]:
        """Attempts that another cell of the task has and this one has not: skipped, never wrong."""
        survey = self._draft.survey
        for number, (facts, seen) in enumerate(zip(survey.source.cells, survey.cells, strict=True)):
            for position, epoch in missing(survey, seen, survey.epochs(facts.task)):
                line = self._line(self._plan.attempt(self._plan.index(number, position, epoch)), Outcome.SKIPPED)
                line["error"] = {"type": NOT_THERE, "message": "the file has no result of it for this model and prompt"}
                yield line

    def _line(self, attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
        return {
            "attempt": attempt.id,
            "index": attempt.index,
            "cell": attempt.cell,
            "sample": attempt.sample,
            "epoch": attempt.epoch,
            "revision": 0,
            "session": 0,
            "outcome": outcome.value,
            "tries": 0,
            "finished": self._now,
        }

    def _score(self, attempt: Attempt, task: str, row: Row) -> dict[str, Any]:
        name = self._plan.cells[attempt.cell].task
        line: dict[str, Any] = {"attempt": attempt.id, "index": attempt.index, "cell": attempt.cell, "revision": 0}
        line["scorer"] = self._ids[name]
        if not row.metrics:
            return {**line, "error": row.unscored or "the file has no score of it"}
        kinds, names = self._draft.kinds[task], self._draft.names[task]
        values = {names[key]: _value(kinds[key], row.metrics[key]) for key in kinds if key in row.metrics}
        line |= {"metrics": values, "why": row.why}
        return line | ({"extracted": row.extracted} if row.extracted is not None else {})


def _value(kind: str, value: Value) -> Value:
    if kind == "pass":
        return bool(value)
    return float(value) if kind == "measure" else str(value)
