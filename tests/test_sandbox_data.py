"""Real problems and real samples across the channel: reference solutions pass, labels are reproduced."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.tasks import code
from support.pairs import judge, judge_all

pytestmark = [pytest.mark.data, pytest.mark.slow]

Row = dict[str, Any]

DIFFERENCES = json.loads((Path(__file__).parent / "data" / "label_differences.json").read_text())

UNTESTABLE = {737, 787, 794}
"""Of MBPP+: the released tests compute whether a solution is right and do not look at it."""

TOO_LONG = {255}
"""Of MBPP+: a correct answer is a gigabyte."""


def rows(path: Path) -> list[Row]:
    if path.suffix == ".json":
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def humaneval(data: Path, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The reports on reference solutions that do not pass."""
    for row in rows(data / name):
        source = row["prompt"] + row["canonical_solution"]
        found = judge(source, row["test"], row["entry_point"], row["prompt"], 60)
        if found["status"] != "passed":
            yield row["task_id"], found


def mbpp(data: Path, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    for row in rows(data / name):
        source, listed = code.unix(row["code"]), [code.unix(test) for test in row["test_list"]]
        setup = [code.unix(row.get("test_setup_code", "")), *row.get("test_imports", [])]
        tests = row.get("test") or "\n".join([*setup, *listed])
        found = judge(source, tests, code.entry_point(source, "\n".join(listed)) or "", seconds=200)
        if found["status"] != "passed":
            yield row["task_id"], found


def test_humaneval_reference_solutions_pass(data: Path) -> None:
    assert dict(humaneval(data, "humaneval/HumanEval.jsonl.gz")) == {}


def test_humaneval_plus_reference_solutions_pass_but_for_the_broken_test(data: Path) -> None:
    pytest.importorskip("numpy")
    failed = dict(humaneval(data, "humanevalplus/HumanEvalPlus-OriginFmt.jsonl.gz"))
    assert set(failed) == {"HumanEval/32"}
    assert failed["HumanEval/32"]["failure"]["kind"] == "TypeError"


@pytest.mark.parametrize("name", ["mbpp/mbpp.jsonl", "mbpp/sanitized-mbpp.json"])
def test_mbpp_reference_solutions_pass(data: Path, name: str) -> None:
    assert dict(mbpp(data, name)) == {}


@pytest.mark.timeout(1200)  # MBPP+/599 adds up hundreds of millions of numbers
def test_mbpp_plus_reference_solutions_pass_where_they_are_tested(data: Path) -> None:
    pytest.importorskip("numpy")
    failed = dict(mbpp(data, "mbppplus/MbppPlus-OriginFmt.jsonl.gz"))
    assert {int(name) for name in failed} == UNTESTABLE | TOO_LONG
    for name, found in failed.items():
        assert found["status"] == ("no_tests_executed" if int(name) in UNTESTABLE else "error")


def differing(name: str, verdicts: Iterable[tuple[str, int, Any, bool]]) -> set[tuple[str, int]]:
    """The samples whose label is not ours, but for those whose outcome depends on the environment."""
    open_ = {(row["id"], row["sample"]) for row in DIFFERENCES if row["file"] == name and row["ours"] is None}
    found = {(id_, sample) for id_, sample, label, ours in verdicts if (label in (True, "passed")) is not ours}
    return found - open_


def explained(name: str) -> set[tuple[str, int]]:
    return {(row["id"], row["sample"]) for row in DIFFERENCES if row["file"] == name and row["ours"] is not None}


@pytest.mark.parametrize(("model", "passing"), [("qwen2.5-coder_7b", 120), ("codegemma_7b", 47)])
def test_labels_of_poe_humaneval(data: Path, model: str, passing: int) -> None:
    problems = {row["task_id"]: row for row in rows(data / "humaneval" / "HumanEval.jsonl.gz")}
    passed = 0
    for row in rows(data / "model-samples" / "poe-humaneval" / f"{model}.jsonl"):
        problem = problems[row["task_id"]]
        source = problem["prompt"] + row["completion"]
        found = judge(source, problem["test"], problem["entry_point"], problem["prompt"], 5)
        assert (found["status"] == "passed") is row["passed"], (row["task_id"], found)
        passed += row["passed"]
    assert passed == passing


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-0613", "starcoder"])
@pytest.mark.parametrize("kind", ["humaneval", "mbpp"])
def test_labels_of_llmdebugger(data: Path, kind: str, model: str) -> None:
    name = f"model-samples/llmdebugger/{kind}_seed_{model}.jsonl.gz"
    verdicts = []
    for row in rows(data / name):
        support = row["prompt"] if kind == "humaneval" else ""
        found = judge(row["solution"], row["test"], row["entry_point"], support, 5)
        verdicts.append((row["task_id"], 0, row["is_solved"], found["status"] == "passed"))
    assert differing(name, verdicts) == explained(name)


def test_labels_of_codet_on_one_sample_in_eight(data: Path) -> None:
    name = "model-samples/codet-codegen16b/labelled.jsonl.gz"
    problems = {row["task_id"]: row for row in rows(data / "humaneval" / "HumanEval.jsonl.gz")}
    by_problem: dict[str, list[Row]] = defaultdict(list)
    for row in rows(data / name):
        if row["sample"] % 8 == 0:
            by_problem[row["task_id"]].append(row)
    verdicts = []
    for task_id, samples in by_problem.items():
        problem = problems[task_id]
        sources = [problem["prompt"] + row["completion"] for row in samples]
        found = judge_all(sources, problem["test"], problem["entry_point"], problem["prompt"], 5)
        pairs = zip(samples, found, strict=True)
        verdicts += [(task_id, row["sample"], row["base"], one["status"] == "passed") for row, one in pairs]
    assert differing(name, verdicts) == {(id_, sample) for id_, sample in explained(name) if sample % 8 == 0}
