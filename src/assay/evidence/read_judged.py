"""What judges said of a run, as gates see it: a column of values for each judged metric, and who judged each cell."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import ConfigError, EvidenceError
from assay.gates.evidence import Metric
from assay.gates.judges import Judged, Seen
from assay.judging import judgements, values
from assay.judging.library import carried, folder_of
from assay.judging.ratings import judge_of
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State


@dataclass(frozen=True, slots=True)
class Judging:
    """What was judged by one rubric: its metrics, of each a value an attempt of the plan (NaN where there is none), and
    for each judged cell who judged it.
    """

    metrics: tuple[Metric, ...]
    values: Mapping[str, Any]
    cells: Mapping[int, Judged]


def judgings(folder: RunFolder, plan: Plan, listed: Sequence[Path]) -> tuple[Judging, ...]:
    """By each rubric that the run carries, from the files `listed` in its seal. Raises EvidenceError."""
    if not any(path.parent == folder_of(folder) for path in listed):
        return ()
    try:
        with _as_sealed(folder, listed) as view:
            state = State.read(view, plan)
            return tuple(_judging(view, plan, state, rubric) for rubric in carried(view))
    except ConfigError as error:
        raise EvidenceError(f"{folder.path}: not what assay writes ({error.message})") from None


@contextmanager
def _as_sealed(folder: RunFolder, listed: Sequence[Path]) -> Iterator[RunFolder]:
    """The run as a seal had it: itself, or where judging went on since, a folder of links to what the seal lists."""
    there = {path for part in (judgements.place(folder), folder.path / "judging") for path in part.rglob("*.*")}
    if {path for path in there if path.is_file()} <= set(listed):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="assay-") as name:
        for path in listed:
            if path.is_file():  # derived files of an earlier seal have moved, and no judgement rests on them
                link = Path(name) / path.relative_to(folder.path)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        yield RunFolder(Path(name))


def _judging(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> Judging:
    found = values.judged(folder, plan, state, rubric)
    metrics = tuple(
        Metric(one.name, "pass" if one.kind == "pass" else "measure", one.higher_is_better, one.low, one.high)
        for one in values.metrics(rubric)
    )
    columns = {metric.name: np.full(len(plan), np.nan) for metric in metrics}
    for value in found.values:
        for name, number in value.values.items():
            columns[name][value.index] = number
    seen: dict[int, set[Seen]] = {number: set() for number in found.counts}
    marked: dict[int, set[str]] = {number: set() for number in found.counts}
    for index, lines in found.standing.by_attempt.items():
        number = plan.locate(index)[0]
        for line in lines.values() if number in seen else ():
            judge = judge_of(line)
            seen[number].add(Seen(judge.name, judge.kind, judge.identity))
            if why := line.header["checks"]["marked"]:
                marked[number].add(f"{line.header['batch']} by {judge.name} ({len(why)} checks failed)")
    cells = {
        number: Judged(
            rubric.label,
            rubric.digest,
            count.candidates,
            count.pending,
            tuple(sorted(seen[number], key=lambda one: (one.kind, one.name, one.identity or ""))),
            tuple(sorted(marked[number])),
        )
        for number, count in found.counts.items()
    }
    return Judging(metrics, columns, cells)
