"""Problems from a file of HumanEval's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.data.dataset import load
from assay.errors import ConfigError
from assay.records import Sample
from assay.tasks import find
from assay.tasks.problems import with_problems
from support.programs import problems, written

ROW = {
    "task_id": "a/1",
    "prompt": "def f(x):\n",
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(1) == 1",
}


def samples(path: Path) -> list[Sample]:
    task = with_problems(find("humaneval"), str(path))
    return list(load(task.name, task.sources, version=task.version))


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_a_file_takes_the_place_of_the_tasks_data(tmp_path: Path, name: str) -> None:
    found = samples(problems(tmp_path / name, 3))
    assert [sample.id for sample in found] == ["Adding/1", "Adding/2", "Adding/3"]
    assert found[0].fields["complete"] is True
    assert found[0].fields["tests"].endswith("\n\ncheck(add)\n")
    assert found[0].target == "    return x + 1\n"


@pytest.mark.parametrize(
    ("change", "tests", "target"),
    [
        ({}, f"{ROW['test']}\n\ncheck(f)\n", ""),
        ({"canonical_solution": None}, f"{ROW['test']}\n\ncheck(f)\n", ""),
        ({"test": f"{ROW['test']}\ncheck(f)\n"}, f"{ROW['test']}\ncheck(f)\n", ""),
        ({"test": "assert f(1) == 1"}, "assert f(1) == 1\n", ""),
        ({"task_id": 1, "canonical_solution": " return x"}, f"{ROW['test']}\n\ncheck(f)\n", " return x"),
    ],
)
def test_check_is_called_once(tmp_path: Path, change: dict[str, Any], tests: str, target: str) -> None:
    (sample,) = samples(written(tmp_path / "p.jsonl", [ROW | change]))
    assert (sample.fields["tests"], sample.target) == (tests, target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test": None}, "test must be text"),
        ({"prompt": 3, "entry_point": ""}, "prompt, entry_point must be text"),
        ({"task_id": ["a"]}, "task_id must be text"),
        ({"canonical_solution": 1}, "canonical_solution must be text"),
        ({"entry_point": "f()"}, "no name of a function"),
        ({"task_id": "a/0"}, "is taken by line 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = written(tmp_path / "p.jsonl", [ROW | {"task_id": "a/0"}, ROW | change])
    with pytest.raises(ConfigError, match=words) as caught:
        samples(path)
    (problem,) = caught.value.problems
    assert (problem.where, problem.line) == (str(path), 2)


def test_only_code_tasks_take_problems(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gsm8k is no code task"):
        with_problems(find("gsm8k"), str(problems(tmp_path / "p.jsonl")))
