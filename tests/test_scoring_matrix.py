import pytest

from assay.scoring.matrix import MODES, check, default_policy
from assay.scoring.registry import names

GSM8K = ("gsm8k", "generate", ("numeric", "exact_match"))
HUMANEVAL = ("humaneval", "code", ("pass_at_1",))


def test_every_mode_of_the_matrix_exists():
    assert {mode for modes in MODES.values() for mode in modes} <= set(names())


@pytest.mark.parametrize(
    ("task", "mode", "policy"),
    [
        (GSM8K, "numeric", None),
        (GSM8K, "exact_match", "disabled"),
        (HUMANEVAL, "pass_at_1", "sandboxed"),
        (HUMANEVAL, "pass_at_1", None),
        (("mine", "generate", ()), "json_schema", None),
    ],
)
def test_what_fits(task, mode, policy):
    assert check(*task, mode, policy) == []


def test_a_mode_that_does_not_fit_is_told_with_those_that_do():
    (problem,) = check(*GSM8K, "multiple_choice", "disabled")
    assert problem.key == "scoring_mode"
    assert problem.allowed == "numeric, exact_match"


@pytest.mark.parametrize(
    ("task", "mode", "policy", "allowed"),
    [(GSM8K, "numeric", "sandboxed", "disabled"), (HUMANEVAL, "pass_at_1", "disabled", "sandboxed")],
)
def test_a_policy_that_does_not_fit_is_told_with_the_one_that_does(task, mode, policy, allowed):
    (problem,) = check(*task, mode, policy)
    assert problem.key == "code_exec_policy"
    assert problem.allowed == allowed
    assert allowed == default_policy(task[1])


def test_both_mistakes_are_told():
    assert [problem.key for problem in check(*HUMANEVAL, "numeric", "disabled")] == [
        "scoring_mode",
        "code_exec_policy",
    ]


def test_a_scorer_of_another_package_fits_what_executes_nothing(monkeypatch):
    monkeypatch.setattr("assay.scoring.registry.names", lambda: (*names(), "theirs"))
    assert check(*GSM8K, "theirs") == []
    assert check(*HUMANEVAL, "theirs") != []
    assert check(*GSM8K, "nobodys") != []
