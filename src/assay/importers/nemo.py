"""NeMo Evaluator: `results.yml`, which has totals only: a value for each task, metric and score, with its statistics.

The file does not count samples unless its statistics have `count`. Where they give the population's standard deviation
s and the standard error e instead, the count follows: (s/e)² is n, or n-1 where e is s/√(n-1). For scores of 0 and 1,
which show in s² = m(1-m), the one is taken for which m·n is a whole number; in every other case it is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.document import Word
from assay.document import read as read_document
from assay.importers.base import CellFacts, Claim, MetricFacts, Source, TaskFacts, no_rows
from assay.importers.bounded import mapping, number, part, refuse, shown, whole, word
from assay.importers.registry import Importer

TOOL = "nemo-evaluator"
_ALLOWED = "results.yml of NeMo Evaluator, or the folder that it is in"
_NEAR = 1e-6
_MOST = 100_000_000
_SETTINGS = ("temperature", "top_p", "max_new_tokens", "limit_samples", "extra", "task")


def read(path: Path) -> Source:
    """The totals in a file. Raises ConfigError that names the line or the key of what is wrong with it."""
    file = path / "results.yml" if path.is_dir() else path
    document = read_document(file)
    if document.problems:
        from assay.errors import ConfigError

        raise ConfigError(document.problems)
    content = mapping(document.value, file, "the whole")
    results = mapping(content.get("results"), file, "results")
    found = dict(_scores(results, file))
    if not found:
        raise refuse(file, "no scores in it", allowed=_ALLOWED)
    return _source(file, content, found)


IMPORTER = Importer("NeMo Evaluator: results.yml (totals only)", read)


def _scores(results: Mapping[str, Any], file: Path) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    """Each task with its scores, then each group that is no task and has scores of its own."""
    seen: set[str] = set()
    for kind in ("tasks", "groups"):
        for name, entry in part(results, kind).items():
            for called, scores in _entry(shown(name), entry, f"results.{kind}.{name}", file):
                if called not in seen and scores:
                    seen.add(called)
                    yield called, scores


def _entry(name: str, entry: Any, key: str, file: Path) -> Iterator[tuple[str, dict[str, Mapping[str, Any]]]]:
    known = mapping(entry, file, key)
    scores: dict[str, Mapping[str, Any]] = {}
    for metric, body in part(known, "metrics").items():
        for score, one in part(mapping(body, file, f"{key}.metrics.{metric}"), "scores").items():
            where = f"{key}.metrics.{metric}.scores.{score}"
            told = mapping(one, file, where)
            if number(told.get("value")) is None:
                raise refuse(file, f"{where}.value is no finite number: {shown(told.get('value'))[:60]!r}")
            scores[f"{metric}.{score}"] = told
    yield name, scores
    for below, inner in part(known, "groups").items():
        yield from _entry(f"{name}.{below}", inner, f"{key}.groups.{below}", file)


def _source(file: Path, content: Mapping[str, Any], found: Mapping[str, dict[str, Mapping[str, Any]]]) -> Source:
    endpoint = part(content, "target", "api_endpoint")
    parameters = part(content, "config", "params")
    model = word(endpoint.get("model_id")) or "model"
    type_ = word(endpoint.get("type"))
    asked = {key: parameters[key] for key in _SETTINGS if parameters.get(key) not in (None, {})}
    claims = tuple(
        _claim(cell, name, told) for cell, scores in enumerate(found.values()) for name, told in scores.items()
    )
    return Source(
        tool=TOOL,
        version=_version(content),
        title=model,
        files=(file,),
        models={model: {"model": model}},
        prompts={"harness@1": {"id": "harness", "version": 1, "endpoint": type_, **_plain(asked)}},
        tasks={
            name: TaskFacts(
                settings={"type": word(part(content, "config").get("type"))},
                metrics={score: _facts(told) for score, told in scores.items()},
            )
            for name, scores in found.items()
        },
        cells=tuple(CellFacts(model, "harness@1", name) for name in found),
        rows=no_rows,
        claims=claims,
    )


def _plain(value: Any) -> Any:
    """A document's values as plain JSON ones."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Word) else value


def _version(content: Mapping[str, Any]) -> str:
    known = part(content, "metadata", "versioning")
    return word(known.get("nemo_evaluator")) or word(content.get("git_hash")) or "unknown"


def _facts(told: Mapping[str, Any]) -> MetricFacts:
    return MetricFacts(passes=_binary(told), help=f"as {TOOL} reports it")


def _binary(told: Mapping[str, Any]) -> bool:
    """Whether the scores can only be 0 and 1: the population's variance is then m(1-m), and of no others on [0, 1]."""
    value, stats = number(told.get("value")), part(told, "stats")
    deviation = number(stats.get("stddev"))
    if value is None or deviation is None or not 0 < value < 1:
        return False
    return math.isclose(deviation**2, value * (1 - value), rel_tol=_NEAR)


def _claim(cell: int, name: str, told: Mapping[str, Any]) -> Claim:
    stats = part(told, "stats")
    value, stderr = number(told["value"]), number(stats.get("stderr"))
    given = whole(stats.get("count"))
    count = given if given is not None else _derived(told)
    counted = "" if given is not None or count is None else "derived from its standard deviation and standard error"
    return Claim(cell, name, float(value or 0.0), count, stderr, mean=False, why="totals only", counted=counted)


def _derived(told: Mapping[str, Any]) -> int | None:
    """The count that standard deviation and standard error imply for scores of 0 and 1; None where they do not."""
    stats = part(told, "stats")
    deviation, error, value = (number(item) for item in (stats.get("stddev"), stats.get("stderr"), told.get("value")))
    if not _binary(told) or not deviation or not error or value is None:
        return None
    ratio = (deviation / error) ** 2
    if not 1 <= ratio <= _MOST or abs(ratio - round(ratio)) > _NEAR * ratio:
        return None
    fits = [n for n in (round(ratio), round(ratio) + 1) if abs(value * n - round(value * n)) <= _NEAR * n]
    return fits[0] if len(fits) == 1 else None
