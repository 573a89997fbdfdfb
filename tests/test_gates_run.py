import pytest

from assay.gates.run import gate
from support.gated import GRADE, cell, evidence, policy, scored


def outcome(value, **more):
    """(verdict, failure class, first reason) of one run."""
    found = gate(value, policy(**more))
    return found.verdict, found.failure_class, found.reasons[0]


def failed(value, **more):
    return {check.name for check in gate(value, policy(**more)).checks if check.ok is not True}


def test_a_sound_run_passes():
    found = gate(scored(70, 100), policy())
    assert (found.verdict, found.exit_code, found.failure_class) == ("PASS", 0, None)
    assert found.numbers["cells"][0]["scores"] == {"accuracy": pytest.approx(0.7)}


@pytest.mark.parametrize("state", ["running", "resumable"])
def test_what_has_not_ended_is_no_failure_yet(state):
    verdict, kind, reason = outcome(evidence(state=state, why="wait for it"))
    assert (verdict, kind, reason) == ("INCONCLUSIVE", "INFRA_TRANSIENT", "wait for it")


@pytest.mark.parametrize(
    ("state", "error", "kind"),
    [
        ("killed", "UNKNOWN", "UNKNOWN"),
        ("failed", "DEPLOYMENT_HEALTH_FAILED", "DEPLOYMENT_HEALTH_FAILED"),
        ("failed", "nonsense", "UNKNOWN"),
        ("damaged", None, "EVIDENCE_INVALID"),
    ],
)
def test_killed_and_failed_runs_say_so(state, error, kind):
    found = gate(evidence(state=state, error=error), policy())
    assert (found.verdict, found.failure_class, found.exit_code) == ("FAIL", kind, 1)
    assert state in found.reasons[0]


def test_synthetic_evidence_is_refused():
    assert outcome(scored(9, 10) | {"synthetic": True})[:2] == ("FAIL", "EVIDENCE_INVALID")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"planned": None}, "planned"),
        ({"planned": 0}, "planned"),
        ({"planned": 11}, "complete"),
        ({"samples": ["a"] * 10}, "sample_ids"),
        ({"position": [0] * 10}, "attempts_unique"),
        ({"samples": [f"s{n}" for n in range(11)]}, "samples_tried"),
    ],
)
def test_accounting(more, name):
    value = scored(9, 10, **more)
    assert name in failed(value)
    assert gate(value, policy()).failure_class == "SAMPLE_ACCOUNTING_FAILED"


def test_nothing_of_nothing_is_no_pass():
    assert outcome(scored(0, 0))[:2] == ("FAIL", "SAMPLE_ACCOUNTING_FAILED")
    assert outcome(evidence())[:2] == ("FAIL", "SAMPLE_ACCOUNTING_FAILED")


def test_a_deployment_that_answers_nothing():
    value = scored(0, 5, outcome=["infra_error"] * 5, values={"accuracy": [None] * 5}, errors={"ServerError": 5})
    found = gate(value, policy(outcomes={"infra_error": 1.0}))
    assert found.failure_class == "DEPLOYMENT_HEALTH_FAILED"
    assert "ServerError 5" in found.reasons[0]


@pytest.mark.parametrize(
    ("outcome_", "kind"), [("infra_error", "INFRA_TRANSIENT"), ("timeout", "INFRA_TRANSIENT"), ("truncated", "UNKNOWN")]
)
def test_rates_are_held_to_the_policy_exactly(outcome_, kind):
    outcomes = [outcome_] * 7 + ["ok"] * 93
    values = [True if each == "ok" or each == "truncated" else None for each in outcomes]
    value = scored(0, 100, outcome=outcomes, values={"accuracy": values})
    assert gate(value, policy(outcomes={outcome_: 0.07})).verdict == "PASS"  # 7 of 100 is not more than 0.07
    found = gate(value, policy(outcomes={outcome_: 0.069}))
    assert (found.verdict, found.failure_class) == ("FAIL", kind)
    assert "7 of 100" in found.reasons[0]


def test_answers_without_an_answer_in_them():
    value = scored(8, 10, values={"accuracy": [True] * 8 + [False] * 2, "extracted": [True] * 8 + [False] * 2})
    assert failed(value) == {"extraction"}


def test_a_judge_that_failed_and_a_sandbox_that_failed():
    broken = {"outcome": ["scorer_error"] + ["ok"] * 9, "values": {"accuracy": [None] + [True] * 9}}
    assert outcome(scored(0, 10, **broken))[1] == "EVAL_JUDGE_FAILED"
    code = {"executes": True, "tier": "full", "controls": {"executed": 3}}
    assert outcome(scored(0, 10, **broken, **code))[1] == "SYSTEMIC"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2, -0.5])
def test_scores_that_are_none(value):
    names = failed(evidence(cell([0.5, value], metric=GRADE)))
    assert names & {"finite", "scale"}


def test_a_missing_score_is_no_zero():
    assert "scored" in failed(scored(0, 3, values={"accuracy": [True, None, True]}))
    assert "scored" in failed(scored(0, 3, values={}))


def test_a_score_of_no_answer():
    value = scored(3, 3, outcome=["ok", "ok", "infra_error"])
    assert "stray_scores" in failed(value, outcomes={"infra_error": 1.0})


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"tier": "reduced", "controls": {"executed": 3}}, "sandbox_tier"),
        ({"tier": None, "controls": {"executed": 3}}, "sandbox_tier"),
        ({"tier": "full", "controls": {"executed": 3}, "forgeable": 1}, "forgeable"),
        ({"tier": "full"}, "controls"),
        ({"tier": "full", "controls": {"executed": 0}}, "controls"),
        ({"tier": "full", "controls": {"executed": 3, "failed": ["s1"]}}, "control"),
    ],
)
def test_executed_code(more, name):
    assert failed(scored(8, 10, executes=True, **more)) == {name}


def test_a_published_score():
    tasks = {"t": {"external": {"score": 0.75, "source": "the card"}}}
    assert gate(scored(70, 100), policy(tasks=tasks)).verdict == "PASS"  # exactly 5 points off
    found = gate(scored(69, 100), policy(tasks=tasks))
    assert (found.verdict, found.failure_class) == ("FAIL", "EXTERNAL_BASELINE_MISMATCH")
    assert "published is 0.75 (the card)" in found.reasons[0]


def test_a_task_that_the_policy_requires():
    assert failed(scored(9, 10), required=["u"]) == {"required_task"}


def test_totals_alone_can_pass():
    value = evidence(cell([], aggregate={"accuracy": [0.7, 100]}))
    assert gate(value, policy()).verdict == "PASS"
    assert failed(evidence(cell([], aggregate={"accuracy": [1.0, 0]}))) == {"counted"}
    assert failed(evidence(cell([], aggregate={"accuracy": [70.0, 100]}))) == {"scale"}


def test_an_advisory_task_is_told_of_and_fails_nothing():
    found = gate(scored(9, 10, planned=11), policy(tasks={"t": {"tier": "advisory"}}))
    assert found.verdict == "PASS"
    assert "9 of 11" in found.reasons[0] or "10 of 11" in found.reasons[0]
