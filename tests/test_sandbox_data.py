"""Real problems and real samples through the pool: reference solutions pass, labels are reproduced."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.data.dataset import load
from assay.run.executions import reference
from assay.sandbox.execution import Execution, Program, Settings
from assay.sandbox.pool import Pool
from assay.scoring.code import pass_at_1
from assay.tasks.registry import find

pytestmark = [pytest.mark.data, pytest.mark.slow]

Row = dict[str, Any]

DIFFERENCES = json.loads((Path(__file__).parent / "data" / "label_differences.json").read_text())


def executed(programs: Sequence[Program], settings: Settings | None = None) -> list[Execution]:
    async def run() -> list[Execution]:
        async with Pool(settings or Settings()) as pool:
            return await asyncio.gather(*(pool.run(program) for program in programs))

    return asyncio.run(run())


def rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize(
    ("task", "count", "broken"),
    [
        ("humaneval", 164, set()),
        ("humaneval_plus", 164, {"HumanEval/32"}),
        ("mbpp_full", 974, set()),
        ("mbpp_sanitized", 427, set()),
        ("mbpp_plus", 378, {"Mbpp/255"}),
    ],
)
@pytest.mark.timeout(900)  # MBPP+/599 adds up hundreds of millions of numbers
def test_reference_solutions_pass(data: Path, task: str, count: int, broken: set[str]) -> None:
    found = find(task)
    samples = list(load(task, found.sources, version=found.version))
    scorer = pass_at_1({})
    programs = [scorer.program(sample, reference(sample)).program for sample in samples]
    outcomes = executed(programs, scorer.settings_for(samples))
    assert len(outcomes) == count
    assert {sample.id for sample, outcome in zip(samples, outcomes, strict=True) if not outcome.passed} == broken
    assert {sample.id for sample in samples if sample.metadata.get("known_broken")} == broken
    assert not any(outcome.forgeable for outcome in outcomes)


def test_what_cannot_cross_passes_where_it_may_share_the_process(data: Path) -> None:
    task = find("mbpp_plus")
    samples = [sample for sample in load("mbpp_plus", task.sources, version=task.version) if sample.id == "Mbpp/255"]
    scorer = pass_at_1({"shared": True})
    programs = [scorer.program(sample, reference(sample)).program for sample in samples]
    (outcome,) = executed(programs, scorer.settings_for(samples))
    assert (outcome.passed, outcome.forgeable) == (True, True)


def differing(name: str, verdicts: Iterable[tuple[str, int, Any, bool]]) -> set[tuple[str, int]]:
    """The samples whose label is not ours, but for those whose outcome depends on the environment."""
    open_ = {(row["id"], row["sample"]) for row in DIFFERENCES if row["file"] == name and row["ours"] is None}
    found = {(id_, sample) for id_, sample, label, ours in verdicts if (label in (True, "passed")) is not ours}
    return found - open_


def explained(name: str) -> set[tuple[str, int]]:
    return {(row["id"], row["sample"]) for row in DIFFERENCES if row["file"] == name and row["ours"] is not None}


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-0613", "starcoder"])
@pytest.mark.parametrize("kind", ["humaneval", "mbpp"])
def test_labels_of_llmdebugger(data: Path, kind: str, model: str) -> None:
    name = f"model-samples/llmdebugger/{kind}_seed_{model}.jsonl.gz"
    samples = rows(data / name)
    programs = [
        Program(row["solution"], row["test"], row["entry_point"], row["prompt"] if kind == "humaneval" else "")
        for row in samples
    ]
    outcomes = zip(samples, executed(programs), strict=True)
    verdicts = [(row["task_id"], 0, row["is_solved"], outcome.passed) for row, outcome in outcomes]
    assert differing(name, verdicts) == explained(name)


def test_labels_of_codet_on_one_sample_in_eight(data: Path) -> None:
    name = "model-samples/codet-codegen16b/labelled.jsonl.gz"
    problems = {row["task_id"]: row for row in rows(data / "humaneval" / "HumanEval.jsonl.gz")}
    samples = [row for row in rows(data / name) if row["sample"] % 8 == 0]
    programs = []
    for row in samples:
        problem = problems[row["task_id"]]
        prompt, tests, name_ = problem["prompt"], problem["test"], problem["entry_point"]
        programs.append(Program(prompt + row["completion"], tests, name_, prompt))
    outcomes = zip(samples, executed(programs), strict=True)
    verdicts = [(row["task_id"], row["sample"], row["base"], outcome.passed) for row, outcome in outcomes]
    assert differing(name, verdicts) == {(id_, sample) for id_, sample in explained(name) if sample % 8 == 0}
