"""A run's scores as sums by cell and sample: all that ranking needs, a few bytes a sample however often it was asked.

Read by DuckDB from the segments as Parquet or JSON lines; completions are passed over. What has no score is not there:
a count of 0 is a missing sample, never a wrong one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import EvidenceError, JournalCorrupt
from assay.plan.plan import Plan, ScorerPlan
from assay.run import imported
from assay.run.frame import connect, json_lines
from assay.run.scores import scorer_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

_SCORE = {"index": "BIGINT", "revision": "BIGINT", "cell": "BIGINT", "scorer": "VARCHAR", "error": "VARCHAR"}
_KINDS = {"pass": "BOOLEAN", "measure": "DOUBLE"}


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSums:
    """What the judgements by one rubric come to in a run: sums and counts of each of its metrics, as those of RunSums.

    `metrics` says name, kind and direction as a scorer does, `measured` names the scorers' metrics that it reads;
    `tasks` are those that are judged. By cell: the candidates that nobody judged (`pending`), those that were judged
    and lack a measure of the composite (`unmeasured`), and how many judgements each judge gave (`judged`). `judges`
    gives each one's kind, `marked` the batches whose checks failed, `flags` how many judgements bear each flag.
    """

    label: str
    digest: str
    metrics: tuple[Mapping[str, Any], ...]
    measured: tuple[str, ...]
    tasks: tuple[str, ...]
    totals: Mapping[str, tuple[Floats, Floats]]
    pending: Mapping[int, int]
    unmeasured: Mapping[int, int]
    judged: Mapping[int, Mapping[str, int]]
    judges: Mapping[str, str]
    marked: tuple[Mapping[str, Any], ...] = ()
    flags: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RunSums:
    """One sealed run: its plan, results and current scorers, and each metric's sums and counts by cell and sample.

    `totals[metric]` is a pair of rows, one entry a sample of each cell, cell after cell; `starts` says where each
    cell's begin. `clusters[task]` names the cluster of each of a task's samples where its plan has a cluster key.
    `judged` holds what each rubric that the run carries comes to.
    """

    name: str
    path: Path
    plan: Plan
    results: Mapping[str, Any]
    scorers: Mapping[str, ScorerPlan]
    totals: Mapping[str, tuple[Floats, Floats]]
    starts: tuple[int, ...]
    manifest: str | None = None
    clusters: Mapping[str, tuple[str, ...]] | None = None
    judged: tuple[JudgedSums, ...] = ()

    def of(self, cell: int, metric: str) -> tuple[Floats, Floats]:
        """The sums and counts of one metric of one cell, by the position of the sample in the plan; zeros where the
        run has nothing of that name.
        """
        import numpy as np

        part = slice(self.starts[cell], self.starts[cell + 1])
        for totals in (self.totals, *(judged.totals for judged in self.judged)):
            if metric in totals:
                sums, counts = totals[metric]
                return sums[part], counts[part]
        return np.zeros(part.stop - part.start), np.zeros(part.stop - part.start)

    def judged_by(self, digest: str) -> JudgedSums | None:
        """What the rubric of that digest comes to here; None where the run does not carry it."""
        return next((judged for judged in self.judged if judged.digest == digest), None)

    def row(self, cell: int) -> Mapping[str, Any]:
        """The cell's line of the results."""
        found: Mapping[str, Any] = self.results["cells"][cell]
        return found


def starts_of(plan: Plan) -> tuple[int, ...]:
    """Where each cell's samples begin in a row of all cells' samples, and where the last one's end."""
    found = [0]
    for cell in plan.cells:
        found.append(found[-1] + len(plan.tasks[cell.task].samples))
    return tuple(found)


def totals(
    plan: Plan,
    results: Mapping[str, Any],
    scorers: Mapping[str, ScorerPlan],
    attempts: Callable[[], Sequence[Path]],
    scores: Sequence[Path],
) -> dict[str, tuple[Floats, Floats]]:
    """Sums and counts of every metric but labels, as RunSums holds them.

    `scores` are the segments to read; `attempts` is asked for those of the attempts only where a score may be of an
    answer that was replaced. Raises EvidenceError where the scores are not those that the results were folded from.
    """
    metrics = {
        str(metric["name"]): str(metric["kind"])
        for scorer in scorers.values()
        for metric in scorer.metrics
        if metric["kind"] in _KINDS
    }
    rows = _rows(plan, scorers, metrics, scores)
    rows = _current(plan, results, rows, attempts)
    place, size = _places(plan, rows["index"]), starts_of(plan)[-1]
    return {name: _summed(place, rows[f"v{number}"], size) for number, name in enumerate(metrics)}


def _rows(
    plan: Plan, scorers: Mapping[str, ScorerPlan], metrics: Mapping[str, str], scores: Sequence[Path]
) -> dict[str, Any]:
    """One entry a score by the scorer that counts: its attempt, revision and metrics (NaN where it has none)."""
    import numpy as np

    names = {task: scorer_id(scorer) for task, scorer in scorers.items()}
    if not scores or not metrics:
        nothing: dict[str, Any] = {key: np.zeros(0, dtype=np.int64) for key in ("index", "revision")}
        return {**nothing, **{f"v{number}": np.zeros(0) for number in range(len(metrics))}}
    if odd := [name for name in metrics if "'" in name]:
        raise EvidenceError(f"{plan.name}: a metric is called {odd[0]!r}, which assay does not write")
    inner = ", ".join(f'"{_inside(name)}" {_KINDS[kind]}' for name, kind in metrics.items())
    values = ", ".join(f'CAST(metrics."{_inside(name)}" AS DOUBLE) AS v{number}' for number, name in enumerate(metrics))
    listed = ", ".join("'" + names.get(cell.task, "").replace("'", "''") + "'" for cell in plan.cells)
    lines = json_lines(list(scores), {**_SCORE, "metrics": f"STRUCT({inner})"})
    found = query(
        scores,
        f'SELECT "index", revision, {values} FROM {lines} '  # noqa: S608 - names are quoted
        f"WHERE scorer = list_extract([{listed}], cell + 1) AND error IS NULL",
    )
    if len(found["index"]) and not 0 <= found["index"].min() <= found["index"].max() < len(plan):
        raise JournalCorrupt(scores[0].parent, 0, "a score is of an attempt that is not in the plan")
    return found


def _inside(name: str) -> str:
    return name.replace('"', '""')


def query(paths: Sequence[Path], text: str) -> dict[str, Any]:
    """The columns of a query over these segments; what is absent among numbers is NaN, among texts None.

    Raises EvidenceError where they are not what assay writes.
    """
    import duckdb

    try:
        found = connect(threads=str(os.cpu_count() or 1)).sql(text).fetchnumpy()
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise EvidenceError(f"{paths[0].parent}: not what assay writes ({reason})") from None
    return {name: _plain(column) for name, column in found.items()}


def _plain(column: Any) -> Any:
    import numpy as np

    if not isinstance(column, np.ma.MaskedArray):
        return column
    if column.dtype == object:
        found = np.array(column.data, dtype=object)
        found[column.mask] = None
        return found
    if not column.mask.any():
        return column.data
    return np.where(column.mask, np.nan, column.data.astype(np.float64))


def _current(
    plan: Plan, results: Mapping[str, Any], rows: dict[str, Any], attempts: Callable[[], Sequence[Path]]
) -> dict[str, Any]:
    """The scores of the newest answers. Their numbers by cell must be those of the results."""
    import numpy as np

    expected = np.array(
        [0 if imported.totals_only(plan, row["cell"]) else row["scored"] for row in results["cells"]], dtype=np.int64
    )
    if (_by_cell(plan, rows["index"]) != expected).any():
        # An answer was replaced after it was scored; its score stays in the file and counts no more.
        newest = np.zeros(len(plan), dtype=np.int64)
        if segments := list(attempts()):
            lines = json_lines(segments, {"index": "BIGINT", "revision": "BIGINT"})
            again = query(segments, f'SELECT "index", revision FROM {lines} WHERE revision > 0')  # noqa: S608 - quoted
            np.maximum.at(newest, again["index"], again["revision"])
        kept = rows["revision"] == newest[rows["index"]]
        rows = {name: column[kept] for name, column in rows.items()}
    repeated = np.bincount(rows["index"], minlength=1).max() > 1
    if repeated or (_by_cell(plan, rows["index"]) != expected).any():
        raise EvidenceError(f"{plan.name}: the scores are not those that its results were computed from")
    return rows


def _by_cell(plan: Plan, index: Whole) -> Whole:
    import numpy as np

    cells = np.searchsorted(np.array(plan.starts), index, side="right") - 1
    return np.bincount(cells, minlength=len(plan.cells))


def _places(plan: Plan, index: Whole) -> Whole:
    """Where each attempt's sample stands in a row of all cells' samples."""
    import numpy as np

    starts = np.array(plan.starts)
    cells = np.searchsorted(starts, index, side="right") - 1
    sizes = np.array([len(plan.tasks[cell.task].samples) for cell in plan.cells], dtype=np.int64)
    offset = index - starts[cells]
    position = offset % sizes[cells]
    for number, cell in enumerate(plan.cells):
        if counts := plan.tasks[cell.task].counts:
            firsts = np.concatenate(([0], np.cumsum(counts)[:-1]))
            here = cells == number
            position[here] = np.searchsorted(firsts, offset[here], side="right") - 1
    found: Whole = np.array(starts_of(plan))[cells] + position
    return found


def summed(plan: Plan, index: Sequence[int], values: Sequence[float]) -> tuple[Floats, Floats]:
    """Sums and counts of one number of these attempts, as RunSums holds them. NaN is no number, and not counted."""
    import numpy as np

    return _summed(_places(plan, np.array(index, dtype=np.int64)), values, starts_of(plan)[-1])


def _summed(place: Whole, values: Any, size: int) -> tuple[Floats, Floats]:
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(numbers)
    sums = np.bincount(place[known], weights=numbers[known], minlength=size).astype(np.float64)
    return sums, np.bincount(place[known], minlength=size).astype(np.float64)
