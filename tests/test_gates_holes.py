"""What the gates of other tools get wrong, case by case, and what ours answers."""

from fractions import Fraction

import pytest

from assay.errors import ConfigError
from assay.gates import aa, compare, run
from assay.gates.evidence import from_json
from assay.gates.policy import parse
from assay.stats.power import samples_for
from support.gated import GRADE, cell, evidence, flipped, policy, scored


def decided(baseline, candidate, margin=0.01, **more):
    return compare.gate(baseline, candidate, policy(margin, **more))


# A gate over paired rewards with a t interval a benchmark


def test_ten_identical_pairs_do_not_pass_a_one_point_margin():
    found = decided(scored(10, 10), scored(10, 10))
    assert found.verdict == "INCONCLUSIVE"
    told = found.to_json()["numbers"]["tasks"][0]
    assert told["low"] == pytest.approx(-0.2589, abs=1e-4)  # 0 of 10 leaves 26 points open
    assert told["samples_needed"] == 299


def test_an_empty_policy_says_nothing_good():
    with pytest.raises(ConfigError, match="gates nothing"):
        parse({"schema": "assay.policy.v1"})
    assert compare.gate(scored(9, 10), scored(9, 10), {"schema": "assay.policy.v1"}).verdict == "INFEASIBLE"


def test_a_policy_for_other_tasks_gates_nothing():
    other = {
        "schema": "assay.policy.v1",
        "defaults": {"tier": "advisory"},
        "tasks": {"u": {"tier": "supporting", "margin": 0.01}},
    }
    assert decided(scored(9, 10), scored(9, 10)).verdict != "INFEASIBLE"
    assert compare.gate(scored(9, 10), scored(9, 10), other).verdict == "INFEASIBLE"


def test_the_relative_margin_counts_the_uncertainty_of_both_scores():
    held = {"schema": "assay.policy.v1", "defaults": {"relative_margin": 0.05}}
    assert compare.gate(*flipped(40, lost=1), held).verdict == "INCONCLUSIVE"  # 3.3 % less, of forty samples
    assert compare.gate(*flipped(40, lost=0), held).verdict == "INCONCLUSIVE"
    assert compare.gate(*flipped(4000, lost=10, won=10), held).verdict == "ACCEPT"


def test_a_missing_reward_is_no_zero():
    base, other = flipped(400)
    other["cells"][0]["attempts"]["values"]["accuracy"][0] = None
    found = decided(base, other)
    assert (found.verdict, found.failure_class) == ("ANOMALOUS", "SAMPLE_ACCOUNTING_FAILED")
    assert "a missing score is no score of 0" in " ".join(found.reasons)


def test_unpaired_rows_are_named():
    found = decided(scored(300, 400), scored(300, 399))
    assert found.verdict == "ANOMALOUS"
    assert any("s399" in reason for reason in found.reasons)


def test_duplicate_rows_are_named():
    base, other = flipped(400)
    attempts = other["cells"][0]["attempts"]
    attempts["position"][-1] = 0
    assert any("attempts are there twice" in reason for reason in decided(base, other).reasons)


@pytest.mark.parametrize("row", [None, "yes", [1], {"reward": 1}])
def test_malformed_rows_are_no_evidence(row):
    base, other = flipped(400)
    other["cells"][0]["attempts"]["values"]["accuracy"][0] = row
    found = decided(base, other)
    assert found.verdict == "ANOMALOUS"


def test_power_is_one_sided_and_over_all_pairs():
    told = decided(*flipped(1000, lost=50, won=50)).to_json()["numbers"]["tasks"][0]
    assert told["smallest_decidable"] == pytest.approx(2.4865 * (0.1 / 1000) ** 0.5, rel=1e-3)
    assert told["samples_needed"] == samples_for(0.01, 0.1) == 6183


def test_an_ordinary_benchmark_can_be_accepted():
    assert decided(*flipped(1319, lost=20, won=20), margin=0.02).verdict == "ACCEPT"


# A gate over one score a task


@pytest.mark.parametrize("planned", [None, 0])
def test_missing_counts_do_not_pass(planned):
    assert run.gate(scored(9, 10, planned=planned), policy()).failure_class == "SAMPLE_ACCOUNTING_FAILED"


def test_nothing_of_nothing_with_a_perfect_score_does_not_pass():
    assert run.gate(evidence(cell([], aggregate={"accuracy": [1.0, 0]})), policy()).verdict == "FAIL"


def test_killed_and_failed_runs_are_not_an_accounting_problem():
    for state in ("killed", "failed"):
        assert run.gate(evidence(state=state), policy()).failure_class != "SAMPLE_ACCOUNTING_FAILED"


def test_a_deployment_that_is_down_is_called_that():
    down = scored(0, 4, outcome=["infra_error"] * 4, values={"accuracy": [None] * 4})
    assert run.gate(down, policy()).failure_class in ("DEPLOYMENT_HEALTH_FAILED", "INFRA_TRANSIENT")
    assert "the deployment is not serving" in " ".join(run.gate(down, policy()).reasons)


def test_words_in_a_message_decide_nothing():
    found = run.gate(evidence(state="failed", why="parse error: author field, rate limit, judge"), policy())
    assert found.failure_class == "UNKNOWN"


@pytest.mark.parametrize("value", [None, [], {}, "x", 3, [[1]], {"schema": "assay.evidence.v1", "cells": "abc"}])
def test_other_shapes_crash_nothing(value):
    assert run.gate(value, policy()).failure_class == "EVIDENCE_INVALID"
    assert compare.gate(value, value, policy()).verdict == "ANOMALOUS"
    assert aa.gate([value], policy()).verdict == "FAIL"


def test_a_drop_of_exactly_the_threshold_is_within_it():
    wrong = [
        score
        for score in range(100, 1001)
        if decided(scored(score, 1000), scored(score - 10, 1000), rule="point").verdict != "ACCEPT"
    ]
    assert wrong == []
    assert decided(scored(500, 1000), scored(489, 1000), rule="point").verdict == "REGRESSION"


def test_graded_scores_compare_as_decimals():
    base, other = evidence(cell([0.7] * 10, metric=GRADE)), evidence(cell([0.69] * 10, metric=GRADE))
    assert 0.7 - 0.69 > 0.01  # in floats it is not within
    assert Fraction("0.7") - Fraction("0.69") == Fraction("0.01")
    assert decided(base, other, rule="point").verdict == "ACCEPT"


def test_a_relative_drop_from_nothing_is_not_accepted():
    for rule in ("interval", "point"):
        held = {"schema": "assay.policy.v1", "rule": rule, "defaults": {"relative_margin": 0.05}}
        assert compare.gate(scored(0, 400), scored(0, 400), held).verdict == "INFEASIBLE"


def test_a_scale_of_ones_own_hides_no_drop():
    loose = {"name": "score", "kind": "measure", "low": 0.0, "high": 100.0}
    base, other = evidence(cell([80.0] * 50, metric=loose)), evidence(cell([20.0] * 50, metric=loose))
    found = decided(base, other, margin=1.0, defaults={"scale": [0, 10000]})
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "USER_CONFIG_ERROR")
    unknown = {**loose, "low": None, "high": None}
    base, other = (evidence(cell([value] * 50, metric=unknown)) for value in (80.0, 20.0))
    assert decided(base, other, 1.0, rule="point", defaults={"scale": [0, 10000]}).verdict == "REGRESSION"


def test_two_flips_of_164_are_no_regression():
    assert decided(*flipped(164, lost=2, right=82)).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), -0.01, 0])
def test_margins_that_are_none(margin):
    assert decided(scored(9, 10), scored(9, 10), margin=margin).failure_class == "USER_CONFIG_ERROR"


def test_a_margin_as_wide_as_the_scale():
    assert decided(scored(400, 400), scored(0, 400), margin=1.0).verdict == "INFEASIBLE"


def test_verbosity_is_measured_on_the_samples_that_both_answered():
    base, other = flipped(300)
    short = other["cells"][0]
    for key, part in list(short["attempts"].items()):
        short["attempts"][key] = (
            {name: column[:200] for name, column in part.items()} if key == "values" else part[:200]
        )
    found = decided(base, other, defaults={"max_tokens_increase": 0.05})
    assert found.verdict == "ANOMALOUS"  # 200 of 300 samples: not compared, however the means lie


# A paired bootstrap with its own threshold


def test_one_sample_decides_nothing():
    assert decided(scored(1, 1), scored(0, 1)).verdict == "INCONCLUSIVE"


def test_samples_are_paired_by_id_and_not_by_place():
    base, other = evidence(cell([True] * 300 + [False] * 100)), evidence(cell([False] * 100 + [True] * 300))
    other["cells"][0]["samples"].reverse()
    assert decided(base, other).to_json()["numbers"]["tasks"][0]["lost"] == 0


def test_a_number_that_was_typed_in_is_no_evidence():
    typed = {"tasks": {"mmlu": {"score": 0.8, "expected_samples": 100, "scored_samples": 100, "status": "SUCCESS"}}}
    assert run.gate(typed, policy()).failure_class == "EVIDENCE_INVALID"
    assert from_json(scored(1, 2)).cells[0].finished == 2


# The same model twice


def test_an_unchanged_model_does_not_alarm():
    base, other = flipped(164, lost=8, won=8)
    assert decided(base, other).verdict == "INCONCLUSIVE"
    found = aa.gate([base, other], policy())
    assert found.verdict == "PASS"
    assert found.numbers["regression"]["rate"] < 0.09


def test_any_drop_and_one_point_rules_alarm_all_the_time():
    base, other = flipped(164, lost=8, won=8)
    found = aa.gate([base, other], policy(0.01, rule="point"))
    assert (found.verdict, found.exit_code) == ("FAIL", 1)
    assert 0.3 < found.numbers["regression"]["rate"] < 0.45  # 37 % by calculation
