"""lm-evaluation-harness: `results_DATE.json`, and beside it `samples_TASK_DATE.jsonl` where samples were logged.

A sample file has a row for each document and filter. A filter is another way to read one answer, so a document is one
sample: the metrics of the filter that the results name first are its metrics, those of the others stand beside them as
`exact_match,flexible-extract`. A task without a file of samples has totals only.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.data.sources import Skip
from assay.errors import ConfigError, Problem
from assay.files import canonical
from assay.importers.base import CellFacts, Claim, MetricFacts, Row, Source, TaskFacts, no_rows
from assay.importers.bounded import items, mapping, number, part, read_json, refuse, shown, whole, word
from assay.importers.lm_eval_rows import NONE, Asked, filter_of, malformed, metrics_of, read_rows, scalar
from assay.importers.registry import Importer
from assay.records import Completion, Value

TOOL = "lm-eval"
_ALLOWED = "a results_DATE.json of lm-eval, or the folder of one"
_PASSES = ("acc", "acc_norm", "acc_mutual_info", "acc_all", "acc_bytes", "exact_match", "em", "mc1", "pass@")
_SHARES = ("mc2", "f1", "brier_score", "prompt_level", "inst_level", "rouge", "recall", "precision")
_LOWER = ("perplexity", "bits_per_byte", "brier_score", "wer", "ter", "word_perplexity", "byte_perplexity")
_MOST_FILTERS = 60
_SETTINGS = ("output_type", "metric_list", "filter_list", "repeats", "should_decontaminate")
_ASKED = ("doc_to_text", "doc_to_target", "doc_to_choice", "description", "target_delimiter", "fewshot_delimiter")
_ASKED_TOO = ("generation_kwargs", "num_fewshot", "fewshot_config", "use_prompt", "gen_prefix")


def read(path: Path) -> Source:
    """The results in a file or a folder. Raises ConfigError for whatever is missing, malformed or mixed."""
    file = _results_file(path)
    results = mapping(read_json(file), file, "the whole")
    found = mapping(results.get("results"), file, "results")
    parts = _sample_files(file, found)
    tasks = [
        _Task(name, mapping(entry, file, f"results.{name}"), results, parts.get(name))
        for name, entry in found.items()
        if not _is_group(name, results)
    ]
    if not tasks:
        raise refuse(file, "no task in it", allowed=_ALLOWED)
    files = (file, *parts.values())
    for task in tasks:
        task.scan(file, files)
    return _source(file, results, tasks, files, _notes(found, results, tasks))


IMPORTER = Importer("lm-evaluation-harness: results_*.json with its samples_*.jsonl, or their folder", read)


def _results_file(path: Path) -> Path:
    """The one file of results at a path."""
    if path.is_dir():
        files = sorted(path.glob("results_*.json")) or sorted(path.glob("*/results_*.json"))
        if len(files) != 1:
            named = ", ".join(file.relative_to(path).as_posix() for file in files[:5]) or "none"
            allowed = "a folder with one results_DATE.json, or that file itself"
            raise refuse(path, f"{len(files)} files of results ({named})", allowed=allowed)
        return files[0]
    if not path.name.startswith("results") or path.suffix != ".json":
        raise refuse(path, "not a results file of lm-eval by its name", allowed=_ALLOWED)
    return path


def _sample_files(file: Path, tasks: Mapping[str, Any]) -> dict[str, Path]:
    """The file of samples of each task that has one: of the same date as the results."""
    date = file.stem.removeprefix("results_")
    found: dict[str, Path] = {}
    strays = []
    for path in sorted(file.parent.glob(f"samples_*_{_literal(date)}.jsonl")):
        name = path.name.removeprefix("samples_").removesuffix(f"_{date}.jsonl")
        task = next((task for task in tasks if name in (task, task.replace("/", "__"), task.replace("/", "_"))), None)
        if task is None:
            strays.append(
                Problem(f"samples of {name}, which is no task of {file.name}", str(path), allowed=", ".join(tasks))
            )
        else:
            found[task] = path
    if strays:
        raise ConfigError(strays)
    return found


def _literal(text: str) -> str:
    """`text` as a pattern that matches itself alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


def _is_group(name: str, results: Mapping[str, Any]) -> bool:
    """Whether a row of the results sums up other tasks: it is no task itself."""
    return bool(items(part(results, "group_subtasks").get(name))) or (
        name in part(results, "groups") and name not in part(results, "configs")
    )


@dataclass
class _Task:
    """One task: what the results say of it, and the values of its further filters once `scan` has read them."""

    name: str
    entry: Mapping[str, Any]
    results: Mapping[str, Any]
    path: Path | None
    number: int = 0
    primary: str = NONE
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    further: dict[str, array[float]] = field(default_factory=dict)
    metrics: dict[str, MetricFacts] = field(default_factory=dict)
    totals_only: set[str] = field(default_factory=set)

    @property
    def config(self) -> dict[str, Any]:
        return part(self.results, "configs", self.name)

    @property
    def reported(self) -> list[tuple[str, str, float, float | None]]:
        """(metric, filter, value, standard error) of each number in the results, in their order."""
        found = []
        for key, value in self.entry.items():
            name, comma, filter_ = key.rpartition(",")
            name, filter_ = (name, filter_) if comma else (key, NONE)
            given = number(value)
            if name.endswith("_stderr") or given is None or key in ("sample_len", "samples") or name == "alias":
                continue
            stderr = number(self.entry.get(f"{name}_stderr{comma}{filter_ if comma else ''}"))
            found.append((name, filter_, given, stderr))
        return found

    @property
    def filters(self) -> list[str]:
        """The filters in the order of the results, then of the configuration; the first is the primary one."""
        listed = [filter_ for _, filter_, _, _ in self.reported]
        listed += [str(item.get("name")) for item in items(self.config.get("filter_list")) if isinstance(item, dict)]
        return list(dict.fromkeys(listed)) or [NONE]

    def called(self, metric: str, filter_: str) -> str:
        """What a metric is called here: by its filter too where that is not the primary one."""
        return metric if filter_ == self.primary else f"{metric},{filter_}"

    def facts(self, metric: str) -> MetricFacts:
        """What is known of a metric by its name and the task's configuration."""
        base = metric.partition(",")[0]
        told = part(self.results, "higher_is_better", self.name)
        higher = told.get(base, next(iter(told.values())) if len(told) == 1 else None)
        shares = base.startswith((*_SHARES, *_PASSES)) and base != "rouge"
        low, high = (0.0, 1.0) if shares and not base.startswith("rouge") else (None, None)
        better = higher if isinstance(higher, bool) else not base.startswith(_LOWER)
        return MetricFacts(base.startswith(_PASSES), better, low, high, f"as {TOOL} computes it")

    @property
    def count(self) -> int | None:
        """How many documents the results are of."""
        return whole(part(self.results, "n-samples", self.name).get("effective")) or whole(self.entry.get("sample_len"))

    def scan(self, file: Path, files: tuple[Path, ...]) -> None:
        """Read the samples once: which filters there are, and the values of all but the primary one."""
        self.primary = self.filters[0]
        for metric, filter_, _, _ in self.reported:
            name = self.called(metric, filter_)
            self.metrics[name] = self.facts(name)
        if self.path is None:
            if not self.reported:
                raise refuse(file, f"{self.name}: no number is reported, and there is no file of its samples")
            return
        self.number = files.index(self.path)
        _Scan(self).run()
        if self.count is not None and not self.problems and self.count != len(self.places):
            there, told = len(self.places), f"{file.name} reports on {self.count}"
            message = f"{there} documents, and {told}: the file is cut off or another's"
            self.problems.append(Problem(message, str(self.path)))

    def rows(self, cell: int) -> Iterator[Row | Problem]:
        """One row a document, with the metrics of all its filters."""
        if self.path is None:
            return
        if self.problems:
            yield from self.problems
            return
        for line, row in read_rows(self.path):
            if isinstance(row, Skip):
                yield Problem(row.reason, str(self.path), line, allowed=row.allowed)
            elif filter_of(row) == self.primary:
                yield self._row(cell, line, row)

    def _row(self, cell: int, line: int, row: Mapping[str, Any]) -> Row:
        name = shown(row["doc_id"])
        values: dict[str, Value] = {}
        for metric in metrics_of(row):
            if (value := scalar(row[metric])) is not None:
                values[metric] = value
        position = self.places.get(name, -1)
        for metric, column in self.further.items():
            if 0 <= position < len(column) and column[position] == column[position]:
                values[metric] = column[position]
        choice = Asked(row, self.config.get("output_type") == "multiple_choice")
        return Row(
            cell=cell,
            sample=choice.sample(name, row),
            epoch=0,
            outcome=choice.outcome,
            place={"line": line, "of": self.number},
            completion=Completion(choice.text),
            metrics=values,
            extracted=choice.extracted,
            unscored="lm-eval logged no number for this document",
            more=choice.more,
            identity=[row.get("doc_hash") or shown(row.get("doc")), shown(row.get("target"))],
        )


class _Scan:
    """The first reading of a task's samples."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.path = task.path or Path()
        self.filters: dict[str, int] = {}
        self.seen = array("Q")

    def run(self) -> None:
        for line, row in read_rows(self.path):
            problem = Problem(row.reason, str(self.path), line, allowed=row.allowed) if isinstance(row, Skip) else None
            problem = problem or self._added(line, row)  # type: ignore[arg-type]
            if problem and len(self.task.problems) < 20:
                self.task.problems.append(problem)
        if not self.task.problems:
            self._check()

    def _added(self, line: int, row: Mapping[str, Any]) -> Problem | None:
        if wrong := malformed(row):
            return Problem(wrong, str(self.path), line, allowed="a row of lm-eval's log of samples")
        task, filter_, name = self.task, filter_of(row), shown(row["doc_id"])
        if filter_ not in task.filters:
            allowed = ", ".join(task.filters)
            return Problem(f"the filter {filter_!r} is not one of the results'", str(self.path), line, allowed=allowed)
        bit = self.filters.setdefault(filter_, len(self.filters))
        if bit >= _MOST_FILTERS:
            return Problem("too many filters", str(self.path), line, allowed=f"at most {_MOST_FILTERS}")
        position = task.places.setdefault(name, len(task.places))
        if position == len(self.seen):
            self.seen.append(0)
        if self.seen[position] >> bit & 1:
            return Problem(f"the document {name!r} is there twice (filter {filter_})", str(self.path), line)
        self.seen[position] |= 1 << bit
        self._values(row, filter_, position)
        return None

    def _values(self, row: Mapping[str, Any], filter_: str, position: int) -> None:
        task = self.task
        for metric in metrics_of(row):
            value = scalar(row[metric])
            if not isinstance(value, bool | float):
                task.totals_only.add(task.called(metric, filter_))
                continue
            name = task.called(metric, filter_)
            task.metrics.setdefault(name, task.facts(name))
            if filter_ != task.primary:
                column = task.further.setdefault(name, array("d"))
                column.extend([float("nan")] * (position + 1 - len(column)))
                column[position] = float(value)

    def _check(self) -> None:
        """Every document is there once for every filter, and the primary filter is one of them."""
        if not self.filters:
            self.task.problems.append(Problem("no rows in this file", str(self.path)))
            return
        if self.task.primary not in self.filters:
            there = ", ".join(self.filters)
            message = f"no row of the filter {self.task.primary!r}, which the results name first; there are: {there}"
            self.task.problems.append(Problem(message, str(self.path)))
            return
        whole_mask = (1 << len(self.filters)) - 1
        lacking = [name for name, position in self.task.places.items() if self.seen[position] != whole_mask]
        if lacking:
            filters = ", ".join(self.filters)
            message = f"{len(lacking)} documents do not have one row for each filter ({filters}), first {lacking[0]!r}"
            self.task.problems.append(Problem(message, str(self.path)))


def _source(
    file: Path, results: Mapping[str, Any], tasks: list[_Task], files: tuple[Path, ...], notes: list[str]
) -> Source:
    model = _model(results)
    name = str(model["model"])
    cells = tuple(CellFacts(name, _prompt_id(task), task.name) for task in tasks)

    def all_rows(only: str | None = None) -> Iterator[Row | Problem]:
        for cell, task in enumerate(tasks):
            if only in (None, task.name):
                yield from task.rows(cell)

    sampled = any(task.path for task in tasks)
    return Source(
        tool=TOOL,
        version=word(results.get("lm_eval_version")) or word(results.get("git_hash")) or "unknown",
        title=name,
        files=files,
        models={name: model},
        prompts={_prompt_id(task): _prompt(task) for task in tasks},
        tasks={task.name: _facts(task) for task in tasks},
        cells=cells,
        rows=all_rows if sampled else no_rows,
        claims=tuple(claim for cell, task in enumerate(tasks) for claim in _claims(cell, task)),
        notes=tuple(notes),
    )


def _model(results: Mapping[str, Any]) -> dict[str, Any]:
    config = part(results, "config")
    arguments = config.get("model_args")
    name = word(results.get("model_name")) or word(config.get("model")) or "model"
    facts: dict[str, Any] = {"model": name, "source": word(results.get("model_source")) or word(config.get("model"))}
    facts["arguments"] = arguments if isinstance(arguments, str | dict) and arguments else None
    return {key: value for key, value in facts.items() if value is not None}


def _prompt_id(task: _Task) -> str:
    return f"{task.name}@{_version(task)}"


def _version(task: _Task) -> str:
    found = part(task.results, "versions").get(task.name)
    return shown(found) if isinstance(found, str | int | float) else "unknown"


def _prompt(task: _Task) -> dict[str, Any]:
    """What the tool asked with; two runs whose prompts differ are not alike."""
    config = task.config
    asked = {key: config[key] for key in (*_ASKED, *_ASKED_TOO) if config.get(key) is not None}
    told = {key: task.results.get(key) for key in ("system_instruction_sha", "fewshot_as_multiturn")}
    chat = {"chat_template": task.results.get("chat_template") is not None}
    return {"id": task.name, "version": _version(task), **asked, **told, **chat, "num_fewshot": _shots(task)}


def _shots(task: _Task) -> Any:
    return part(task.results, "n-shot").get(task.name, task.config.get("num_fewshot"))


def _facts(task: _Task) -> TaskFacts:
    config = task.config
    settings = {key: config[key] for key in _SETTINGS if config.get(key) is not None}
    origin = {"dataset": config.get("dataset_path"), "subset": config.get("dataset_name")}
    origin |= {"split": config.get("test_split"), "task_hash": part(task.results, "task_hashes").get(task.name)}
    return TaskFacts(
        version=_version(task),
        kind="choice" if config.get("output_type") == "multiple_choice" else "generate",
        settings={"filter": task.primary, **_addressless(settings)},
        origin={key: value for key, value in origin.items() if isinstance(value, str)},
        metrics=task.metrics,
    )


def _addressless(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the addresses of functions, which the log writes and which differ from run to run."""
    import re

    import orjson

    text = re.sub(rb" at 0x[0-9a-f]+>", b">", canonical(settings))
    found: dict[str, Any] = orjson.loads(text)
    return found


def _claims(cell: int, task: _Task) -> Iterator[Claim]:
    aggregations = {
        str(item.get("metric")): item.get("aggregation")
        for item in items(task.config.get("metric_list"))
        if isinstance(item, dict)
    }
    for metric, filter_, value, stderr in task.reported:
        how = aggregations.get(metric, "mean")
        name = task.called(metric, filter_)
        summed = name in task.totals_only
        why = (
            "it is summed up over all documents at once" if summed else f"lm-eval sums it up by {how}, not by the mean"
        )
        mean = how == "mean" and not summed
        yield Claim(cell, name, value, task.count, stderr, mean, "" if mean else why)


def _notes(found: Mapping[str, Any], results: Mapping[str, Any], tasks: list[_Task]) -> list[str]:
    notes = []
    for name in filter(lambda name: _is_group(name, results), found):
        below = ", ".join(map(str, items(part(results, "group_subtasks").get(name))[:5]))
        notes.append(f"the group {name} is not imported: it sums up {below}")
    for task in tasks:
        if len(task.filters) > 1:
            others = ", ".join(task.filters[1:])
            notes.append(f"{task.name}: scored by the filter {task.primary}; further metrics by {others}")
        if task.path and not any(name not in task.totals_only for name in task.metrics):
            notes.append(f"{task.name}: no metric has a value for each document")
    limit = part(results, "config").get("limit")
    return notes + ([f"lm-eval was run with --limit {limit}"] if limit is not None else [])
