"""A small rubric, runs to judge with it, and files filled in, for tests of judging."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

import assay
from assay import judged
from assay.judging.queue import Options, Queue
from assay.judging.rubric import Rubric
from assay.judging.rubric_file import parse
from support.evals import spec
from support.stub import Stub

TEXT = """---
id: fit
version: 1
description: Whether an answer fits.
dimensions:
  fit:
    kind: judged
    scale: [1, 3]
    anchors:
      - {level: 1, text: "does not fit"}
      - {level: 2, text: "fits a little"}
      - {level: 3, text: "fits"}
  ease:
    kind: judged
    scale: [0, 1]
    integer: false
    anchors:
      - {level: 0, text: "hard"}
      - {level: 1, text: "easy"}
  right:
    kind: measured
    scale: [0, 1]
    metric: accuracy
examples:
  - input: "Is 2 even?"
    text: "Yes, it is."
    scores: {fit: 3, ease: 1}
  - input: "Is 3 even?"
    text: "Perhaps."
    scores: {fit: 1, ease: 0}
composite: fit + ease + 2·right
pass_mark: 4
---
Read the question, then the answer.
"""

RUBRIC = parse(TEXT, "fit.md")
Fill = Callable[[dict[str, Any]], dict[str, Any]]


def run(folder: Path, stub: Stub, count: int = 20, name: str = "run", **more: Any) -> assay.Run:
    """A sealed run of `count` questions."""
    folder.mkdir(exist_ok=True)
    return assay.evaluate(spec(folder, stub.url, count, **more), out=folder / name)


def export(run: assay.Run, out: Path, rubric: Rubric = RUBRIC, judge: str | None = None, **options: Any) -> Queue:
    """Hand a run's candidates out; returns the only queue."""
    ((_, queue),) = judged.export([run.path], rubric, out, Options(**options), judge=judge)
    return queue


def usual(row: dict[str, Any]) -> dict[str, Any]:
    """What a judge says who finds everything middling."""
    return {"fit": 2, "ease": 0.5}


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of an exported CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(source: Path, out: Path, said: Fill = usual) -> Path:
    """The file with what `said` returns put into each row; None from it leaves the row out."""
    rows = rows_of(source)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, **said(row)} for row in rows if said(row) is not None)
    return out


def fill_json(source: Path, out: Path, said: Fill = usual) -> Path:
    """The same for a JSON file."""
    value = orjson.loads(source.read_bytes())
    for row in value["rows"]:
        row["scores"] = said(row)
    out.write_bytes(orjson.dumps(value))
    return out


def judgements(run: assay.Run) -> list[dict[str, Any]]:
    """Every line of the run's judgements, headers among them."""
    paths = sorted((run.path / "judgements").glob("*.jsonl"))
    return [orjson.loads(line) for path in paths for line in path.read_bytes().splitlines()]
