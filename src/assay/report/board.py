"""The board: cells of sealed runs, joined by task and sample, ranked with what the data leave open.

Every rank rests on the samples that all entries have scores of. What differs between runs beyond what is ranked, what
was left out and what is still pending is said in `notes`; nothing is averaged over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from assay.report.board_entries import (
    Entry,
    Measured,
    Part,
    check_runs,
    check_tasks,
    entries_of,
    named,
    parts_of,
)
from assay.report.board_judged import Rubrics, answered, described, judges, pending, waiting
from assay.report.board_judged import notes as judged_notes
from assay.report.board_metric import measured
from assay.report.board_notes import differences, warnings
from assay.report.numbers import figure, percent
from assay.run.sums import RunSums
from assay.stats.intervals import Interval, clustered_mean, clustered_rate, mean_of, rate
from assay.stats.moments import Moments
from assay.stats.ranking import Ranking, rank_cells

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

SCHEMA = "assay.board.v1"
BY = ("model", "prompt")
CONFIDENCE = 0.95

Contents = Callable[[RunSums, str], Sequence[bytes]]
"""Each of a task's samples as it is stored, by position; asked only where the data of two runs differ."""


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """Entries with their sums by cluster: shape (entries, clusters), one column a sample or cluster of a task.

    `task` gives the task's number of each column, `names` its cluster's name. `document` is what `--json` prints;
    its entries stand from the best to the worst and name their number here as `entry`.
    """

    entries: Sequence[Entry]
    tasks: Sequence[str]
    metric: Measured
    sums: Floats
    counts: Floats
    task: Whole
    names: Sequence[str]
    document: dict[str, Any]
    columns: _Columns

    def columns_of(self, part: Part) -> Whole:
        """The column of each sample of a cell, by its position in the plan."""
        return self.columns.of(part)


def make(
    runs: Sequence[RunSums],
    by: Sequence[str] = BY,
    metric: str | None = None,
    tasks: Sequence[str] = (),
    contents: Contents | None = None,
    *,
    seed: int = 0,
) -> Board:
    """The board of these runs. `by`: what makes an entry; over the rest of a cell's name is averaged, as notes say.

    `metric`: by default the composite of a task that is judged, and any other's primary one. `tasks`: by default all.
    Raises ConfigError where a name is unknown or metrics of different kinds would be mixed.
    """
    check_runs(runs)
    check_tasks(tasks, runs)
    parts = [part for part in parts_of(runs) if not tasks or part.task in tasks]
    names = list(dict.fromkeys(part.task for part in parts))
    ranked_by = measured(parts, metric, Rubrics(parts))
    notes = list(warnings(runs))
    entries = entries_of(parts, by, notes)
    columns = _Columns(parts, names, contents, notes)
    sums, counts = columns.totals(entries, ranked_by)
    notes += differences(entries, names, by)
    rubrics = list({judged.digest: judged for judged in ranked_by.judged.values()}.values())
    notes += judged_notes(entries, rubrics)
    draft = _Draft(entries, names, ranked_by, sums, counts, columns, notes, seed)
    document = {
        "schema": SCHEMA,
        "by": list(by),
        "metric": {"name": ranked_by.name, "kind": ranked_by.kind, "higher_is_better": ranked_by.higher_is_better},
        "rubrics": described(rubrics),
        "tasks": names,
        "runs": [_run(run) for run in runs],
        **draft.content(),
    }
    return Board(entries, names, ranked_by, sums, counts, columns.task, columns.names, document, columns)


class _Columns:
    """Which column of the table each sample of each run belongs to: its cluster, or itself."""

    def __init__(
        self, parts: Sequence[Part], tasks: Sequence[str], contents: Contents | None, notes: list[str]
    ) -> None:
        import numpy as np

        self._index: dict[tuple[int, str, str], int] = {}
        self._known: dict[tuple[int, str], Whole] = {}
        for number, task in enumerate(tasks):
            runs = list({id(part.run): part.run for part in parts if part.task == task}.values())
            differ = len({run.plan.tasks[task].dataset for run in runs}) > 1
            if differ:
                notes.append(f"{task}: the data differ between runs; only samples that are the same in both are joined")
            for run in runs:
                marks = _marks(run, task, contents if differ else None, alone=differ)
                self._known[id(run), task] = np.array(
                    [self._index.setdefault((number, *mark), len(self._index)) for mark in marks], dtype=np.int64
                )
        self.task = np.array([task for task, _, _ in self._index], dtype=np.int64)
        self.names = [name for _, name, _ in self._index]

    def of(self, part: Part) -> Whole:
        """The column of each sample of a cell, by position."""
        return self._known[id(part.run), part.task]

    def totals(self, entries: Sequence[Entry], measured: Measured) -> tuple[Floats, Floats]:
        """Sums and counts by entry and column."""
        import numpy as np

        shape = (len(entries), len(self.names))
        sums, counts = np.zeros(shape), np.zeros(shape)
        for number, entry in enumerate(entries):
            for part in entry.parts:
                values, tries = part.run.of(part.cell, measured.of[part.task])
                np.add.at(sums[number], self.of(part), values)
                np.add.at(counts[number], self.of(part), tries)
        return sums, counts


def _marks(run: RunSums, task: str, contents: Contents | None, *, alone: bool) -> Iterator[tuple[str, str]]:
    """For each sample its cluster, or else its id; and its content where runs may mean different things by an id."""
    held = run.plan.tasks[task]
    groups = (run.clusters or {}).get(task)
    if groups is not None:
        yield from ((group, held.dataset if alone else "") for group in groups)
    elif contents is not None:
        import hashlib

        lines = contents(run, task)
        found = (hashlib.sha256(line).hexdigest()[:16] for line in lines)
        yield from zip(held.samples, found, strict=True)
    else:
        yield from ((sample, held.dataset if alone else "") for sample in held.samples)


@dataclass(slots=True)
class _Draft:
    """The numbers of the board in the making."""

    entries: Sequence[Entry]
    tasks: Sequence[str]
    metric: Measured
    sums: Floats
    counts: Floats
    columns: _Columns
    notes: list[str]
    seed: int

    def content(self) -> dict[str, Any]:
        """What the document says beside its head."""
        waiting = [self.waiting(number)[1] for number in range(len(self.entries))]
        scored = [number for number, left in enumerate(waiting) if self.counts[number].sum() and not left]
        shared: Any = (self.counts[scored] > 0).all(axis=0) & bool(scored)
        ranking = self._ranking(scored)
        self._say(scored, shared)
        order = [scored[standing.cell] for standing in ranking.standings] if ranking else scored
        rest = [number for number in range(len(self.entries)) if number not in scored]
        shown = [self._entry(number, shared, ranking, scored) for number in (*order, *rest)]
        winner = self._winner(ranking, order[0]) if ranking else None
        return {
            "confidence": CONFIDENCE,
            "shared": int(shared.sum()),
            "excluded": int(len(shared) - shared.sum()),
            "entries": shown,
            "groups": [[self.entries[scored[cell]].label for cell in group] for group in ranking.groups]
            if ranking
            else [],
            "winner": winner,
            "notes": list(dict.fromkeys(self.notes)),
        }

    def waiting(self, number: int) -> tuple[int, int, int]:
        """Of the judged tasks of an entry: answers, those that nobody judged, and judged ones without a composite."""
        return waiting(self.entries[number], self.metric.rubrics)

    def _ranking(self, scored: Sequence[int]) -> Ranking | None:
        """The ranking of the entries that have scores; None, with a note, where nothing can be ranked."""
        if len(scored) < 2:
            what = "are judged as a whole" if self.metric.judged else "have scores"
            self.notes.append(f"fewer than two entries {what}: nothing is ranked")
            return None
        sign = 1 if self.metric.higher_is_better else -1
        try:
            return rank_cells(sign * self.sums[scored], self.counts[scored], confidence=CONFIDENCE, seed=self.seed)
        except ValueError as error:
            self.notes.append(f"nothing is ranked: {error}")
            return None

    def _say(self, scored: Sequence[int], shared: Any) -> None:
        """What the ranks do not rest on."""
        total, used = len(shared), int(shared.sum())
        if len(scored) > 1 and used < total:
            few = [self.entries[n].label for n in scored if int((self.counts[n] > 0).sum()) < total]
            what = "clusters" if any(part.run.clusters for entry in self.entries for part in entry.parts) else "samples"
            self.notes.append(
                f"ranks and intervals rest on the {used:,} of {total:,} {what} that all entries have scores of; "
                f"some are missing from {named(few)}"
            )
        kept = self.counts[scored][:, shared]
        if len(kept) > 1 and used and (kept != kept[0]).any():
            self.notes.append("the entries were tried differently often on the samples that they share")
        for number, entry in enumerate(self.entries):
            answers, left, bare = self.waiting(number)
            if left:
                self.notes.append(f"{entry.label}: {left:,} of {answers:,} answers are not judged, so it is not ranked")
            elif number not in scored:
                self.notes.append(f"{entry.label}: no scores by sample, so it is not ranked")
            if bare:
                self.notes.append(f"{entry.label}: {bare:,} judged answers have no measure that the composite needs")
        if len(self.tasks) > 1:
            self.notes.append(f"scores are averaged over {named(self.tasks)}, each attempt weighing the same")

    def _entry(self, number: int, shared: Any, ranking: Ranking | None, scored: Sequence[int]) -> dict[str, Any]:
        entry, sums, counts = self.entries[number], self.sums[number], self.counts[number]
        standing = next((s for s in ranking.standings if scored[s.cell] == number), None) if ranking else None
        left = self.waiting(number)[1]
        here = shared & (number in scored)
        interval = _interval(sums[here], counts[here], self.metric.kind)
        return {
            "entry": number,
            "label": entry.label,
            **entry.keys,
            "rank": standing.rank if standing else None,
            "rank_low": standing.rank_low if standing else None,
            "rank_high": standing.rank_high if standing else None,
            "best": standing.best if standing else None,
            "groups": [_letter(group) for group in standing.groups] if standing else [],
            **_plain(interval),
            "all": _whole(sums, counts) | ({"value": None} if left else {}),
            "tasks": {task: self._of_task(number, place, here) for place, task in enumerate(self.tasks)},
            "metrics": _metrics(entry),
            **_accounts(entry, self.metric),
        }

    def _of_task(self, number: int, task: int, shared: Any) -> float | None:
        here = shared & (self.columns.task == task)
        tries = self.counts[number][here].sum()
        return float(self.sums[number][here].sum() / tries) if tries else None

    def _winner(self, ranking: Ranking, number: int) -> dict[str, Any]:
        """The best entry, in the metric's own direction, and how far being picked as the best flatters it."""
        winner, sign = ranking.winner, 1 if self.metric.higher_is_better else -1
        ends = [None if end is None else sign * end for end in (winner.low, winner.high)]
        low, high = ends if sign > 0 else ends[::-1]
        corrected = None if winner.corrected is None else sign * winner.corrected
        found = {**asdict(winner), "label": self.entries[number].label, "value": sign * winner.value}
        tied = sum(standing.rank == 1 for standing in ranking.standings)
        found |= {"corrected": corrected, "low": low, "high": high, "entry": number, "tied": tied}
        del found["cell"]
        return {**found, "statement": _statement(found, self.metric.kind)}


def _statement(winner: Mapping[str, Any], kind: str) -> str:
    show = percent if kind == "pass" else figure
    best = f"{winner['label']} is the best of {winner['cells']} with {show(winner['value'])}"
    if winner["tied"] > 1:
        best = f"{winner['tied']} of {winner['cells']} tie for the best with {show(winner['value'])}"
    if winner["corrected"] is None:
        return f"{best}; its scores do not vary, so how much of that is luck cannot be estimated"
    return (
        f"{best}. The best of many is so by luck, too: corrected for having been picked, {show(winner['corrected'])}; "
        f"{100 * winner['confidence']:g} % interval that holds whichever is picked: {show(winner['low'])} to "
        f"{show(winner['high'])}"
    )


def _interval(sums: Floats, counts: Floats, kind: str) -> Interval:
    """The mean with its interval, clustered wherever a cluster holds more than one attempt."""
    total, n = float(sums.sum()), int(counts.sum())
    clustered = counts.max(initial=0) > 1
    if clustered:
        tries = counts.astype(int).tolist()
        if kind == "pass":
            return clustered_rate(tries, sums.round().astype(int).tolist(), CONFIDENCE)
        return clustered_mean(tries, sums.tolist(), CONFIDENCE)
    if kind == "pass":
        return rate(round(total), n, CONFIDENCE)
    moments = Moments()
    for value in sums[counts > 0].tolist():
        moments.add(value)
    return mean_of(moments, CONFIDENCE)


def _plain(interval: Interval) -> dict[str, Any]:
    keys = ("value", "low", "high", "n", "clusters", "method")
    return {key: getattr(interval, key) for key in keys}


def _whole(sums: Floats, counts: Floats) -> dict[str, Any]:
    """The mean over all that the entry has, shared or not."""
    n = int(counts.sum())
    return {"value": float(sums.sum()) / n if n else None, "n": n, "clusters": int((counts > 0).sum())}


def _letter(number: int) -> str:
    """1 is A, 26 is Z, 27 is AA."""
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text


def _metrics(entry: Entry) -> dict[str, Any]:
    """The mean of every metric over all of the entry's scored attempts."""
    found: dict[str, list[float]] = {}
    for part in entry.parts:
        scorer = part.run.scorers.get(part.task)
        for metric in scorer.metrics if scorer else ():
            if metric["kind"] != "label":
                sums, counts = part.run.of(part.cell, metric["name"])
                held = found.setdefault(metric["name"], [0.0, 0.0])
                held[0] += float(sums.sum())
                held[1] += float(counts.sum())
    means = {name: {"value": total / n if n else None, "n": int(n)} for name, (total, n) in found.items()}
    return means | _judged_metrics(entry)


def _judged_metrics(entry: Entry) -> dict[str, Any]:
    """The mean of every judged metric; none as long as an answer of the entry is pending."""
    found: dict[str, dict[str, Any]] = {}
    for judged in {judged.digest: judged for part in entry.parts for judged in part.run.judged}.values():
        parts = [part for part in entry.parts if part.task in judged.tasks]
        left = sum(pending(part, judged.digest) for part in parts)
        for metric in judged.metrics if parts else ():
            pairs = [part.run.of(part.cell, metric["name"]) for part in parts]
            n = sum(int(counts.sum()) for _, counts in pairs)
            value = sum(float(sums.sum()) for sums, _ in pairs) / n if n and not left else None
            found[metric["name"]] = {"value": value, "n": n}
    return found


def _accounts(entry: Entry, metric: Measured) -> dict[str, Any]:
    """What became of the attempts, what they cost and how long they took. Pending: answered, and not judged where the
    ranks rest on judgements, or not scored yet.
    """
    rows = [part.row for part in entry.parts]
    planned, finished, scored = (sum(row[key] for row in rows) for key in ("planned", "finished", "scored"))
    judged = waiting(entry, metric.rubrics)
    others = [part for part in entry.parts if part.task not in metric.judged]
    unscored = sum(max(0, answered(part) - part.row["scored"]) for part in others)
    return {
        "planned": planned,
        "finished": finished,
        "scored": scored,
        "pending": judged[1] + unscored,
        "unmeasured": judged[2],
        "judges": judges(entry, metric.rubrics.values()),
        "failed": finished - sum(answered(part) for part in entry.parts),
        "cost": _cost(rows),
        "latency_s": _latency(rows),
    }


def _cost(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The sum of the costs; None where one is not known, or where they are in different currencies."""
    costs = [row["cost"] for row in rows]
    if not all(costs) or len({cost["currency"] for cost in costs}) != 1:
        return None
    return {"amount": sum(cost["amount"] for cost in costs), "currency": costs[0]["currency"]}


def _latency(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """The mean over all finished attempts; of a single cell its percentiles, too."""
    known = [(row["latency_s"], row["finished"]) for row in rows if row["latency_s"]]
    total = sum(n for _, n in known)
    if not total:
        return None
    mean = sum(latency["mean"] * n for latency, n in known) / total
    single = known[0][0] if len(rows) == 1 else {}
    return {"mean": mean, "p50": single.get("p50"), "p95": single.get("p95")}


def _run(run: RunSums) -> dict[str, Any]:
    return {
        "run": run.name,
        "manifest": run.manifest,
        "plan": run.plan.digest,
        "synthetic": run.plan.synthetic,
        "complete": bool(run.results["complete"]),
        "anomalies": list(run.results.get("anomalies", ())),
    }
