"""EvalPlus: `NAME_eval_results.json`, in its present form and that of versions before 0.2.

A solution passes `base` where it passes the benchmark's own tests, and `plus` where it passes EvalPlus's further ones
as well: what EvalPlus's pass@1 counts. A program that ran out of time has failed; that is the program's doing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.errors import Problem
from assay.importers.base import CellFacts, Claim, MetricFacts, Row, Source, TaskFacts
from assay.importers.bounded import items, mapping, number, part, read_json, refuse, word
from assay.importers.registry import Importer
from assay.records import Completion, Outcome, Sample
from assay.run.imported import differs

TOOL = "evalplus"
_ENDING = "_eval_results.json"
_PASSED = {"pass": True, "success": True, "fail": False, "failed": False, "timeout": False, "timed out": False}
_ALLOWED = "NAME_eval_results.json of EvalPlus"
_METRICS = {
    "plus": MetricFacts(passes=True, help="passes the benchmark's own tests and EvalPlus's further ones"),
    "base": MetricFacts(passes=True, help="passes the benchmark's own tests"),
}


def read(path: Path) -> Source:
    """The results in a file. Raises ConfigError for whatever is no result of EvalPlus."""
    file = _file(path)
    content = mapping(read_json(file), file, "the whole")
    problems = mapping(content.get("eval"), file, "eval")
    if not problems:
        raise refuse(file, "no problem in it", allowed=_ALLOWED)
    task = _task(problems)
    model = file.name.removesuffix(_ENDING) or file.parent.name

    def rows(only: str | None = None) -> Iterator[Row | Problem]:
        for name, solutions in problems.items():
            yield from _rows(file, name, solutions)

    sound = [row for row in rows() if isinstance(row, Row)]
    plus = any("plus" in row.metrics for row in sound)
    digest = word(content.get("hash"))
    return Source(
        tool=TOOL,
        version=word(content.get("version")) or "unknown",
        title=model,
        files=(file,),
        models={model: {"model": model}},
        prompts={"verbatim@1": {"id": "verbatim", "version": 1}},
        tasks={
            task: TaskFacts(
                version=digest or "unknown",
                settings={"tests": "plus" if plus else "base"},
                origin={"hash": digest} if digest else {},
                metrics=_METRICS,
            )
        },
        cells=(CellFacts(model, "verbatim@1", task),),
        rows=rows,
        claims=tuple(_claims(file, content, sound)) if sound else (),
    )


IMPORTER = Importer("EvalPlus: *_eval_results.json", read)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted({*path.glob("*eval_results.json")})
    if len(found) != 1:
        named = ", ".join(file.name for file in found[:5]) or "none"
        raise refuse(path, f"{len(found)} files of results ({named})", allowed=_ALLOWED)
    return found[0]


def _task(problems: Mapping[str, Any]) -> str:
    """The benchmark, by what comes before the number of its problems: `HumanEval/0`, `Mbpp/2`."""
    names = {name.partition("/")[0].casefold() for name in problems}
    return names.pop() if len(names) == 1 else "mixed"


def _rows(file: Path, name: str, solutions: Any) -> Iterator[Row | Problem]:
    """The solutions of one problem, in either form of the file."""
    listed = solutions if isinstance(solutions, list) else _older(solutions)
    if not listed:
        yield Problem(f"eval.{name}: no solution in it", str(file), allowed="a list of solutions with their status")
    for epoch, solution in enumerate(listed):
        place = f"eval.{name}[{epoch}]"
        if not isinstance(solution, dict):
            yield Problem(f"{place}: no object", str(file))
            continue
        if wrong := _wrong(name, solution):
            yield Problem(f"{place}: {wrong}", str(file), allowed=f"a status: {', '.join(_PASSED)}")
            continue
        yield _row(name, epoch, solution)


def _older(value: Any) -> list[Any]:
    """The form before 0.2: for each of `nfiles` solutions, [status, details] under `base` and `plus`."""
    base, plus = items(part({"": value}, "").get("base")), items(part({"": value}, "").get("plus"))
    found = []
    for number_, one in enumerate(base):
        further = plus[number_] if number_ < len(plus) else (None if not plus else [])
        found.append({"base_status": _first(one), "plus_status": _first(further) if plus else None})
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else "missing"


def _wrong(name: str, solution: Mapping[str, Any]) -> str | None:
    base, plus = solution.get("base_status"), solution.get("plus_status")
    if not isinstance(base, str) or base not in _PASSED:
        return f"base_status is {str(base)[:40]!r}"
    if plus is not None and (not isinstance(plus, str) or plus not in _PASSED):
        return f"plus_status is {str(plus)[:40]!r}"
    if not isinstance(solution.get("solution", ""), str):
        return "solution is no text"
    if solution.get("task_id", name) != name:
        return f"is of {str(solution['task_id'])[:40]!r}"
    return None


def _row(name: str, epoch: int, solution: Mapping[str, Any]) -> Row:
    base, plus = solution["base_status"], solution.get("plus_status")
    metrics = {"base": _PASSED[base]}
    if plus is not None:
        metrics["plus"] = _PASSED[base] and _PASSED[plus]
    statuses = {"base_status": base} | ({"plus_status": plus} if plus is not None else {})
    text = solution.get("solution", "")
    return Row(
        cell=0,
        sample=Sample(name, name),
        epoch=epoch,
        outcome=Outcome.EMPTY if "solution" in solution and not text.strip() else Outcome.OK,
        place={"file": f"eval.{name}[{epoch}]"},
        completion=Completion(text, form="program"),
        metrics=metrics,
        why=", ".join(f"{key.removesuffix('_status')} {value}" for key, value in statuses.items()),
        labels=statuses,
    )


def _claims(file: Path, content: Mapping[str, Any], rows: list[Row]) -> Iterator[Claim]:
    """The tool's own pass@k, computed again here: it weights every problem alike, and takes k of its solutions.

    Raises ConfigError where the solutions beside it give another number.
    """
    totals = Counter(row.sample.id for row in rows)
    alike = len(set(totals.values())) == 1
    for name in ("plus", "base"):
        passed = Counter(dict.fromkeys(totals, 0))
        passed.update(row.sample.id for row in rows if row.metrics.get(name))
        for key, value in part(content, "pass_at_k", name).items():
            told, k = number(value), key.removeprefix("pass@")
            if told is None or not k.isascii() or not k.isdigit():
                continue
            ours = _pass_at(list(totals.values()), [passed[problem] for problem in totals], int(k[:9]))
            if ours is None or differs(told, ours):
                given = "cannot give it" if ours is None else f"give {ours:.6g}"
                raise refuse(file, f"EvalPlus reports {key} of {name} {told:.6g}, and the solutions beside it {given}")
            if key == "pass@1" and alike:
                yield Claim(0, name, told)


def _pass_at(counts: list[int], passes: list[int], k: int) -> float | None:
    """The mean of pass@k over problems; None where a problem has fewer than k solutions."""
    from assay.stats.passk import pass_at_k

    return float(pass_at_k(counts, passes, k).mean()) if 0 < k <= min(counts) else None
