from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.gates.blocks import block_of, cut, planned
from assay.gates.compare import gate as compare
from assay.gates.evidence import from_json
from assay.gates.policy import parse
from assay.gates.run import gate as fit
from assay.gates.sequential import before, gate, look
from support.gated import GRADE, cell, evidence, policy

SEAL = "run-0123456789abcdef"


def looked(held, *cells, **more):
    """A run that was looked at after every block up to where the samples of its cells end; `of` is the plan's size."""
    sizes = {each["task"]: each["of"] for each in cells}
    block = block_of(sizes, held)
    asked = {each["task"]: len(each["samples"]) for each in cells}
    looks = next(k for k in range(1, planned(sizes, block) + 1) if cut(sizes, block, k) == asked)
    until = {"policy": held.digest, "baseline": SEAL, "block": block, "looks": looks}
    return evidence(*cells, manifest="run-of-the-candidate", until={**until, **more})


def both(base, other, of=None, held=None, task="t", metric=None, **more):
    """A whole baseline, and a candidate that was asked for the first of its samples."""
    held = held or parse(policy(0.1))
    whole = evidence(cell(base, task, metric))
    asked = looked(held, cell(other, task, metric, of=len(base) if of is None else of, **more))
    return whole, recorded(whole, asked, held), held


def at(whole, asked, held):
    """What the gate says of it as far as it has gone, whether or not it stops there."""
    return look(from_json(whole), from_json(asked), held)


def recorded(whole, asked, held):
    """The same, and its last look as it was."""
    asked["until"]["verdict"] = at(whole, asked, held).verdict.value
    return asked


def test_it_accepts_regresses_and_stays_open():
    base = [True] * 300
    for other, verdict in (([True] * 80, "ACCEPT"), ([True, False] * 40, "REGRESSION"), ([True] * 20, "INCONCLUSIVE")):
        whole, asked, held = both(base, other)
        found = at(whole, asked, held)
        assert found.verdict == verdict
    assert "look 1, which had decided nothing" in gate(whole, asked, held).reasons[0]
    asked["until"]["verdict"] = "ACCEPT"
    found = gate(whole, asked, held)
    assert found.verdict == "ANOMALOUS"
    assert "it stopped before anything was decided" in found.reasons


def test_what_was_saved_is_told():
    whole, asked, held = both([True] * 290 + [False] * 10, [True] * 80)
    found = gate(whole, asked, held)
    assert found.numbers["samples"] == {
        "planned": 300, "asked": 80, "saved": 220, "fixed_plan": 29, "saved_of_fixed_plan": -51
    }  # fmt: skip
    assert found.numbers["attempts"] == {"planned": 300, "made": 80, "not_made": 220}
    assert "look 4 of 15: 80 of 300 samples asked, 220 of 300 attempts not made" in found.reasons[-1]


def test_every_look_is_told_and_bounds_only_tighten():
    whole, asked, held = both([True] * 300, [True] * 79 + [False])
    looks = gate(whole, asked, held).to_json()["numbers"]["looks"]
    assert [each["gain_bounds"][0]["samples"] for each in looks] == [20, 40, 60, 80]
    lows = [each["gain_bounds"][0]["low"] for each in looks]
    assert lows == sorted(lows)


def test_later_samples_change_no_earlier_look():
    whole, asked, held = both([True] * 300, [True] * 60)
    longer = both([True] * 300, [True] * 60 + [False] * 40)[1]
    first, second = (at(whole, each, held).to_json()["numbers"]["looks"] for each in (asked, longer))
    assert first == second[:3]


def test_the_end_of_the_plan_says_what_would_decide():
    base = [number % 3 > 0 for number in range(60)]
    whole, asked, held = both(base, [right != (number % 4 == 0) for number, right in enumerate(base)])
    found = gate(whole, asked, held)
    assert found.verdict == "INCONCLUSIVE"
    task = found.numbers["tasks"][0]
    assert task["samples_needed"] > 60
    assert f"a new run of a fixed plan of about {task['samples_needed']:,} would decide it" in found.reasons[0]


def test_what_was_looked_at_is_not_tested_again():
    whole, asked, held = both([True] * 300, [True] * 80)
    stopped = compare(whole, asked, held)
    assert (stopped.verdict, stopped.checks[-1].name) == ("INFEASIBLE", "first_test")
    assert "it stopped when it was decided" in stopped.reasons[0]
    to_the_end = both([True] * 100, [True] * 100)
    assert compare(to_the_end[0], to_the_end[1], held).verdict == "INFEASIBLE"
    elsewhere = {**to_the_end[1], "until": {**to_the_end[1]["until"], "baseline": "run-another"}}
    assert compare(to_the_end[0], elsewhere, held).verdict == "ACCEPT"
    assert compare(asked, whole, held).verdict == "INFEASIBLE"
    assert compare(to_the_end[1], to_the_end[0], held).verdict == "ACCEPT"


def test_a_run_that_stopped_because_it_was_decided_is_fit_and_says_so():
    _, asked, held = both([True] * 300, [True] * 80)
    found = fit(asked, held)
    assert found.verdict == "PASS"
    assert "stopped because it was decided, after 80 of 300 samples" in found.reasons[0]
    undecided = {**asked, "until": {**asked["until"], "verdict": "INCONCLUSIVE"}}
    assert fit(undecided, held).verdict == "FAIL"
    assert "which had decided nothing" in fit(undecided, held).reasons[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"policy": "another"}, "by another policy"),
        ({"baseline": "run-another"}, "against another baseline"),
        ({"block": 25}, "not asked in blocks"),
        ({"looks": 3}, "not asked in blocks"),
        ({"looks": 900}, "not asked in blocks"),
    ],
)
def test_looks_other_than_it_says_are_an_anomaly(change, named):
    whole, asked, held = both([True] * 300, [True] * 80)
    found = gate(whole, {**asked, "until": {**asked["until"], **change}}, held)
    assert found.verdict == "ANOMALOUS"
    assert named in found.reasons[0]


@pytest.mark.parametrize("change", [{"verdict": "REGRESSION"}, {"bounds": {"t": [-0.01, 0.01]}}, {"bounds": {}}])
def test_a_look_that_came_to_something_else_is_an_anomaly(change):
    whole, asked, held = both([True] * 300, [True] * 80)
    bounds = gate(whole, asked, held).to_json()["numbers"]["looks"][-1]["gain_bounds"][0]
    honest = {"verdict": "ACCEPT", "bounds": {"t": [bounds["low"], bounds["high"]]}}
    assert gate(whole, {**asked, "until": {**asked["until"], **honest}}, held).verdict == "ACCEPT"
    found = gate(whole, {**asked, "until": {**asked["until"], **honest, **change}}, held)
    assert (found.verdict, found.failure_class) == ("ANOMALOUS", "EVIDENCE_INVALID")


def test_a_run_of_a_whole_plan_is_for_compare():
    whole = evidence(cell([True] * 300))
    assert (gate(whole, whole, policy(0.1)).verdict, gate(whole, whole, policy(0.1)).checks[-1].ok) == (
        "INFEASIBLE", True
    )  # fmt: skip
    assert gate(whole, whole, policy(0.1, rule="point")).verdict == "INFEASIBLE"


def test_epochs_are_one_value_a_sample():
    """Two attempts at each of 40 samples, always alike, know no more than one."""
    held = parse(policy(0.3))
    numbers = np.random.default_rng(1)
    other = (numbers.random(40) < 0.8).tolist()
    once = both([True] * 200, other, held=held)
    pairs = {"position": [n for n in range(40) for _ in (0, 1)], "epoch": [0, 1] * 40, "outcome": ["ok"] * 80}
    pairs |= {"values": {"accuracy": [value for value in other for _ in (0, 1)]}, "tokens": None, "latency": None}
    whole = evidence(
        cell([True] * 200, planned=400, position=[n for n in range(200) for _ in (0, 1)], epoch=[0, 1] * 200,
             outcome=["ok"] * 400, values={"accuracy": [True] * 400}, tokens=None, latency=None)
    )  # fmt: skip
    twice = recorded(whole, looked(held, cell(other, of=200, planned=80, **pairs)), held)
    first, second = (at(*pair, held).to_json()["numbers"]["looks"] for pair in (once[:2], (whole, twice)))
    assert first == second


def test_lower_may_be_better_and_scores_may_be_graded():
    lower = {**GRADE, "higher_is_better": False}
    for metric, verdict in ((GRADE, "REGRESSION"), (lower, "ANOMALOUS")):
        whole, asked, held = both([0.8] * 300, [0.3] * 80, metric=metric)
        assert at(whole, asked, held).verdict == verdict
    task = at(whole, asked, held).numbers["tasks"][0]
    assert task["low"] < task["delta"] < task["high"] < 0
    kept = parse(policy(0.1, defaults={"max_gain": 1}))
    whole, asked, _ = both([0.8] * 300, [0.3] * 80, metric=lower, held=kept)
    assert gate(whole, asked, kept).verdict == "ACCEPT"


def test_a_relative_margin_is_a_share_of_the_whole_baseline():
    """Whichever samples were asked first: the margin is no matter of the look."""
    held = parse({"schema": "assay.policy.v1", "defaults": {"relative_margin": 0.2}})
    base = [True] * 250 + [False] * 50
    first, second = (both(base, base[:n], held=held) for n in (80, 120))
    margins = [gate(pair[0], pair[1], held).numbers["tasks"][0]["margin"] for pair in (first, second)]
    assert margins[0] == margins[1]
    assert 0.15 < margins[0]["to_accept"] < margins[0]["allowed"] < margins[0]["to_reject"] < 0.18


def test_a_missing_score_is_no_score_of_0():
    held = parse(policy(0.1, outcomes={"infra_error": 0.5}))
    outcome, values = ["infra_error"] * 8 + ["ok"] * 72, {"accuracy": [None] * 8 + [True] * 72}
    whole, asked, _ = both([True] * 300, [True] * 80, held=held, outcome=outcome, values=values)
    found = at(whole, asked, held)
    assert found.numbers["tasks"][0]["delta"] == 0
    assert found.verdict == "ANOMALOUS"  # the rate of infrastructure errors moved
    assert found.numbers["looks"][-1]["gain_bounds"][0]["low"] < -0.2


def test_alpha_is_shared_by_the_same_tasks_at_every_look_also_where_one_has_no_score_yet():
    held = parse(policy(0.1, outcomes={"infra_error": 1, "moved": 1}))
    whole = evidence(cell([True] * 300, "a"), cell([True] * 300, "b"))

    def looks(n):
        values, outcome = [None] * 20 + [True] * (n - 20), ["infra_error"] * 20 + ["ok"] * (n - 20)
        late = cell([True] * n, "b", of=300, outcome=outcome, values={"accuracy": values})
        return at(whole, looked(held, cell([False] * n, "a", of=300), late), held).to_json()["numbers"]["looks"]

    first, second = looks(20), looks(60)
    assert first == second[:1]
    unknown = first[0]["gain_bounds"][1]
    assert (unknown["low"], unknown["verdict"]) == (-1, "INCONCLUSIVE")
    assert 0.2 < unknown["high"] < 0.3  # the baseline is right on all of them: at best that is no loss


def test_an_anomaly_decides_nothing():
    held = parse(policy(0.1))
    whole, asked, _ = both([True] * 300, [True] * 80, outcome=["truncated"] * 20 + ["ok"] * 60)
    found = at(whole, asked, held)
    assert found.verdict == "ANOMALOUS"


def test_costs_have_a_say():
    held = parse(policy(0.1, defaults={"max_tokens_increase": 0.2}))
    whole, asked, _ = both([True] * 300, [True] * 80, held=held, tokens=[20, 21] * 40)
    found = at(whole, asked, held)
    assert found.verdict == "REGRESSION"
    assert "completion tokens" in found.reasons[0]


def test_an_advisory_task_is_shown_and_decides_nothing():
    held = parse(policy(0.1, tasks={"b": {"tier": "advisory"}}))
    whole = evidence(cell([True] * 300, "a"), cell([True] * 300, "b"))
    asked = recorded(whole, looked(held, cell([True] * 80, "a", of=300), cell([False] * 80, "b", of=300)), held)
    found = gate(whole, asked, held)
    assert found.verdict == "ACCEPT"
    assert [task["verdict"] for task in found.to_json()["numbers"]["tasks"]] == ["ACCEPT", "REGRESSION"]


def unasked(base, **more):
    """A plan of the baseline's samples, before anything was asked."""
    nothing = {"position": [], "epoch": [], "outcome": [], "values": {}, "tokens": [], "latency": []}
    return from_json({**evidence(cell(base, **nothing, **more)), "state": "running"})


@pytest.mark.parametrize(
    ("base", "plan", "more", "verdict", "named"),
    [
        ({}, {}, {}, "INCONCLUSIVE", ""),
        ({"facts": {"prompt": "a"}}, {"facts": {"prompt": "b"}}, {}, "ANOMALOUS", "the prompt differs"),
        ({"facts": {"sandbox": ["full"]}}, {"facts": {"sandbox": None}}, {}, "INCONCLUSIVE", ""),
        ({}, {"samples": ["x", "y"]}, {}, "ANOMALOUS", "samples are in the baseline only"),
        ({}, {"clusters": ["a"] * 100}, {}, "INFEASIBLE", "come in clusters"),
        ({}, {"facts": {"cluster": "subject"}}, {}, "INFEASIBLE", "come in clusters (subject)"),
        ({}, {"metric": GRADE}, {}, "INFEASIBLE", "that both measure the same way"),
        ({}, {"task": "u"}, {}, "INFEASIBLE", "different tasks"),
        ({}, {}, {"rule": "point"}, "INFEASIBLE", "counts no uncertainty"),
        ({}, {}, {"must_decide": True}, "INFEASIBLE", "not even all at once"),
        ({}, {}, {"defaults": {"margin": 1.0}}, "INFEASIBLE", "allows any loss"),
    ],
)
def test_what_could_not_be_decided_is_found_before_it_begins(base, plan, more, verdict, named):
    found = before(
        from_json(evidence(cell([True] * 100, **base))), unasked([True] * 100, **plan), parse(policy(0.05, **more))
    )
    assert found.verdict == verdict
    assert named in " ".join(found.reasons)


def test_a_baseline_that_is_not_sealed_or_a_stand_in_model():
    held, whole = parse(policy(0.05)), evidence(cell([True] * 100))
    assert before(from_json({**whole, "state": "killed"}), unasked([True] * 100), held).verdict == "ANOMALOUS"
    assert before(from_json({**whole, "synthetic": True}), unasked([True] * 100), held).verdict == "ANOMALOUS"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_handed_in_there_is_a_result(data):
    whole, asked, held = both([True] * 60, [True, False] * 20)
    asked = deepcopy(asked)
    place = data.draw(st.sampled_from([asked, asked["until"], asked["cells"][0], asked["cells"][0]["attempts"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(json_values)
    found = gate(whole, asked, held.content)
    assert found.verdict in ("ACCEPT", "REGRESSION", "INCONCLUSIVE", "ANOMALOUS", "INFEASIBLE")
    assert found.to_json()
