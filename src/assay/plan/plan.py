"""The plan: what will run, fixed before anything runs. Its digest is its identity.

Attempts are enumerated from the plan, never listed in it: cell by cell, epoch by epoch, sample by sample; where
samples differ in how often they are tried, cell by cell, sample by sample, epoch by epoch.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from assay.errors import EvidenceError
from assay.files import digest_of, read_json
from assay.records import Attempt, Sampling

SCHEMA = "assay.plan.v1"
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
Mode = Literal["chat", "completion", "choices"]
"""How a model is asked."""

Given = Literal["given"]
"""Nobody is asked: the completions were read from a file of samples."""

IMPORTED = "imported"
"""The scorer of a task whose scores another tool gave: they cannot be derived again from the completions."""

Kind = Literal["choice", "generate", "code"]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model of the plan: what it is (`identity`), what it declared it can do, and what it costs."""

    name: str
    model: str
    identity: Mapping[str, Any]
    capabilities: Mapping[str, Any]
    size: Mapping[str, Any] | None = None
    system: str | None = None
    prices: Mapping[str, Any] | None = None
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class ScorerPlan:
    """How a task's completions are scored; None where the task only generates (code without a sandbox)."""

    mode: str
    options: Mapping[str, Any]
    revision: str
    metrics: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task of the plan: its data (`dataset` is a digest), and the ids of what is shown and what is asked.

    Each sample is tried `epochs` times; or, with `counts`, as often as its entry there says, and `epochs` is the
    largest of them. Raises ValueError where the two do not fit the samples.
    """

    name: str
    task: str
    version: str
    kind: Kind
    dataset: str
    origin: Mapping[str, Any]
    seed: int
    epochs: int
    few_shot: int
    scorer: ScorerPlan | None
    code_exec_policy: str
    samples: tuple[str, ...]
    demos: tuple[str, ...] = ()
    excluded: tuple[Mapping[str, str], ...] = ()
    cluster: str | None = None
    chance: float | None = None
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.counts and (
            len(self.counts) != len(self.samples)
            or any(type(count) is not int or count < 1 for count in self.counts)
            or max(self.counts) != self.epochs
        ):
            raise ValueError(f"the counts of {self.name} are not one number from 1 to epochs for each sample")

    @property
    def attempts(self) -> int:
        """How many attempts one cell makes at this task."""
        return sum(self.counts) if self.counts else len(self.samples) * self.epochs


@dataclass(frozen=True, slots=True)
class Cell:
    """One (model, prompt, task), how its requests are made (`mode`), and how the model decodes.

    `id` is a digest of all that shapes its completions and of nothing else, so that raising a limit or changing a
    scorer keeps the ids and seeds of the attempts already made. `sampling` is None where nobody here knows how the
    model decoded: its completions were given.
    """

    id: str
    model: str
    prompt: str
    task: str
    mode: Mode | Given
    sampling: Sampling | None


@dataclass(frozen=True)
class Plan:
    """Everything that will run. Equal specs over equal data give equal plans, byte for byte."""

    name: str
    seed: int
    spec: Mapping[str, Any]
    models: Mapping[str, ModelPlan]
    prompts: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, TaskPlan]
    cells: tuple[Cell, ...]
    schema: str = field(default=SCHEMA)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the plan without its digest: its identity."""
        return digest_of(self._content())

    def _content(self) -> dict[str, Any]:
        content = {name: getattr(self, name) for name in ("name", "seed", "spec", "prompts", "schema")}
        content["models"] = {name: asdict(model) for name, model in self.models.items()}
        content["tasks"] = {name: _task_json(task) for name, task in self.tasks.items()}
        content["cells"] = [_cell_json(cell) for cell in self.cells]
        return content

    def to_json(self) -> dict[str, Any]:
        """The content of `plan.json`."""
        return {**self._content(), "digest": self.digest}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The reverse of `to_json`. Raises EvidenceError on unknown keys or a digest that is not the content's."""
        content = dict(value)
        claimed = content.pop("digest", None)
        try:
            content["models"] = {name: ModelPlan(**model) for name, model in content["models"].items()}
            content["tasks"] = {name: _task(task) for name, task in content["tasks"].items()}
            content["cells"] = tuple(_cell(cell) for cell in content["cells"])
            plan = cls(**content)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise EvidenceError(f"not a plan that this version reads: {error}") from None
        plan._check_names()
        if plan.digest != claimed:
            raise EvidenceError(f"the plan's digest is {plan.digest}, but it claims {claimed}")
        return plan

    def _check_names(self) -> None:
        """A plan from elsewhere names files by its tasks: refuse names that could lead out of the run."""
        if bad := [name for name, task in self.tasks.items() if name != task.name or not _SAFE.fullmatch(name)]:
            raise EvidenceError(f"not a name for a task: {bad[0]!r}")
        for cell in self.cells:
            if not (cell.model in self.models and cell.prompt in self.prompts and cell.task in self.tasks):
                raise EvidenceError(f"the cell {cell.id} names a model, prompt or task that is not in the plan")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan in a file. Raises EvidenceError that names the file."""
        try:
            return cls.from_json(read_json(path, SCHEMA))
        except EvidenceError as error:
            if str(path) in error.message:
                raise
            raise EvidenceError(f"{path}: {error.message}") from None

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The index of each cell's first attempt, and after the last one the number of all attempts."""
        starts = [0]
        for cell in self.cells:
            starts.append(starts[-1] + self.tasks[cell.task].attempts)
        return tuple(starts)

    def __len__(self) -> int:
        """How many attempts there are."""
        return self.starts[-1]

    def locate(self, index: int) -> tuple[int, int, int]:
        """The cell number, sample position and epoch of the attempt at an index, 0 ≤ index < len(plan)."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self.starts, index) - 1
        task = self.tasks[self.cells[number].task]
        if task.counts:
            firsts = self._firsts[task.name]
            position = bisect_right(firsts, index - self.starts[number]) - 1
            return number, position, index - self.starts[number] - firsts[position]
        epoch, position = divmod(index - self.starts[number], len(task.samples))
        return number, position, epoch

    def index(self, cell: int, position: int, epoch: int) -> int:
        """The reverse of `locate`. Raises IndexError where the plan has no such attempt."""
        task = self.tasks[self.cells[cell].task]
        tries = task.counts[position] if task.counts else task.epochs
        if not (0 <= position < len(task.samples) and 0 <= epoch < tries):
            raise IndexError((cell, position, epoch))
        if task.counts:
            return self.starts[cell] + self._firsts[task.name][position] + epoch
        return self.starts[cell] + epoch * len(task.samples) + position

    @cached_property
    def _firsts(self) -> dict[str, array[int]]:
        """For each task with counts, where each sample's attempts start within a cell."""
        return {
            name: array("Q", [0, *accumulate(task.counts[:-1])]) for name, task in self.tasks.items() if task.counts
        }

    def attempt(self, index: int) -> Attempt:
        """The attempt at an index, 0 ≤ index < len(plan)."""
        number, position, epoch = self.locate(index)
        cell = self.cells[number]
        sample = self.tasks[cell.task].samples[position]
        return Attempt(
            id=attempt_id(cell.id, sample, epoch),
            index=index,
            cell=number,
            sample=sample,
            position=position,
            epoch=epoch,
            seed=attempt_seed(self._seed_of(cell), cell.id, sample, epoch),
        )

    def attempts(self, cell: int) -> Iterator[Attempt]:
        """The attempts of one cell, in order."""
        return (self.attempt(index) for index in range(self.starts[cell], self.starts[cell + 1]))

    def cells_of(self, model: str) -> list[int]:
        """The numbers of a model's cells, in order."""
        return [number for number, cell in enumerate(self.cells) if cell.model == model]

    def _seed_of(self, cell: Cell) -> int:
        sampling = self.spec.get("sampling", {}).get("seed")
        return self.tasks[cell.task].seed if sampling is None else int(sampling)

    @property
    def synthetic(self) -> bool:
        """Whether any part of the evidence comes from a stand-in model; gates refuse such runs."""
        return any(model.synthetic for model in self.models.values())


def attempt_id(cell: str, sample: str, epoch: int) -> str:
    """16 hex digits of SHA-256 over (cell, sample, epoch)."""
    return hashlib.sha256(f"{cell}\0{sample}\0{epoch}".encode()).hexdigest()[:16]


def attempt_seed(root: int, cell: str, sample: str, epoch: int) -> int:
    """The effective seed of an attempt, 0 ≤ seed < 2³¹ (what every backend accepts).

    It derives from the root seed and the attempt alone: order, concurrency, resumption and machine do not matter.
    """
    text = f"{root}\0{cell}\0{sample}\0{epoch}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def _task_json(task: TaskPlan) -> dict[str, Any]:
    # Not asdict: it would deep-copy 100,000 sample ids one by one.
    value = {name: getattr(task, name) for name in TaskPlan.__slots__}
    value["scorer"] = asdict(task.scorer) if task.scorer else None
    if not task.counts:
        del value["counts"]  # most plans have none, and keep the digests they had before there were counts
    return value


def _task(value: Mapping[str, Any]) -> TaskPlan:
    known = dict(value)
    if known.get("scorer"):
        scorer = dict(known["scorer"])
        known["scorer"] = ScorerPlan(**{**scorer, "metrics": tuple(scorer["metrics"])})
    for name in ("samples", "demos", "excluded", "counts"):
        known[name] = tuple(known.get(name, ()))
    return TaskPlan(**known)


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {**asdict(cell), "sampling": cell.sampling.to_json() if cell.sampling else None}


def _cell(value: Mapping[str, Any]) -> Cell:
    known = dict(value)
    if known["sampling"] is not None:
        sampling = dict(known["sampling"])
        known["sampling"] = Sampling(**{**sampling, "stop": tuple(sampling["stop"])})
    return Cell(**known)
