"""The plan for a file of samples: what is known of them and nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.files import canonical, digest_file
from assay.plan.forecast import forecast
from assay.plan.order import UNANSWERED
from assay.plan.plan import Plan
from assay.plan.samples import SampleDraft, plan_samples
from support.programs import completion, problems, written


def drafted(folder: Path, *numbers: int, name: str = "mine.jsonl", **options: object) -> SampleDraft:
    file = written(folder / name, [completion(number) for number in numbers])
    return plan_samples("humaneval", file, problems(folder / "problems.jsonl"), options)


def test_a_plan_says_only_what_the_file_says(tmp_path: Path) -> None:
    plan = drafted(tmp_path, 3, 1, 3, 3).draft.plan
    (cell,) = plan.cells
    assert (cell.model, cell.mode, cell.sampling, cell.prompt) == ("mine", "given", None, "verbatim@1")
    assert plan.models["mine"].identity == {
        "backend": "samples",
        "model": "mine.jsonl",
        "digest": digest_file(tmp_path / "mine.jsonl"),
    }
    assert not plan.synthetic
    task = plan.tasks["humaneval"]
    assert (task.samples, task.counts, task.epochs) == (("Adding/1", "Adding/3"), (1, 3), 3)
    assert task.scorer is not None
    assert (task.scorer.mode, task.code_exec_policy) == ("pass_at_1", "sandboxed")
    assert len(plan) == 4


def test_problems_without_a_sample_are_named_and_left_out(tmp_path: Path) -> None:
    draft = drafted(tmp_path, 1, 3).draft
    assert [(item["sample"], item["reason"]) for item in draft.plan.tasks["humaneval"].excluded] == [
        ("Adding/2", UNANSWERED),
        ("Adding/4", UNANSWERED),
    ]
    assert draft.notes == ("2 of 4 problems have samples; none: Adding/2, Adding/4",)
    ((name, asked, shown),) = draft.samples()
    assert (name, [sample.id for sample in asked], list(shown)) == ("humaneval", ["Adding/1", "Adding/3"], [])


def test_as_many_samples_of_each_are_epochs(tmp_path: Path) -> None:
    task = drafted(tmp_path, 1, 2, 2, 1).draft.plan.tasks["humaneval"]
    assert (task.counts, task.epochs, task.attempts) == ((), 2, 4)


def test_the_same_file_gives_the_same_plan_and_reads_back(tmp_path: Path) -> None:
    first, second = (drafted(tmp_path, 1, 2, 2, k=[1, 2]).draft.plan for _ in range(2))
    assert canonical(first.to_json()) == canonical(second.to_json())
    assert Plan.from_json(first.to_json()) == first


def test_other_samples_problems_or_options_are_another_plan(tmp_path: Path) -> None:
    base = drafted(tmp_path, 1, 2).draft.plan
    others = [drafted(tmp_path, 2, 1).draft.plan, drafted(tmp_path, 1, 2, control="full").draft.plan]
    problems(tmp_path / "fewer.jsonl", 2)
    file = written(tmp_path / "mine.jsonl", [completion(1), completion(2)])
    others.append(plan_samples("humaneval", file, tmp_path / "fewer.jsonl").draft.plan)
    assert len({plan.digest for plan in (base, *others)}) == 4
    assert others[0].cells[0].id != base.cells[0].id != others[2].cells[0].id
    assert others[1].cells[0].id == base.cells[0].id, "how it is scored does not change what it is"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("a b.jsonl.gz", "a-b"),
        ("m.x.JSONL", "m.x"),
        ("samples", "samples"),
        (".jsonl.gz", "samples"),
        ("é.json", "samples"),
    ],
)
def test_the_model_is_called_as_the_file(tmp_path: Path, name: str, model: str) -> None:
    assert list(drafted(tmp_path, 1, name=name).draft.plan.models) == [model]


@pytest.mark.parametrize(
    ("task", "words"), [("gsm8k", "gsm8k is no code task"), ("humanevil", "did you mean 'humaneval'")]
)
def test_only_code_tasks_have_samples_that_are_programs(tmp_path: Path, task: str, words: str) -> None:
    file = written(tmp_path / "s.jsonl", [completion(1)])
    with pytest.raises(ConfigError, match=words) as caught:
        plan_samples(task, file)
    assert "mbpp_plus" in str(caught.value)


def test_nothing_is_asked_so_nothing_is_forecast(tmp_path: Path) -> None:
    told = forecast(drafted(tmp_path, 1, 2, 2).draft)
    assert (told["attempts"], told["tokens"]) == (3, {"in": 0, "out_at_most": 0})


def test_an_option_that_the_scorer_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mood"):
        drafted(tmp_path, 1, mood="good")


@pytest.mark.data
def test_a_real_file_for_part_of_the_problems(data: Path) -> None:
    draft = plan_samples("humaneval", data / "model-samples/codet-codegen16b/labelled.jsonl.gz").draft
    task = draft.plan.tasks["humaneval"]
    assert (len(draft.plan), len(task.samples), len(task.excluded)) == (6170, 110, 54)
    assert sum(task.counts) == 6170
    assert "110 of 164 problems have samples" in draft.notes[0]
