import json

import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.numeric import numeric

EGGS = Sample("1", "How many?", "16 - 3 = <<16-3=13>>13\n13 + 5 = 18\n#### 18")


def score(text, sample=EGGS, finish=None, **options):
    return numeric(options).score(sample, Completion(text, finish))


def metrics(text, **rest):
    return tuple(score(text, **rest).metrics.values())


RIGHT, LENIENT, WRONG, WRONG_MARKED, NOTHING = (
    (True, True, True), (True, False, True), (False, False, True), (False, False, True), (False, False, False)
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("13 + 5 = 18\n#### 18", RIGHT),
        ("#### $18.00 in all", RIGHT),
        ("#### 18\n\nQuestion: Tom has 5 apples\n#### 5", RIGHT),
        ("13 + 5 = 18", LENIENT),
        ("A: 18", LENIENT),
        ("The answer is 18. That is 9 * 2 for 7 days", LENIENT),
        ("The answer is 13 + 5 = 18 eggs", LENIENT),
        ("The answer is:\n\n**18**\n\nCall 555", LENIENT),
        (r"So \boxed{18}, which is 2 * 9", LENIENT),
        ("#### eighteen, so 18", LENIENT),
        ("#### 81, not 18", WRONG_MARKED),
        ("18 is wrong, it is 17", WRONG),
        ("-18", WRONG),
        ("eighteen", NOTHING),
        ("", NOTHING),
        ("9" * 5000, NOTHING),
    ],
)
def test_strict_lenient_and_extracted(text, expected):
    assert metrics(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#### 18 eggs and", RIGHT),
        ("#### 18", NOTHING),
        ("#### 18.", NOTHING),
        ("13 + 5 = 18 and so", NOTHING),
        ("The answer is 18.\nThat", LENIENT),
    ],
)
def test_a_completion_cut_by_its_limit_needs_a_whole_marked_answer(text, expected):
    assert metrics(text, finish="length") == expected


def test_why_tells_what_was_found():
    assert score("it is 17").why == "17 is not 18 (found without ####)"
    assert score("it is", finish="length").why == (
        "no number was found as the answer; the completion was cut by its token limit"
    )


@pytest.mark.parametrize("target", ["18", "$18", "18 eggs", "x = 18.0", "#### 18"])
def test_targets_that_give_one_number(target):
    assert metrics("#### 18", sample=Sample("1", "?", target)) == RIGHT


@pytest.mark.parametrize("target", ["", "many", "3 or 4", "#### none", "5/0"])
def test_a_target_without_just_one_number_cannot_be_scored(target):
    with pytest.raises(ScorerError, match="does not give one number"):
        score("18", Sample("1", "?", target))


def test_tolerance_is_exact_and_includes_its_ends():
    third = Sample("1", "?", "0.3")
    assert metrics("#### 0.31", sample=third, tolerance=0.01) == RIGHT
    assert metrics("#### 0.29", sample=third, tolerance="1/100") == RIGHT
    assert metrics("#### 0.3100001", sample=third, tolerance=0.01) == WRONG


@pytest.mark.parametrize("tolerance", [-1, "much", True, None, float("nan"), float("inf")])
def test_a_bad_tolerance_is_refused(tolerance):
    with pytest.raises(ConfigError, match="not negative"):
        numeric({"tolerance": tolerance})


def test_hostile_text_is_scored_in_reasonable_time():
    for text in [
        "answer " * 30_000,
        "#" * 200_000,
        "answer" + " " * 200_000,
        r"\boxed{" * 30_000,
        "is" + "\n" * 200_000,
    ]:
        assert metrics(text) == NOTHING


@pytest.mark.data
@pytest.mark.parametrize(
    ("system", "right"),
    [("6b_finetuning", 286), ("6b_verification", 515), ("175b_finetuning", 458), ("175b_verification", 742)],
)
def test_the_published_verdicts_on_gsm8k_are_reproduced(system, right, data):
    tests = _lines(data / "gsm8k" / "test.jsonl")
    solutions = [line[system] for line in _lines(data / "gsm8k" / "example_model_solutions.jsonl")]
    given = [
        score(solution["solution"], Sample(str(index), test["question"], test["answer"])).metrics["accuracy"]
        for index, (test, solution) in enumerate(zip(tests, solutions, strict=True))
    ]
    assert given == [solution["is_correct"] for solution in solutions]
    assert sum(given) == right


def _lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]
