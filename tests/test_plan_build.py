"""From a spec to a plan: what is fixed, what is refused, and that all problems come at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from assay.errors import ConfigError
from assay.files import canonical
from assay.plan.build import Draft, build
from assay.plan.forecast import forecast
from assay.session import read_spec
from support.evals import questions

MODEL = {"model": "openai:m", "base_url": "http://127.0.0.1:9/v1"}


def planned(tmp_path: Path, count: int = 20, task: dict[str, Any] | None = None, **more: Any) -> Draft:
    file = questions(tmp_path / "my questions.jsonl", count)
    wanted = {"models": [MODEL], "tasks": [{"task": f"file:{file}", **(task or {})}], **more}
    return build(*read_spec(wanted))


def refused(tmp_path: Path, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, **more)
    return [str(problem) for problem in caught.value.problems]


def test_equal_specs_give_equal_bytes(tmp_path: Path) -> None:
    first, again = planned(tmp_path, seed=3), planned(tmp_path, seed=3)
    assert canonical(first.plan.to_json()) == canonical(again.plan.to_json())


@pytest.mark.parametrize("change", [{"seed": 4}, {"limit": 3}, {"few_shot": 1}, {"epochs": 2}, {"name": "n"}])
def test_what_shapes_a_run_shapes_its_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    assert planned(tmp_path, **change).plan.digest != planned(tmp_path).plan.digest


@pytest.mark.parametrize("how", [{"concurrency": {"limit": 2}}, {"retry": {"tries": 9}}, {"budget": {"tokens": 9}}])
def test_how_it_is_carried_out_does_not(tmp_path: Path, how: dict[str, Any]) -> None:
    assert planned(tmp_path, **how).plan.digest == planned(tmp_path).plan.digest


def test_a_changed_file_is_another_plan(tmp_path: Path) -> None:
    before = planned(tmp_path).plan.digest
    assert planned(tmp_path, count=21).plan.digest != before


def test_a_file_names_its_task(tmp_path: Path) -> None:
    assert list(planned(tmp_path).plan.tasks) == ["my-questions"]


def test_a_larger_limit_keeps_the_attempts(tmp_path: Path) -> None:
    few, many = planned(tmp_path, limit=5, seed=3).plan, planned(tmp_path, limit=9, seed=3).plan
    assert [a.id for a in few.attempts(0)] == [a.id for a in many.attempts(0)][:5]


def test_demonstrations_are_not_scored(tmp_path: Path) -> None:
    task = planned(tmp_path, few_shot=3, seed=3).plan.tasks["my-questions"]
    assert len(task.demos) == 3
    assert not set(task.demos) & set(task.samples)
    assert {item["sample"] for item in task.excluded} >= set(task.demos)


def test_repeats_of_a_demonstration_are_excluded(tmp_path: Path) -> None:
    text = "Is the number that comes after forty one in the usual order of whole numbers an even one?"
    rows = [
        {"id": "a", "input": text, "target": "yes"},
        {"id": "b", "input": text.upper() + " ", "target": "yes"},
        {"id": "c", "input": text.replace("usual", "natural"), "target": "yes"},
        {"id": "d", "input": "Is 7 even?", "target": "no"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    draft = build(*read_spec({"models": [MODEL], "tasks": [f"file:{file}"], "few_shot": 1}))
    task = draft.plan.tasks["rows"]
    assert task.demos == ("a",)
    assert "b" not in task.samples
    assert "d" in task.samples


def test_all_problems_come_at_once_with_their_place(tmp_path: Path) -> None:
    problems = refused(
        tmp_path,
        models=[MODEL, {"model": "openay:m"}],
        tasks=[{"task": "gsm9k"}, {"task": f"file:{tmp_path / 'none.jsonl'}"}],
    )
    assert len(problems) == 3
    assert "models[1]" in problems[0]
    assert "gsm8k" in problems[1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"prompts": ["defolt"]}, "prompts[0]"),
        ({"task": {"scoring_mode": "pass_at_1"}}, "cannot be scored by 'pass_at_1'"),
        ({"task": {"scoring_mode": "numerc"}}, "numeric"),
        ({"task": {"code_exec_policy": "sandboxed"}}, "executes nothing"),
        ({"few_shot": 50}, "has only 20 different samples"),
        ({"few_shot": 20}, "no sample left to score"),
        ({"models": [MODEL, MODEL]}, "appears twice"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, more: dict[str, Any], words: str) -> None:
    assert words in "\n".join(refused(tmp_path, **more))


def test_the_same_prompt_twice_is_asked_once(tmp_path: Path) -> None:
    draft = planned(tmp_path, prompts=["default", "text"])
    assert len(draft.plan.cells) == 1
    assert "asked once" in draft.notes[0]


@pytest.mark.data
def test_choices_are_scored_the_same_way_for_every_model(data: Path) -> None:
    wanted = {"models": [MODEL], "tasks": [{"task": "arc_easy"}], "limit": 5}
    draft = build(*read_spec(wanted))
    scorer = draft.plan.tasks["arc_easy"].scorer
    assert scorer is not None
    assert scorer.options == {"by": "letter"}
    assert "by letter" in draft.notes[0]
    assert draft.plan.tasks["arc_easy"].chance == pytest.approx(0.25, abs=0.03)
    wanted["tasks"] = [{"task": "arc_easy", "scoring_mode": {"mode": "multiple_choice", "options": {"by": "logprob"}}}]
    with pytest.raises(ConfigError, match="log-likelihood, which m cannot give"):
        build(*read_spec(wanted))


def test_a_forecast_counts(tmp_path: Path) -> None:
    told = forecast(planned(tmp_path, count=1000, epochs=2, sampling={"max_tokens": 10}))
    cell = told["cells"][0]
    assert told["attempts"] == cell["attempts"] == 2000
    assert cell["tokens"]["out_at_most"] == 20_000
    points = [item["points"] for item in cell["smallest_difference"]]
    assert points == sorted(points)
    assert points[1] == pytest.approx(2.5, abs=0.1)  # 1,000 samples at 10 % discordance
