"""A file of problems in HumanEval's shape in the place of a task's own data: the same tests extended, or others.

    {"task_id": …, "prompt": …, "entry_point": …, "test": …, "canonical_solution": …}

`test` defines `check(candidate)`, which is called unless `test` calls it itself; `canonical_solution` may be missing.
Every row must fit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from assay.data.sources import File, Row, Skip, Source
from assay.errors import ConfigError, Problem
from assay.records import Sample
from assay.tasks.base import Task

_KEYS = ("task_id", "prompt", "entry_point", "test")
_ALLOWED = "task_id, prompt, entry_point, test, perhaps canonical_solution; all of them text"
_DEFINES = re.compile(r"^def check\(", re.MULTILINE)
_CALLS = re.compile(r"^check\(", re.MULTILINE)


def with_problems(task: Task, path: str) -> Task:
    """`task` with the problems of a file, JSON lines, plain or gzip. Raises ConfigError where it is no code task."""
    if task.kind != "code":
        raise ConfigError(Problem(f"{task.name} is no code task", "--problems", allowed="a task of kind code"))
    source = Source(
        File(path),
        "jsonl.gz" if path.endswith(".gz") else "jsonl",
        parse,
        None,
        origin=f"the user's file {Path(path).name}",
        licence="the user's own",
        strict=True,
    )
    return replace(task, sources=(source,))


def parse(row: Row, index: int) -> Sample | Skip:
    """One problem; the same fields as HumanEval's."""
    number = row.get("task_id")
    row = {**row, "task_id": str(number) if type(number) is int else number}
    if wrong := [key for key in _KEYS if not isinstance(row.get(key), str) or not row[key].strip()]:
        return Skip(f"{', '.join(wrong)} must be text", allowed=_ALLOWED)
    target = row.get("canonical_solution") or ""
    if not isinstance(target, str):
        return Skip("canonical_solution must be text", allowed=_ALLOWED)
    name, test = row["entry_point"], row["test"].rstrip()
    if not name.isidentifier():
        return Skip(f"entry_point {name[:60]!r} is no name of a function", allowed="a Python name")
    if _DEFINES.search(test) and not _CALLS.search(test):
        test = f"{test}\n\ncheck({name})"
    return Sample(
        id=row["task_id"],
        input=row["prompt"],
        target=target,
        fields={"entry_point": name, "setup": "", "tests": f"{test}\n", "complete": True},
    )
