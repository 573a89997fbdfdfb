"""What there is to judge in a run: the newest answer of each attempt that a model gave one to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.plan.plan import Plan
from assay.records import Outcome
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.state import State


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer to judge: which attempt gave it, in which revision, what was asked; the reference if there is one."""

    index: int
    attempt: str
    cell: int
    revision: int
    input: str
    text: str
    reference: str = ""


def content_digest(input: str, text: str, reference: str = "") -> str:
    """What is judged, as a digest: `d` and 16 hex digits, which no spreadsheet takes for a number.

    Line ends count as one character however they are written: spreadsheets change them.
    """
    parts = [part.replace("\r\n", "\n").replace("\r", "\n") for part in (input, text, reference)]
    return f"d{digest_of(parts)[:16]}"


def judgeable(plan: Plan, tasks: Collection[str] = ()) -> list[str]:
    """The tasks whose answers are text, of these or of all. Raises ConfigError for a task that is none of them."""
    found = [name for name in plan.tasks if any(cell.task == name and cell.mode != "choices" for cell in plan.cells)]
    if unknown := [name for name in tasks if name not in found]:
        message = f"{plan.name} has no task {unknown[0]!r} whose answers are text"
        raise ConfigError(Problem(message, "--task", allowed=", ".join(found) or "none: there is nothing to judge"))
    return [name for name in found if not tasks or name in tasks]


def candidates(folder: RunFolder, plan: Plan, state: State, tasks: Collection[str]) -> Iterator[Candidate]:
    """Every answer of these tasks, in the order of the journal. Infrastructure errors and skipped ones are none."""
    files = {task: SampleFile(folder.sample_path(task)) for task in tasks}
    try:
        for _, _, record in journal.read(folder.attempts):
            if not is_candidate(record, plan, state, tasks):
                continue
            sample = files[plan.cells[record["cell"]].task][plan.locate(record["index"])[1]]
            yield Candidate(
                index=record["index"],
                attempt=record["attempt"],
                cell=record["cell"],
                revision=record["revision"],
                input=sample.input,
                text=record["completion"]["text"],
                reference=sample.target,
            )
    finally:
        for file in files.values():
            file.close()


def is_candidate(record: dict[str, object], plan: Plan, state: State, tasks: Collection[str]) -> bool:
    """Whether a line of the journal is an attempt's newest, of one of these tasks, and holds a text to judge."""
    cell, index, completion = record["cell"], record["index"], record.get("completion")
    if not isinstance(cell, int) or not isinstance(index, int) or not isinstance(completion, dict):
        return False
    newest = record["revision"] == state.lines[index] - 1
    return bool(
        newest
        and plan.cells[cell].task in tasks
        and Outcome(str(record["outcome"])).scorable
        and "choices" not in completion
    )
