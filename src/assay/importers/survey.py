"""The first reading of a source: everything is checked and counted, and nothing is written.

What it keeps of a sample is its id, a digest and the epochs that were seen: some 150 bytes, however long its texts.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, Problem
from assay.files import canonical
from assay.importers.base import MetricFacts, Row, Source
from assay.records import Value
from assay.run.imported import differs

_SHOWN = 20
_LARGE = 0.01
"""A reported number further than this from its own samples' (relative to 1 or to itself) is refused, a nearer one
noted: rounding and weights explain little, a lost sample much."""

_WORD = 64
MOST_EPOCHS = 100_000


@dataclass
class MetricSeen:
    """What the values of a metric were: how many of each type, and whether all numbers were 0 or 1."""

    bools: int = 0
    numbers: int = 0
    texts: int = 0
    binary: bool = True

    def add(self, value: Value) -> None:
        """See one value."""
        if isinstance(value, str):
            self.texts += 1
        elif isinstance(value, bool):
            self.bools += 1
        else:
            self.numbers += 1
            self.binary = self.binary and value in (0, 1)

    def kind(self, facts: MetricFacts) -> str:
        """`pass`, `measure` or `label`."""
        if self.texts:
            return "label"
        passes = not self.numbers or (facts.passes and self.binary)
        return "pass" if passes and (self.bools or facts.passes) else "measure"


@dataclass
class TaskSeen:
    """The samples of a task in order of appearance, with a digest of what each says."""

    places: dict[str, int] = field(default_factory=dict)
    digests: bytearray = field(default_factory=bytearray)
    metrics: dict[str, MetricSeen] = field(default_factory=dict)

    def place(self, row: Row) -> int | None:
        """The position of a row's sample; None where the same id was seen with another content."""
        content = row.sample.to_json() if row.identity is None else [row.sample.id, row.identity]
        digest = hashlib.sha256(canonical(content)).digest()[:16]
        position = self.places.setdefault(row.sample.id, len(self.places))
        if position == len(self.digests) // 16:
            self.digests += digest
        return position if self.digests[16 * position : 16 * position + 16] == digest else None

    @property
    def dataset(self) -> str:
        """SHA-256 over the samples in the order of their ids: the same data gives the same digest."""
        whole = hashlib.sha256()
        for name in sorted(self.places):
            position = self.places[name]
            whole.update(canonical([name, self.digests[16 * position : 16 * position + 16].hex()]))
        return whole.hexdigest()


@dataclass
class CellSeen:
    """Which epochs of which sample a cell has, and the sums of its metrics."""

    masks: array[int] = field(default_factory=lambda: array("Q"))
    further: set[tuple[int, int]] = field(default_factory=set)
    counts: array[int] = field(default_factory=lambda: array("L"))
    sums: dict[str, list[float]] = field(default_factory=dict)
    unanswered: int = 0
    rows: int = 0

    def add(self, position: int, epoch: int) -> bool:
        """Note one attempt; False where it was there already."""
        while len(self.masks) <= position:
            self.masks.append(0)
            self.counts.append(0)
        if self.has(position, epoch):
            return False
        if epoch < _WORD:
            self.masks[position] |= 1 << epoch
        else:
            self.further.add((position, epoch))
        self.counts[position] += 1
        self.rows += 1
        return True

    def has(self, position: int, epoch: int) -> bool:
        """Whether the attempt is there."""
        if epoch < _WORD:
            return position < len(self.masks) and bool(self.masks[position] >> epoch & 1)
        return (position, epoch) in self.further

    def count(self, metric: str, value: Value) -> None:
        """Add a value to a metric's sum."""
        if not isinstance(value, str):
            total = self.sums.setdefault(metric, [0.0, 0.0])
            total[0] += value
            total[1] += 1

    def mean(self, metric: str) -> tuple[float, int] | None:
        """A metric's mean and count; None where it has no numbers."""
        total, count = self.sums.get(metric, (0.0, 0.0))
        return (total / count, int(count)) if count else None


@dataclass
class Survey:
    """A source that was read to its end and found sound."""

    source: Source
    tasks: dict[str, TaskSeen]
    cells: list[CellSeen]

    def epochs(self, task: str) -> array[int]:
        """How often each sample of a task was tried, the most of any cell."""
        cells = [seen for facts, seen in zip(self.source.cells, self.cells, strict=True) if facts.task == task]
        many = array("L", [0]) * len(self.tasks[task].places)
        for seen in cells:
            for position, count in enumerate(seen.counts):
                many[position] = max(many[position], count)
        return many


def survey(source: Source) -> Survey:
    """Read every row. Raises ConfigError with the first twenty problems and the number of the others."""
    found = Survey(source, {name: TaskSeen() for name in source.tasks}, [CellSeen() for _ in source.cells])
    problems: list[Problem] = []
    more = 0
    for problem in _problems(source, found):
        if len(problems) < _SHOWN:
            problems.append(problem)
        else:
            more += 1
    problems = problems or [*_gaps(found)][:_SHOWN] or [*_claims(found)][:_SHOWN]
    if more:
        problems.append(Problem(f"and {more} more problems", str(source.files[0])))
    if problems:
        raise ConfigError(problems)
    return found


def _problems(source: Source, found: Survey) -> Iterator[Problem]:
    for item in source.rows(None):
        problem = item if isinstance(item, Problem) else _added(source, found, item)
        if problem is not None:
            yield problem


def _added(source: Source, found: Survey, row: Row) -> Problem | None:
    """Count a row, or say what is wrong with it."""
    facts, cell = source.cells[row.cell], found.cells[row.cell]
    task = found.tasks[facts.task]
    position = task.place(row)
    if position is None:
        return _wrong(source, row, f"the sample {row.sample.id!r} is there with two different contents")
    if row.epoch >= MOST_EPOCHS:
        return _wrong(source, row, f"epoch {row.epoch + 1} of a sample", f"at most {MOST_EPOCHS:,}")
    if not cell.add(position, row.epoch):
        which = f", epoch {row.epoch + 1}," if row.epoch else ""
        return _wrong(source, row, f"the sample {row.sample.id!r}{which} is there twice")
    cell.unanswered += not row.outcome.scorable
    for name, value in row.metrics.items():
        if isinstance(value, float) and not math.isfinite(value):
            return _wrong(source, row, f"{name} is no finite number")
        task.metrics.setdefault(name, MetricSeen()).add(value)
        cell.count(name, value)
    return None


def _wrong(source: Source, row: Row, message: str, allowed: str | None = None) -> Problem:
    return Problem(message, *where(source.files, row.place), allowed=allowed)


def where(files: tuple[Path, ...], place: Mapping[str, Any]) -> tuple[str, int | None]:
    """A row's place as a problem names it."""
    path = str(files[place.get("of", 0)])
    return (f"{path}:{place['file']}" if "file" in place else path), place.get("line")


def _gaps(found: Survey) -> Iterator[Problem]:
    """Epochs that are not there although a later one is."""
    for facts, seen in zip(found.source.cells, found.cells, strict=True):
        names = list(found.tasks[facts.task].places)
        for position, count in enumerate(seen.counts):
            if missing := [epoch for epoch in range(count) if not seen.has(position, epoch)]:
                message = (
                    f"{facts.task}: the sample {names[position]!r} lacks epoch {missing[0] + 1}, and has later ones"
                )
                yield Problem(message, str(found.source.files[0]))


def _claims(found: Survey) -> Iterator[Problem]:
    """Numbers that the tool reports and its own samples deny."""
    source = found.source
    for claim in source.claims:
        seen, facts = found.cells[claim.cell], source.cells[claim.cell]
        ours = seen.mean(claim.metric)
        if ours is None or not claim.mean or seen.unanswered or not differs(claim.value, ours[0]):
            continue
        if abs(claim.value - ours[0]) > _LARGE * max(1.0, abs(claim.value)):
            message = (
                f"{facts.task}: {source.tool} reports {claim.metric} {claim.value:.6g}, and the {ours[1]} values "
                f"beside it have a mean of {ours[0]:.6g}: files are missing, cut off or mixed up"
            )
            yield Problem(message, str(source.files[0]))
