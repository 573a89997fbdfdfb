"""Results: a pure fold over plan, journal and scores. Never a second source of truth: `verify` folds again.

One pass over each file, a few bytes per sample: sums per sample (so that epochs of one sample, which are not
independent, are clustered), counts of outcomes, a bounded sketch of latencies.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.errors import JournalCorrupt
from assay.plan.order import UNANSWERED
from assay.plan.plan import Plan, ScorerPlan, TaskPlan
from assay.records import Outcome
from assay.run import imported, journal, scores, until
from assay.run.controls import controls
from assay.run.folder import RunFolder, SampleFile
from assay.run.state import State
from assay.run.timing import Clock, Histogram, Timeline
from assay.stats.intervals import Interval, clustered_mean, clustered_rate, mean_of, rate
from assay.stats.moments import Moments
from assay.stats.passk import mean_pass_at_k
from assay.stats.quantiles import Sketch

SCHEMA = "assay.results.v1"
CONFIDENCE = 0.95
HIGH_RATE = 0.05
"""Outcomes that are not `ok` are flagged from this share on: they may say more of the harness than of the model."""

OF_CODE = "pass_at_1"
"""The metric that is summed up by pass@k's estimator."""

SHORT = 32
"""A single token is a fair answer where no more than this many were allowed; elsewhere it is worth a look."""


@dataclass
class MetricFold:
    """One metric of one cell: sums per cluster for numbers and passes, counts for labels."""

    spec: Mapping[str, Any]
    sums: array[float]
    counts: array[int]
    moments: Moments = field(default_factory=Moments)
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, cluster: int, value: Any) -> None:
        """Count one attempt's value."""
        if self.spec["kind"] == "label":
            self.labels[str(value)] += 1
        else:
            self.sums[cluster] += value
            self.counts[cluster] += 1
            self.moments.add(float(value))

    def to_json(self, *, primary: bool, interval: Interval | None = None) -> dict[str, Any]:
        """The metric's line in the results; its own interval unless one is given."""
        spec = {key: self.spec[key] for key in ("name", "kind", "higher_is_better", "help")}
        if self.spec["kind"] == "label":
            return {
                **spec,
                "primary": primary,
                "n": self.labels.total(),
                "counts": dict(sorted(self.labels.items())),
            }
        interval = interval or self.interval()
        return {
            **spec,
            "primary": primary,
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "n": interval.n,
            "clusters": interval.clusters,
            "confidence": interval.confidence,
            "method": interval.method,
        }

    def interval(self) -> Interval:
        """The metric's mean with its interval: clustered wherever a cluster holds more than one attempt."""
        clustered = max(self.counts, default=0) > 1
        if self.spec["kind"] == "pass":
            passes = [round(total) for total in self.sums]
            if clustered:
                return clustered_rate(self.counts, passes, CONFIDENCE)
            return rate(sum(passes), self.moments.n, CONFIDENCE)
        if clustered:
            return clustered_mean(self.counts, self.sums, CONFIDENCE)
        return mean_of(self.moments, CONFIDENCE)


@dataclass
class ExecutionFold:
    """How one cell's programs ended, and how they were found in the completions."""

    statuses: Counter[str] = field(default_factory=Counter)
    forgeable: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def add(self, execution: Mapping[str, Any]) -> None:
        """Count one execution."""
        self.statuses[execution["status"]] += 1
        self.forgeable += bool(execution["forgeable"])
        self.tried[execution["strategy"]] += 1
        self.found[execution["strategy"]] += bool(execution["found"])

    def to_json(self) -> dict[str, Any] | None:
        """Counts by status and by strategy; None where nothing was executed."""
        if not self.statuses:
            return None
        extraction = {name: {"tried": self.tried[name], "found": self.found[name]} for name in sorted(self.tried)}
        return {
            "statuses": dict(sorted(self.statuses.items())),
            "forgeable": self.forgeable,
            "extraction": extraction,
        }


@dataclass
class CellFold:
    """One cell's sums."""

    number: int
    planned: int
    outcomes: Counter[str] = field(default_factory=Counter)
    metrics: dict[str, MetricFold] = field(default_factory=dict)
    scored: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_unknown: int = 0
    one_token: int = 0
    tries: int = 0
    cached: int = 0
    cost: float = 0.0
    priced: int = 0
    latency: Sketch = field(default_factory=Sketch)
    histogram: Histogram = field(default_factory=Histogram)
    clock: Clock = field(default_factory=Clock)
    executions: ExecutionFold = field(default_factory=lambda: ExecutionFold())

    def add_line(self, record: Mapping[str, Any], *, newest: bool) -> None:
        """Count a journal line; of an attempt's lines only the newest is its outcome, but all of them cost."""
        self.tries += record["tries"]
        if "cost" in record:
            self.cost += record["cost"]
            self.priced += 1
        if newest:
            self.outcomes[record["outcome"]] += 1
            self._add_completion(record)

    def _add_completion(self, record: Mapping[str, Any]) -> None:
        completion = record.get("completion")
        if completion is None:
            return
        tokens_in, tokens_out = completion.get("tokens_in"), completion.get("tokens_out")
        self.tokens_unknown += tokens_in is None or tokens_out is None
        self.tokens_in += tokens_in or 0
        self.tokens_out += tokens_out or 0
        self.one_token += tokens_out == 1 and "choices" not in completion
        self.cached += bool(record.get("cached"))
        if "latency_s" in record:
            self.latency.add(record["latency_s"])
            self.histogram.add(record["latency_s"])
            self.clock.add(record["session"], record["finished"] - record["latency_s"], record["finished"])

    def add_score(self, cluster: int, record: Mapping[str, Any], outcome: str) -> None:
        """Count a score line of an attempt that ended in `outcome`."""
        if "execution" in record:
            self.executions.add(record["execution"])
        if "error" in record:
            self.outcomes[outcome] -= 1
            self.outcomes[Outcome.SCORER_ERROR.value] += 1
            return
        self.scored += 1
        for name, value in record["metrics"].items():
            self.metrics[name].add(cluster, value)


def results(folder: RunFolder, plan: Plan, state: State) -> dict[str, Any]:
    """The content of `results.json`. Raises JournalCorrupt for a score repeated or of an attempt that has none."""
    scorers = scores.current(folder, plan)
    cells = [_empty(plan, number, scorers) for number in range(len(plan.cells))]
    timeline = Timeline()
    for _, _, record in journal.read(folder.attempts):
        newest = record["revision"] == state.lines[record["index"]] - 1
        cells[record["cell"]].add_line(record, newest=newest)
        timeline.add(record)
    _fold_scores(folder, plan, state, scorers, cells)
    rows = [_row(plan, cell, scorers) for cell in cells]
    origin = imported.read(folder.path)
    for row in rows:
        if origin and imported.totals_only(plan, row["cell"]):
            row["metrics"] = imported.lines(origin, row["cell"], scorers[row["task"]])
    executed = controls(folder, {task: scores.scorer_id(scorer) for task, scorer in scorers.items()})
    total = sum((cell.outcomes for cell in cells), Counter[str]())
    held = until.summary(folder, plan, state)
    flags = [flag for row in rows for flag in (*_flags(row, plan, held), *_code_flags(row, plan, scorers))]
    content = {
        "schema": SCHEMA,
        "name": plan.name,
        "plan": plan.digest,
        "complete": state.finished == len(plan),
        "synthetic": plan.synthetic,
        "started": timeline.started,
        "seconds": timeline.seconds,
        "attempts": {"planned": len(plan), "finished": state.finished, "outcomes": _counts(total)},
        "cells": rows,
        "throughput": timeline.points(),
        "executed": executed,
        "anomalies": list(_anomalies(executed)),
        "flags": flags,
    }
    if held:
        content["until"] = held
    if origin:
        content["imported"] = origin.label
        content["flags"] = [*flags, *imported.flags(origin, plan, rows)]
    return {key: rounded(item) for key, item in content.items()}


def rounded(value: Any) -> Any:
    """Every float to 12 significant digits: two machines' mathematics may differ in the last of sixteen."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def _empty(plan: Plan, number: int, scorers: scores.Scorers) -> CellFold:
    task = plan.tasks[plan.cells[number].task]
    scorer: ScorerPlan | None = scorers.get(task.name)
    size = len(task.samples)
    metrics = {
        str(metric["name"]): MetricFold(metric, array("d", [0.0]) * size, array("L", [0]) * size)
        for metric in (scorer.metrics if scorer else ())
    }
    return CellFold(number, task.attempts, metrics=metrics)


def _fold_scores(folder: RunFolder, plan: Plan, state: State, scorers: scores.Scorers, cells: list[CellFold]) -> None:
    names = {task: scores.scorer_id(scorer) for task, scorer in scorers.items()}
    clusters = {task: _clusters(folder, plan, task) for task in plan.tasks}
    seen = bytearray(len(plan))
    for path, line, record in scores.read(folder):
        index = record["index"]
        task = plan.cells[record["cell"]].task
        if record["scorer"] != names.get(task) or record["revision"] != state.lines[index] - 1:
            continue
        outcome = state.outcome(index)
        if seen[index] or outcome is None:
            raise JournalCorrupt(path, line, "a score repeated, or of an attempt that has not ended")
        seen[index] = 1
        position = plan.locate(index)[1]
        cells[record["cell"]].add_score(clusters[task][position], record, outcome.value)


def _clusters(folder: RunFolder, plan: Plan, task: str) -> range | array[int]:
    """The cluster of each sample: itself, or the samples that share the value of the task's cluster key."""
    key = plan.tasks[task].cluster
    if key is None:
        return range(len(plan.tasks[task].samples))
    numbers: dict[str, int] = {}
    file = SampleFile(folder.sample_path(task))
    try:
        samples = (file[position] for position in range(len(file)))
        labels = (str(sample.metadata.get(key, sample.fields.get(key))) for sample in samples)
        return array("L", (numbers.setdefault(label, len(numbers)) for label in labels))
    finally:
        file.close()


def _anomalies(executed: Mapping[str, Any]) -> Iterator[str]:
    """What makes a run's numbers anomalous rather than low or high."""
    for task, found in executed.items():
        if failed := found["control"]["failed"]:
            first = ", ".join(f"{sample} ({status})" for sample, status in list(failed.items())[:5])
            count, total = len(failed), found["control"]["executed"]
            yield f"{task}: {count} of {total} reference solutions failed their own tests here: {first}"


def _metrics(fold: CellFold, scorer: ScorerPlan | None) -> list[dict[str, Any]]:
    """Every metric of a cell, the primary one first; where code was executed, pass@k by its own estimator."""
    lines = [metric.to_json(primary=not number) for number, metric in enumerate(fold.metrics.values())]
    if scorer is None or not (asked := _asked_k(scorer)):
        return lines
    first = fold.metrics[OF_CODE]
    estimates = [estimate for k in sorted({1, *asked}) if (estimate := _pass_at(first, k))]
    return [*estimates, *lines[1:]] if estimates else lines


def _asked_k(scorer: ScorerPlan) -> list[int]:
    if scorer.mode != OF_CODE:
        return []
    asked = scorer.options.get("k", [1])
    return list(asked) if isinstance(asked, list | tuple) else [asked]


def _pass_at(fold: MetricFold, k: int) -> dict[str, Any] | None:
    """pass@k over the problems that have scores; None where one of them has fewer than k (a flag says so)."""
    tried = [(count, round(total)) for count, total in zip(fold.counts, fold.sums, strict=True) if count]
    if not tried or min(count for count, _ in tried) < k:
        return None
    counts, passes = zip(*tried, strict=True)
    interval = mean_pass_at_k(counts, passes, k, CONFIDENCE)
    spec = {**fold.spec, "name": f"pass_at_{k}"}
    if k > 1:
        spec["help"] = f"chance that at least one of {k} attempts passes every test"
    return replace(fold, spec=spec).to_json(primary=k == 1, interval=interval)


def _code_flags(row: Mapping[str, Any], plan: Plan, scorers: scores.Scorers) -> Iterator[dict[str, Any]]:
    """What a reader should know of a cell whose programs were executed."""
    executions, scorer = row["executions"], scorers.get(row["task"])
    if executions is None or scorer is None:
        return
    have = {metric["name"] for metric in row["metrics"]}
    flags = [
        ("too_few_for_k", f"pass@{k} needs {k} scored attempts of every problem")
        for k in _asked_k(scorer)
        if f"pass_at_{k}" not in have
    ]
    if executions["forgeable"]:
        flags.append(("forgeable", f"{executions['forgeable']} solutions could have decided their own outcome"))
    if nothing := executions["statuses"].get("no_tests_executed"):
        flags.append(("no_tests_executed", f"no test ran for {nothing} attempts, which count as failures"))
    for code, message in flags:
        yield {"level": "warning", "code": code, "message": message, "cell": row["cell"]}


def _row(plan: Plan, fold: CellFold, scorers: scores.Scorers) -> dict[str, Any]:
    cell = plan.cells[fold.number]
    finished = fold.outcomes.total()
    seconds = fold.clock.seconds
    prices = plan.models[cell.model].prices
    return {
        "cell": fold.number,
        "model": cell.model,
        "prompt": cell.prompt,
        "task": cell.task,
        "mode": cell.mode,
        "planned": fold.planned,
        "finished": finished,
        "scored": fold.scored,
        "outcomes": _counts(fold.outcomes),
        "rates": {name: count / finished for name, count in _counts(fold.outcomes).items()},
        "one_token": fold.one_token,
        "metrics": _metrics(fold, scorers.get(cell.task)),
        "executions": fold.executions.to_json(),
        "chance": plan.tasks[cell.task].chance,
        "tokens": {"in": fold.tokens_in, "out": fold.tokens_out, "unknown": fold.tokens_unknown},
        "tokens_per_s": _per(fold.tokens_out, seconds),
        "requests_per_s": _per(fold.latency.count, seconds),
        "latency_s": _latency(fold.latency),
        "latency_histogram": fold.histogram.buckets(),
        "tries": fold.tries,
        "cached": fold.cached,
        "seconds": round(seconds, 3),
        "cost": {"amount": fold.cost, "currency": prices["currency"]} if prices and fold.priced else None,
    }


def _counts(outcomes: Counter[str]) -> dict[str, int]:
    return {outcome.value: outcomes[outcome.value] for outcome in Outcome if outcomes[outcome.value]}


def _per(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 and count else None


def _latency(sketch: Sketch) -> dict[str, float | None] | None:
    if not sketch.count:
        return None
    quantiles = {f"p{percent}": sketch.quantile(percent / 100) for percent in (50, 90, 95, 99)}
    return {"mean": sketch.mean, **quantiles, "max": sketch.max}


def _flags(row: Mapping[str, Any], plan: Plan, held: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What a reader should know before believing a cell's numbers."""
    sampling = plan.cells[row["cell"]].sampling
    flags = list(_partial(plan.tasks[row["task"]]))
    for outcome in Outcome:
        share = row["rates"].get(outcome.value, 0.0)
        if outcome is not Outcome.OK and (share >= HIGH_RATE or (share and not outcome.scorable)):
            count = row["outcomes"][outcome.value]
            flags.append((f"{outcome.value}_rate", f"{count} of {row['finished']} attempts ended {outcome.value}"))
    if row["one_token"] >= max(1, 0.5 * row["finished"]) and sampling is not None and sampling.max_tokens > SHORT:
        flags.append(("one_token", f"{row['one_token']} of {row['finished']} completions were a single token"))
    if row["finished"] < row["planned"] and held and held["decided"]:
        made = f"{row['finished']} of {row['planned']} attempts were made"
        flags.append(("decided", f"{made}: it stopped because it was decided ({held['verdict']})"))
    elif row["finished"] < row["planned"]:
        flags.append(("incomplete", f"{row['finished']} of {row['planned']} attempts are finished"))
    if not row["metrics"]:
        flags.append(("not_scored", "completions are stored but not scored: nothing may execute them here"))
    return [{"level": "warning", "code": code, "message": message, "cell": row["cell"]} for code, message in flags]


def _partial(task: TaskPlan) -> Iterator[tuple[str, str]]:
    """A file of samples may leave problems out: they are no failures, and must not be forgotten either."""
    if left_out := sum(item["reason"] == UNANSWERED for item in task.excluded):
        answered = len(task.samples)
        yield "partial", f"{answered} of {answered + left_out} problems have samples"
