"""Samples that were given become lines of the journal, one each, as they stand in their file.

Such a line has no latency, no tokens and no seed: nobody here knows them, and missing is never zero. What the file
says of the sample stands in `given`, apart from what is measured here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.data.samples import Given, Samples
from assay.plan.plan import Plan
from assay.records import Attempt, Completion, Outcome
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.state import State


def copy(folder: RunFolder, plan: Plan, state: State, samples: Samples) -> int:
    """Append every sample that the journal does not have yet; returns how many. `plan` has one cell.

    Raises ConfigError where the file changed since it was planned, MachineError where the journal cannot be written.
    """
    if state.finished == len(plan):
        return 0
    sealed = frozenset(Path(name).name for name in folder.sealed() if name.startswith("attempts/"))
    writer = journal.Writer(journal.next_segment(folder.attempts, sealed))
    count, now = 0, round(time.time(), 3)
    try:
        for given, attempt in _attempts(plan, samples):
            if state.outcome(attempt.index) is not None:
                continue
            writer.append(_line(given, attempt, state.sessions, now))
            count += 1
            if writer.due:
                writer.sync()
    finally:
        writer.close()
    return count


def _attempts(plan: Plan, samples: Samples) -> Iterator[tuple[Given, Attempt]]:
    """Each sample with its attempt: the first of a problem is epoch 0, and so on."""
    positions = {name: position for position, name in enumerate(plan.tasks[plan.cells[0].task].samples)}
    seen = [0] * len(positions)
    for given in samples:
        position = positions[given.sample]
        yield given, plan.attempt(plan.index(0, position, seen[position]))
        seen[position] += 1


def _line(given: Given, attempt: Attempt, session: int, now: float) -> dict[str, Any]:
    outcome = Outcome.OK if given.text.strip() else Outcome.EMPTY
    return {
        "attempt": attempt.id,
        "index": attempt.index,
        "cell": attempt.cell,
        "sample": attempt.sample,
        "epoch": attempt.epoch,
        "revision": 0,
        "session": session,
        "outcome": outcome.value,
        "tries": 0,
        "finished": now,
        "completion": Completion(given.text, form=given.form).to_json(),
        "given": {**given.place, "labels": dict(given.labels)},
    }
