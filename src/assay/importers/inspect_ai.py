"""Inspect AI: `.eval` logs (a zip, deflated or zstd) and `.json` logs, of log version 2.

Epochs are attempts of a sample. A sample's error is an error of infrastructure; a sample without a score has none,
which is not a wrong answer. Only a log that ended well is read: one that was cancelled, failed or never ended is
refused.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import Problem
from assay.importers.base import MOST_TEXT, CellFacts, Claim, MetricFacts, Row, Source, TaskFacts, no_rows
from assay.importers.bounded import (
    Archive,
    NotFinite,
    items,
    labels,
    mapping,
    number,
    part,
    read_json,
    refuse,
    shown,
    whole,
    word,
)
from assay.importers.registry import Importer
from assay.records import Completion, Outcome, Sample, Value

TOOL = "inspect"
_VERSION = 2
_ENTRY = re.compile(r"samples/.+_epoch_\d+\.json")
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Inspect's letters for correct, incorrect, partly correct and no answer, as it counts them."""

_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_MEANS = ("accuracy", "mean")
_SPREAD = ("stderr", "std", "var", "bootstrap_stderr", "bootstrap_std", "ci_lower", "ci_upper")
_ENDED = {"max_tokens": Outcome.TRUNCATED, "model_length": Outcome.TRUNCATED, "content_filter": Outcome.REFUSED}
_FINISH = {Outcome.TRUNCATED: "length", Outcome.REFUSED: "refusal"}
_STATUSES = "a log whose status is success"


def read(path: Path) -> Source:
    """The log in a file. Raises ConfigError for one that is no log, malformed, or did not end well."""
    log: _Log = _Zip(path) if _is_zip(path) else _Json(path)
    header = log.header
    _check(path, header)
    log.check()
    return _source(path, header, log)


IMPORTER = Importer("Inspect AI: .eval and .json logs", read)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError as error:
        raise refuse(path, f"cannot be read: {error.strerror or error}") from None


class _Log(ABC):
    """A log: what it says of the whole, and its samples one by one with their places."""

    header: dict[str, Any]

    def check(self) -> None:
        """Raise ConfigError where samples are missing."""
        results = part(self.header, "results")
        total = whole(results.get("total_samples"))
        have = self.count()
        if have and total is not None and total != have:
            raise refuse(self.path, f"{have} samples, and its results count {total}: some are missing")

    path: Path

    @abstractmethod
    def count(self) -> int:
        """How many samples are logged."""

    @abstractmethod
    def samples(self) -> Iterator[tuple[str, Any]]:
        """(place, sample)."""


class _Zip(_Log):
    def __init__(self, path: Path) -> None:
        self.path = path
        archive = Archive(path)
        names = list(archive.names())
        try:
            if "header.json" not in names:
                raise refuse(path, "no header.json in it: the evaluation never ended", allowed=_STATUSES)
            self.header = mapping(archive.json("header.json"), f"{path}:header.json", "the whole")
        finally:
            archive.close()
        self.entries = [name for name in names if _ENTRY.fullmatch(name)]

    def count(self) -> int:
        return len(self.entries)

    def samples(self) -> Iterator[tuple[str, Any]]:
        archive = Archive(self.path)
        try:
            for name in self.entries:
                yield name, archive.json(name)
        finally:
            archive.close()


class _Json(_Log):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = mapping(read_json(path), path, "the whole")
        self.listed = items(self.header.pop("samples", None))

    def count(self) -> int:
        return len(self.listed)

    def samples(self) -> Iterator[tuple[str, Any]]:
        yield from ((f"samples[{number_}]", item) for number_, item in enumerate(self.listed))


def _check(path: Path, header: Mapping[str, Any]) -> None:
    """Whether this is a log of a kind that is read, and one that ended well."""
    if "eval" not in header or "status" not in header:
        raise refuse(path, "no log of Inspect: it has no eval and no status", allowed=".eval or .json of inspect eval")
    mapping(header["eval"], path, "eval")
    if header.get("version") != _VERSION:
        raise refuse(path, f"log version {shown(header.get('version'))[:20]}", allowed=f"version {_VERSION}")
    if header["status"] != "success":
        reason = word(part(header, "error").get("message"))
        why = f": {reason.splitlines()[0][:200]}" if reason else ""
        raise refuse(path, f"the log's status is {shown(header['status'])[:40]!r}{why}", allowed=_STATUSES)
    if header.get("invalidated") is True:
        raise refuse(path, "the log is marked as invalidated", allowed="a log that holds")


@dataclass(frozen=True)
class _Scored:
    """A sample's metrics, with the answer and the explanation of the first that has one."""

    metrics: dict[str, Value]
    answer: str | None
    why: str


def _source(path: Path, header: Mapping[str, Any], log: _Log) -> Source:
    told = part(header, "eval")
    task = word(told.get("task")) or "task"
    model = {"model": word(told.get("model")) or "model", "arguments": told.get("model_args") or None}
    claims = tuple(_claims(header, _scorer_keys(log)))
    sampled = log.count() > 0
    if not sampled and not claims:
        raise refuse(path, "no samples and no scores in it", allowed="a log with scores")

    def rows(only: str | None = None) -> Iterator[Row | Problem]:
        for place, sample in log.samples():
            yield _row(log, place, sample)

    return Source(
        tool=TOOL,
        version=word(part(told, "packages").get("inspect_ai")) or "unknown",
        title=task,
        files=(path,),
        models={str(model["model"]): {key: value for key, value in model.items() if value is not None}},
        prompts={"plan@1": _prompt(header)},
        tasks={task: _task(header, claims)},
        cells=(CellFacts(str(model["model"]), "plan@1", task),),
        rows=rows if sampled else no_rows,
        claims=claims,
        notes=_notes(told),
    )


def _scorer_keys(log: _Log) -> frozenset[str]:
    """What the scores of the first sample that has any are called."""
    for _, sample in log.samples():
        if found := part({"": sample}, "", "scores"):
            return frozenset(found)
    return frozenset()


def _prompt(header: Mapping[str, Any]) -> dict[str, Any]:
    """The solvers that made the requests, and how the model decoded."""
    plan, told = part(header, "plan"), part(header, "eval")
    parts = {
        "steps": items(plan.get("steps")),
        "config": part(plan, "config"),
        "generate": part(told, "model_generate_config"),
    }
    known = {key: _plain(value) for key, value in parts.items() if value}
    return {"id": "plan", "version": 1, **known}


def _plain(value: Any) -> Any:
    """A JSON value without what cannot be written as one."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, NotFinite) else value


def _task(header: Mapping[str, Any], claims: tuple[Claim, ...]) -> TaskFacts:
    told = part(header, "eval")
    dataset = part(told, "dataset")
    scorers = _plain(items(told.get("scorers")) or _scorers(header))
    origin = {"dataset": dataset.get("name"), "location": dataset.get("location")}
    names = dict.fromkeys(claim.metric for claim in claims)
    facts = MetricFacts(passes=True, low=0.0, high=1.0, help=f"as {TOOL} scores it")
    graded = {name: facts if _graded(header, name) else MetricFacts(help=facts.help) for name in names}
    arguments = _plain(part(told, "task_args"))
    return TaskFacts(
        version=shown(told.get("task_version", "unknown")),
        settings={"scorers": scorers} | ({"arguments": arguments} if arguments else {}),
        origin={key: value for key, value in origin.items() if isinstance(value, str)},
        metrics=graded,
    )


def _graded(header: Mapping[str, Any], name: str) -> bool:
    """Whether a metric is summed up by accuracy: its values are grades from 0 to 1."""
    scores = [item for item in items(part(header, "results").get("scores")) if isinstance(item, dict)]
    return any(name in _called(item) and "accuracy" in part(item, "metrics") for item in scores)


def _scorers(header: Mapping[str, Any]) -> list[Any]:
    """The scorers of a log whose header does not list them."""
    scores = [item for item in items(part(header, "results").get("scores")) if isinstance(item, dict)]
    return [{"name": item.get("scorer"), "options": part(item, "params")} for item in scores]


def _notes(told: Mapping[str, Any]) -> tuple[str, ...]:
    limit = part(told, "config").get("limit")
    return (f"Inspect was run with --limit {shown(limit)}",) if limit is not None else ()


def _row(log: _Log, place: str, sample: Any) -> Row | Problem:
    """One sample of the log, which is one attempt."""
    where = f"{log.path}:{place}"
    if not isinstance(sample, dict):
        return Problem("no object", where)
    name, epoch = sample.get("id"), sample.get("epoch", 1)
    if isinstance(name, bool) or not isinstance(name, int | str):
        return Problem("id is missing, or neither a number nor a text", where)
    if type(epoch) is not int or epoch < 1:
        return Problem("epoch is no whole number from 1", where)
    attached = part(sample, "attachments")
    known = _sample(str(name), sample, attached)
    output = part(sample, "output")
    text = _completion_text(output, attached)
    error = _error(sample)
    if error is not None:
        outcome = Outcome.SKIPPED if error[0] == "Invalidated" else Outcome.INFRA_ERROR
        return Row(0, known, epoch - 1, outcome, {"file": place}, error=error)
    outcome = _outcome(sample, output, text)
    scored = _scored(sample)
    return Row(
        cell=0,
        sample=known,
        epoch=epoch - 1,
        outcome=outcome,
        place={"file": place},
        completion=_completion(sample, output, text, outcome),
        metrics=scored.metrics,
        extracted=scored.answer,
        why=scored.why,
        unscored="Inspect's log has no score of it",
        labels=_timing(sample),
    )


def _sample(name: str, sample: Mapping[str, Any], attached: Mapping[str, Any]) -> Sample:
    target = sample.get("target", "")
    targets = [shown(item) for item in target] if isinstance(target, list) else [shown(target)]
    choices = tuple(shown(item) for item in items(sample.get("choices")))
    letters = [ord(item) - ord("A") for item in targets if len(item) == 1 and "A" <= item <= "Z"]
    gold = tuple(letters) if choices and len(letters) == len(targets) and max(letters) < len(choices) else ()
    text = _text(sample.get("input"), attached)
    return Sample(name, text, " | ".join(targets), choices, gold, metadata=labels(sample.get("metadata")))


def _text(value: Any, attached: Mapping[str, Any]) -> str:
    """A message's content, or messages, as text; what was put aside as an attachment is put back."""
    if isinstance(value, str):
        kept = attached.get(value.removeprefix("attachment://")) if value.startswith("attachment://") else None
        return kept if isinstance(kept, str) else str(value)
    if isinstance(value, list):
        return "\n\n".join(filter(None, (_text(item, attached) for item in value)))
    if isinstance(value, dict):
        inner = next((value[key] for key in ("content", "text", "reasoning") if key in value), None)
        return "" if inner is None or not isinstance(inner, str | list) else _text(inner, attached)
    return ""


def _completion_text(output: Mapping[str, Any], attached: Mapping[str, Any]) -> str:
    first = next(iter(items(output.get("choices"))), None)
    message = _text(part({"": first}, "", "message").get("content"), attached)
    return message or _text(output.get("completion"), attached)


def _error(sample: Mapping[str, Any]) -> tuple[str, str] | None:
    error = sample.get("error")
    if error:
        told = error.get("message") if isinstance(error, dict) else error
        return "SampleError", shown(told or "Inspect names no reason")[:MOST_TEXT]
    if sample.get("invalidation"):
        return "Invalidated", "the sample is marked as invalidated"
    return None


def _outcome(sample: Mapping[str, Any], output: Mapping[str, Any], text: str) -> Outcome:
    """How the answer ended. One that ran into a limit was cut off, and Inspect scores what there is."""
    first = next(iter(items(output.get("choices"))), None)
    ended = _ENDED.get(shown(part({"": first}, "").get("stop_reason")))
    if ended is not None:
        return ended
    if sample.get("limit"):
        return Outcome.TRUNCATED
    return Outcome.OK if text.strip() else Outcome.EMPTY


def _completion(sample: Mapping[str, Any], output: Mapping[str, Any], text: str, outcome: Outcome) -> Completion:
    usages = [item for item in part(sample, "model_usage").values() if isinstance(item, dict)] or [
        part(output, "usage")
    ]
    # With several models (a grader beside the one evaluated) a sum would be of both.
    usage = usages[0] if len(usages) == 1 else part(output, "usage")
    tokens = {f"tokens_{way}": whole(usage.get(f"{way}put_tokens")) for way in ("in", "out")}
    return Completion(text, finish=_FINISH.get(outcome), **tokens)  # type: ignore[arg-type]


def _timing(sample: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: number(sample.get(key)) for key in ("total_time", "working_time")}
    return {key: value for key, value in found.items() if value is not None}


def _scored(sample: Mapping[str, Any]) -> _Scored:
    metrics: dict[str, Value] = {}
    answer, why = None, ""
    for scorer, score in part(sample, "scores").items():
        if not isinstance(score, dict):
            continue
        metrics.update(_values(scorer, score.get("value")))
        answer = answer if answer is not None else word(score.get("answer"))
        why = why or (word(score.get("explanation")) or "")[:MOST_TEXT]
    return _Scored(metrics, answer, why)


def _values(name: str, value: Any) -> Iterator[tuple[str, Value]]:
    """A score's value as metrics: one, or one for each part of a value that has several. What has no value has none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ((f"{name}.{key}", found) for found in _grade(inner))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from ((f"{name}.{place}", found) for found in _grade(inner))
    else:
        yield from ((name, found) for found in _grade(value))


def _grade(value: Any) -> Iterator[Value]:
    """A value as Inspect counts it: letters and yes and no as numbers, other texts as labels."""
    if isinstance(value, bool):
        yield value
    elif (found := number(value)) is not None:
        yield found
    elif isinstance(value, str) and not isinstance(value, NotFinite):
        graded = _GRADES.get(value, _WORDS.get(value.casefold()))
        yield value if graded is None else graded


def _called(item: Mapping[str, Any]) -> list[str]:
    """What a row of the results may be called among our metrics."""
    name, scorer = shown(item.get("name")), shown(item.get("scorer"))
    return [name, f"{scorer}.{name}"]


def _claims(header: Mapping[str, Any], keys: frozenset[str]) -> Iterator[Claim]:
    results, config = part(header, "results"), part(header, "eval", "config")
    reducers = items(config.get("epochs_reducer"))
    epochs = whole(config.get("epochs")) or 1
    for item in items(results.get("scores")):
        if not isinstance(item, dict):
            continue
        metrics = part(item, "metrics")
        name = _name_of(item, keys)
        reducer = word(item.get("reducer")) or (shown(reducers[0]) if len(reducers) == 1 else None)
        plain = epochs == 1 or reducer in (None, "mean", "mean_score")
        stderr = number(part(metrics, "stderr").get("value"))
        count = whole(item.get("scored_samples"))
        for metric, told in metrics.items():
            value = number(part({"": told}, "").get("value"))
            if value is None or metric.rpartition("/")[2] in _SPREAD:
                continue
            mean = plain and metric.rpartition("/")[2] in _MEANS
            why = "" if mean else f"it is {metric} with the reducer {reducer}" if not plain else f"it is {metric}"
            called = name if metric.rpartition("/")[2] in _MEANS and plain else f"{name} {metric}"
            yield Claim(0, called, value, count or whole(results.get("completed_samples")), stderr, mean, why)


def _name_of(item: Mapping[str, Any], keys: frozenset[str]) -> str:
    """A row of the results under the name that its values have: a part of a scorer's value goes by both names."""
    name, scorer = shown(item.get("name")), shown(item.get("scorer"))
    return f"{scorer}.{name}" if name not in keys and scorer in keys else name
