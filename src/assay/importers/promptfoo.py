"""promptfoo: the JSON of `promptfoo eval -o FILE.json` (results of version 3).

A cell is a provider with a prompt, a sample is a test; with `repeat` the same test again is another epoch of it. What
promptfoo books as an error (failure reason 2) is an error of infrastructure and not a failed test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from assay.errors import Problem
from assay.files import digest_of
from assay.importers.base import MOST_TEXT, CellFacts, Claim, MetricFacts, Row, Source, TaskFacts
from assay.importers.bounded import items, labels, listing, mapping, number, part, read_json, refuse, shown, whole, word
from assay.importers.registry import Importer
from assay.records import Completion, Outcome, Sample, Value

TOOL = "promptfoo"
_VERSION = 3
_ALLOWED = "the JSON of promptfoo eval -o FILE.json, results of version 3"
_ERROR = 2
"""promptfoo's failure reason for what went wrong before anything could be judged."""

_METRICS = {
    "pass": MetricFacts(passes=True, help="every assertion of the test holds, as promptfoo weighs them"),
    "score": MetricFacts(help="promptfoo's weighted mean of the assertions' scores"),
}


@dataclass(frozen=True)
class _File:
    """The file's parts: its columns (provider × prompt) and its rows."""

    path: Path
    columns: list[dict[str, Any]]
    rows: list[Any]
    repeat: int


def read(path: Path) -> Source:
    """The results in a file. Raises ConfigError for whatever is no result of promptfoo."""
    content = mapping(read_json(path), path, "the whole")
    results = mapping(content.get("results"), path, "results")
    if results.get("version") != _VERSION:
        raise refuse(path, f"results of version {shown(results.get('version'))[:20]}", allowed=_ALLOWED)
    columns = [
        mapping(item, path, "results.prompts[]") for item in listing(results.get("prompts"), path, "results.prompts")
    ]
    rows = listing(results.get("results"), path, "results.results")
    if not columns or not rows:
        raise refuse(path, "no result in it", allowed=_ALLOWED)
    file = _File(path, columns, rows, _repeat(content))
    _counted(file, part(results, "stats"))
    prompts = _prompts(columns)
    return Source(
        tool=TOOL,
        version=word(part(content, "metadata").get("promptfooVersion")) or "unknown",
        title=word(part(content, "config").get("description")) or path.stem,
        files=(path,),
        models={_provider(column): {"model": _provider(column)} for column in columns},
        prompts=dict(prompts.values()),
        tasks={"tests": TaskFacts(settings=_settings(content), metrics=_METRICS)},
        cells=tuple(CellFacts(_provider(column), prompts[_key(column)][0], "tests") for column in columns),
        rows=partial(_rows, file),
        claims=tuple(claim for cell, column in enumerate(columns) for claim in _claims(cell, column)),
    )


IMPORTER = Importer("promptfoo: the JSON of promptfoo eval -o FILE.json", read)


def _repeat(content: Mapping[str, Any]) -> int:
    given = part(content, "runtimeOptions").get("repeat") or part(content, "config", "evaluateOptions").get("repeat")
    return whole(given) or 1


def _counted(file: _File, stats: Mapping[str, Any]) -> None:
    """As many rows as the tool counted: a file that was cut and mended is refused."""
    counts = [whole(stats.get(key)) for key in ("successes", "failures", "errors")]
    known = [count for count in counts if count is not None]
    if len(known) == len(counts) and sum(known) != len(file.rows):
        message = f"{len(file.rows)} results, and its statistics count {sum(known)}: some are missing"
        raise refuse(file.path, message)


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """What shapes scores beside the tests themselves."""
    default = part(content, "config", "defaultTest")
    return {"default_test": digest_of(default)} if default else {}


def _provider(column: Mapping[str, Any]) -> str:
    given = column.get("provider")
    if isinstance(given, dict):
        given = word(given.get("label")) or given.get("id")
    return word(given) or "provider"


def _key(column: Mapping[str, Any]) -> str:
    return digest_of([shown(column.get("raw")), shown(column.get("label"))])


def _prompts(columns: list[dict[str, Any]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """For each different prompt its id here and what it is; numbered in the order of the file."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for column in columns:
        number_ = len(found) + 1
        body = {"id": f"prompt-{number_}", "version": 1, "label": shown(column.get("label"))[:MOST_TEXT]}
        found.setdefault(_key(column), (f"prompt-{number_}@1", {**body, "template": shown(column.get("raw"))}))
    return found


def _rows(file: _File, only: str | None = None) -> Iterator[Row | Problem]:
    epochs: dict[tuple[int, str], int] = {}
    for place, item in enumerate(file.rows):
        where = f"results.results[{place}]"
        if wrong := _wrong(file, item):
            yield Problem(f"{where}: {wrong}", str(file.path), allowed=_ALLOWED)
            continue
        cell = item["promptIdx"]
        sample = _sample(file, item)
        epoch = 0
        if file.repeat > 1:
            epoch = epochs[cell, sample.id] = epochs.get((cell, sample.id), -1) + 1
        yield _row(cell, sample, epoch, item, {"file": where})


def _wrong(file: _File, item: Any) -> str | None:
    if not isinstance(item, dict):
        return "no object"
    cell, test = whole(item.get("promptIdx")), whole(item.get("testIdx"))
    if cell is None or cell >= len(file.columns):
        return f"promptIdx is {shown(item.get('promptIdx'))[:20]}, and there are {len(file.columns)} prompts"
    if test is None:
        return "testIdx is missing, or no whole number"
    if not isinstance(item.get("success"), bool):
        return "success is missing, or neither true nor false"
    provider = item.get("provider")
    body = part(item, "provider")
    names = [body.get("id"), body.get("label"), provider]
    if _provider(file.columns[cell]) not in names:
        return f"is of another provider than its column, {_provider(file.columns[cell])[:60]!r}"
    return None


def _sample(file: _File, item: Mapping[str, Any]) -> Sample:
    """The test: its variables are the input, its assertions the target."""
    test = part(item, "testCase")
    variables = part(item, "vars") or part(test, "vars")
    asserted = items(test.get("assert"))
    name = str(item["testIdx"]) if file.repeat == 1 else digest_of([variables, asserted])[:16]
    values = [value for value in variables.values() if isinstance(value, str)]
    text = values[0] if len(variables) == 1 and values else shown(variables)
    target = "; ".join(
        f"{shown(one.get('type'))} {shown(one.get('value', ''))}".strip() for one in asserted if isinstance(one, dict)
    )
    return Sample(name, text, target, metadata=labels(test.get("metadata")))


def _row(cell: int, sample: Sample, epoch: int, item: Mapping[str, Any], place: Mapping[str, Any]) -> Row:
    response, grading = part(item, "response"), part(item, "gradingResult")
    output = response.get("output")
    text = "" if output is None else shown(output)
    prompt = part(item, "prompt").get("raw")
    more = {"prompt": shown(prompt)} if prompt is not None else {}
    latency = {"latency_ms": item["latencyMs"]} if number(item.get("latencyMs")) is not None else {}
    error = _error(item, grading)
    if error is not None:
        return Row(cell, sample, epoch, Outcome.INFRA_ERROR, place, error=error, labels=latency, more=more)
    return Row(
        cell=cell,
        sample=sample,
        epoch=epoch,
        outcome=_outcome(response, text),
        place=place,
        completion=_completion(response, text),
        metrics=_metrics(item, grading),
        why=shown(grading.get("reason") or "")[:MOST_TEXT],
        labels=latency,
        more=more,
    )


def _error(item: Mapping[str, Any], grading: Mapping[str, Any]) -> tuple[str, str] | None:
    """What went wrong before anything could be judged; None for a test that passed or failed."""
    failed = part(item, "response").get("error")
    if item.get("failureReason") != _ERROR and not (failed and not grading):
        return None
    return "ProviderError", shown(item.get("error") or failed or "promptfoo names no reason")[:MOST_TEXT]


def _outcome(response: Mapping[str, Any], text: str) -> Outcome:
    if response.get("isRefusal") is True:
        return Outcome.REFUSED
    if response.get("finishReason") == "length":
        return Outcome.TRUNCATED
    return Outcome.OK if text.strip() else Outcome.EMPTY


def _completion(response: Mapping[str, Any], text: str) -> Completion:
    usage = part(response, "tokenUsage")
    tokens = [whole(usage.get(key)) or None for key in ("prompt", "completion")]
    return Completion(text, tokens_in=tokens[0], tokens_out=tokens[1])


def _metrics(item: Mapping[str, Any], grading: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {"pass": item["success"]}
    score = number(item.get("score")) if number(item.get("score")) is not None else number(grading.get("score"))
    if score is not None:
        found["score"] = score
    named = part(item, "namedScores") or part(grading, "namedScores")
    return found | {f"named {key}": value for key, one in named.items() if (value := number(one)) is not None}


def _claims(cell: int, column: Mapping[str, Any]) -> Iterator[Claim]:
    """The column's own counts; tests that ended in an error are in neither."""
    metrics = part(column, "metrics")
    passed, failed = whole(metrics.get("testPassCount")), whole(metrics.get("testFailCount"))
    if passed is None or failed is None or not passed + failed:
        return
    yield Claim(cell, "pass", passed / (passed + failed), passed + failed)
    score, errors = number(metrics.get("score")), whole(metrics.get("testErrorCount"))
    if score is not None:
        yield Claim(cell, "score", score / (passed + failed + (errors or 0)), passed + failed + (errors or 0))
