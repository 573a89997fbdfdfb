"""What a run that is evaluated until it is decided keeps beside its journal.

until.json        the policy and the baseline that it is held against, written before the first request
looks/*.jsonl     one line a look: how many samples of each task had been asked, and what that came to

The plan says what could be asked; the last look says what was. Blocks are asked one after the other, and of a block
that is whole nothing is asked again: a look would have seen other answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError, JournalCorrupt, MachineError
from assay.files import pretty, read_json, write_atomic
from assay.gates import blocks
from assay.gates.result import Verdict
from assay.plan.plan import Plan
from assay.records import Attempt
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.state import State

SCHEMA = "assay.until.v1"
DECIDED = (Verdict.ACCEPT, Verdict.REGRESSION)


@dataclass(frozen=True, slots=True)
class Record:
    """The policy (digest and content), the baseline as a result names it, and the block between two looks."""

    policy: Mapping[str, Any]
    baseline: Mapping[str, Any]
    block: int

    def write(self, folder: RunFolder) -> None:
        """Keep it. Raises MachineError where it cannot be written."""
        path = _path(folder)
        try:
            write_atomic(path, pretty({"schema": SCHEMA, **asdict(self)}))
        except OSError as error:
            raise MachineError(f"cannot write {path}", layer="run directory", errno=error.errno) from error


@dataclass(frozen=True, slots=True)
class Look:
    """One look: its number from 1 on, how many samples of each task had been asked, the bounds and the verdict."""

    look: int
    samples: Mapping[str, int]
    verdict: str
    tasks: tuple[Mapping[str, Any], ...] = ()


def _path(folder: RunFolder) -> Path:
    return folder.path / "until.json"


def read(folder: RunFolder) -> Record | None:
    """What the run is held against; None for a run of a whole plan. Raises EvidenceError where it is damaged."""
    path = _path(folder)
    if not path.exists():
        return None
    value = read_json(path, SCHEMA)
    try:
        record = Record(**{key: part for key, part in value.items() if key != "schema"})
        if not (isinstance(record.policy["digest"], str) and type(record.block) is int and record.block > 0):
            raise ValueError("a policy has a digest and a block is a number")
        record.baseline.get("manifest")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{path}: not what assay writes ({error!r})") from None
    return record


def looked(folder: RunFolder) -> list[Look]:
    """The looks so far. Raises JournalCorrupt for one that is out of turn, or none."""
    found: list[Look] = []
    for path, line, record in journal.read(_looks(folder)):
        try:
            look = Look(**{**record, "tasks": tuple(record["tasks"])})
            counts = list(look.samples.values())
            bounds = [(task["task"], task["low"], task["high"]) for task in look.tasks]
        except (TypeError, AttributeError, KeyError):
            raise JournalCorrupt(path, line, "not a look") from None
        whole = all(type(count) is int and count >= 0 for count in counts) and len(bounds) == len(look.tasks)
        if look.look != len(found) + 1 or not whole:
            raise JournalCorrupt(path, line, "a look is out of turn")
        found.append(look)
    return found


def _looks(folder: RunFolder) -> Path:
    return folder.path / "looks"


def over(folder: RunFolder, plan: Plan, state: State) -> bool:
    """Whether a run has come to its end: that of its plan, or an earlier one because it was decided."""
    return state.finished == len(plan) or (read(folder) is not None and decided(looked(folder)))


def decided(seen: Sequence[Look]) -> bool:
    """Whether the last look decided."""
    return bool(seen) and seen[-1].verdict in DECIDED


def summary(folder: RunFolder, plan: Plan, state: State) -> dict[str, Any] | None:
    """What results say of it: whether it stopped because it was decided, and after how much; None for a whole plan."""
    record = read(folder)
    if record is None:
        return None
    seen, asked = looked(folder), sizes(plan)
    last = seen[-1] if seen else Look(0, dict.fromkeys(asked, 0), Verdict.INCONCLUSIVE)
    return {
        "policy": record.policy["digest"],
        "baseline": record.baseline.get("manifest"),
        "block": record.block,
        "looks": last.look,
        "planned_looks": blocks.planned(asked, record.block),
        "decided": decided(seen),
        "verdict": last.verdict,
        "samples": {task: {"asked": last.samples.get(task, 0), "planned": size} for task, size in asked.items()},
        "attempts_not_made": len(plan) - state.finished,
        "gain_bounds": list(last.tasks),
    }


def append(folder: RunFolder, look: Look) -> None:
    """Keep a look."""
    writer = journal.Writer(_looks(folder) / "0000.jsonl")
    try:
        writer.append(asdict(look))
    finally:
        writer.close()


def sizes(plan: Plan) -> dict[str, int]:
    """How many samples each task has."""
    return {name: len(task.samples) for name, task in plan.tasks.items()}


def order(plan: Plan, task: str) -> list[int]:
    """The positions of a task's samples in the order in which they are asked."""
    held = plan.tasks[task]
    return blocks.order(held.samples, held.seed, task)


class Blocks:
    """A plan cut into blocks: what each of them asks, and how far a run has come."""

    def __init__(self, plan: Plan, block: int) -> None:
        self.plan = plan
        self.block = block
        self.sizes = sizes(plan)
        self.looks = blocks.planned(self.sizes, block)
        self._orders = {task: order(plan, task) for task in plan.tasks}

    def asked(self, number: int) -> dict[str, int]:
        """How many samples of each task have been asked when block `number` is whole."""
        return blocks.cut(self.sizes, self.block, number)

    def indices(self, number: int, cells: list[int] | None = None) -> Iterator[int]:
        """The attempts of block `number`, from 1 on, cell by cell in the order of the looks."""
        before, now = self.asked(number - 1), self.asked(number)
        for cell in range(len(self.plan.cells)) if cells is None else cells:
            task = self.plan.tasks[self.plan.cells[cell].task]
            for epoch in range(task.epochs):
                for position in self._orders[task.name][before[task.name] : now[task.name]]:
                    yield self.plan.index(cell, position, epoch)

    def whole(self, state: State) -> int:
        """How many blocks have been asked to their end."""
        for number in range(1, self.looks + 1):
            if any(state.outcome(index) is None for index in self.indices(number)):
                return number - 1
        return self.looks

    def pending(self, number: int, cells: list[int], state: State) -> Iterator[Attempt]:
        """The attempts of a block that is not whole which have no answer: not made, or ended in an error."""
        wanted = [index for index in self.indices(number, cells) if state.unanswered(index)]
        return (self.plan.attempt(index) for index in wanted)
