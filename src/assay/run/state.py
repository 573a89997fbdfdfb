"""What a journal says so far: which attempts are finished, how often, and how they ended. A few bytes an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import JournalCorrupt
from assay.plan.plan import Plan, attempt_id
from assay.records import Attempt, Outcome
from assay.run import journal
from assay.run.budget import Spent
from assay.run.folder import RunFolder

_CODES = {outcome.value: code for code, outcome in enumerate(Outcome, 1)}
_OUTCOMES = dict(enumerate(Outcome, 1))
_RETRIED = frozenset({_CODES[Outcome.INFRA_ERROR.value], _CODES[Outcome.TIMEOUT.value]})
_MAX_REVISIONS = 255


@dataclass
class State:
    """Per attempt: `lines` counts its journal lines, `codes` is how the newest of them ended."""

    plan: Plan
    lines: bytearray
    codes: bytearray
    sessions: int = 0
    spent: Spent = field(default_factory=Spent)
    _clock: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def read(cls, folder: RunFolder, plan: Plan) -> State:
        """Fold the journal. Raises JournalCorrupt for a line that is broken, repeated or not of this plan."""
        state = cls(plan, bytearray(len(plan)), bytearray(len(plan)))
        for path, line, record in journal.read(folder.attempts):
            state._add_checked(path, line, record)
        state._end_session()
        return state

    def _add_checked(self, path: Path, line: int, record: dict[str, Any]) -> None:
        try:
            index = record["index"]
            number, position, epoch = self.plan.locate(index)
            cell = self.plan.cells[number]
            sample = self.plan.tasks[cell.task].samples[position]
            code = _CODES[record["outcome"]]
            revision, session, finished = record["revision"], record["session"], record["finished"]
            named = (record["attempt"], record["cell"], record["sample"], record["epoch"])
        except (KeyError, TypeError, IndexError) as error:
            raise JournalCorrupt(path, line, f"not an attempt of this plan: {error!r}") from None
        if named != (attempt_id(cell.id, sample, epoch), number, sample, epoch):
            raise JournalCorrupt(path, line, "this attempt does not belong to the plan")
        if revision != self.lines[index]:
            problem = "repeats" if revision < self.lines[index] else "skips"
            raise JournalCorrupt(path, line, f"attempt {named[0]} {problem} revision {revision}")
        self._count(index, code)
        self._spend(record, session, finished)

    def _count(self, index: int, code: int) -> None:
        self.lines[index] = min(_MAX_REVISIONS, self.lines[index] + 1)
        self.codes[index] = code

    def _spend(self, record: dict[str, Any], session: int, finished: float) -> None:
        self.spent.requests += record["tries"]
        self.spent.money += record.get("cost") or 0.0
        completion = record.get("completion")
        if completion and not record.get("cached"):
            self.spent.tokens += (completion.get("tokens_in") or 0) + (completion.get("tokens_out") or 0)
        if session >= self.sessions:
            self._end_session()
            self.sessions = session + 1
            self._clock = (finished, finished)
        self._clock = (self._clock[0], max(self._clock[1], finished))

    def _end_session(self) -> None:
        self.spent.seconds += self._clock[1] - self._clock[0]
        self._clock = (0.0, 0.0)

    def add(self, index: int, outcome: str) -> None:
        """Count a line that this process has just written."""
        self._count(index, _CODES[outcome])

    def revision(self, attempt: Attempt) -> int:
        """The revision that the attempt's next line bears: how many it has."""
        return self.lines[attempt.index]

    def outcome(self, index: int) -> Outcome | None:
        """How the attempt ended, None while it has not."""
        return _OUTCOMES.get(self.codes[index])

    def unanswered(self, index: int) -> bool:
        """Whether the attempt has not ended, or in an infrastructure error or a timeout."""
        return not self.codes[index] or self.codes[index] in _RETRIED

    @property
    def finished(self) -> int:
        """How many attempts have ended."""
        return len(self.codes) - self.codes.count(0)

    def outcomes(self) -> dict[str, int]:
        """How many attempts ended in which way."""
        counts = {outcome.value: self.codes.count(code) for code, outcome in _OUTCOMES.items()}
        return {name: count for name, count in counts.items() if count}

    def by_cell(self) -> list[int]:
        """How many attempts of each cell have ended."""
        bounds = zip(self.plan.starts, self.plan.starts[1:], strict=False)
        return [end - start - self.codes.count(0, start, end) for start, end in bounds]

    def errors(self) -> int:
        """How many attempts ended in an infrastructure error or a timeout."""
        return sum(self.codes.count(code) for code in _RETRIED)

    def pending(self, cells: Iterator[int] | list[int], *, retry_errors: bool) -> Iterator[Attempt]:
        """The attempts of these cells still to be made; with `retry_errors` also those that ended in an error.

        Decided when called for each attempt in turn, from the state as it was before any of them ran.
        """
        again = _RETRIED if retry_errors else frozenset()
        codes = bytes(self.codes)
        for cell in cells:
            for index in range(self.plan.starts[cell], self.plan.starts[cell + 1]):
                if not codes[index] or codes[index] in again:
                    yield self.plan.attempt(index)
