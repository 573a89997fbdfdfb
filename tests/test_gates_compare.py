import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.gates import aa, compare, run
from assay.gates.evidence import from_json
from assay.stats.paired import PairedTable, tango
from support.gated import GRADE, cell, evidence, flipped, policy, scored


def decided(baseline, candidate, margin=0.01, **more):
    return compare.gate(baseline, candidate, policy(margin, **more))


def task(result, number=0):
    return result.to_json()["numbers"]["tasks"][number]


# The five verdicts


def test_accept_where_the_lower_bound_clears_the_margin():
    found = decided(*flipped(1000, lost=5, won=5), margin=0.02)
    assert (found.verdict, found.exit_code, found.failure_class) == ("ACCEPT", 0, None)
    assert "a loss of 2 points or more is ruled out" in found.reasons[0]


def test_accept_says_where_a_loss_is_significant_but_within_the_margin():
    found = decided(*flipped(4000, lost=20), margin=0.02)
    assert found.verdict == "ACCEPT"
    assert "worse beyond chance, by less than the margin" in found.reasons[0]


def test_regression_beyond_the_margin():
    found = decided(*flipped(200, lost=40, won=2), margin=0.02)
    assert (found.verdict, found.exit_code, found.failure_class) == ("REGRESSION", 1, None)
    assert "worse than the baseline by more than the margin" in found.reasons[0]


def test_regression_where_the_paired_test_agrees_and_the_margin_is_not_kept():
    found = decided(*flipped(200, lost=9, won=1), margin=0.03)
    assert found.verdict == "REGRESSION"
    assert task(found)["p"]["exact"] == pytest.approx(11 / 1024)
    assert "is not ruled out" in found.reasons[0]


def test_inconclusive_says_how_many_samples_would_decide():
    found = decided(*flipped(100, lost=5, won=5))
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 3)
    assert task(found)["samples_needed"] == 6183  # the table of docs/statistics.md: 1 point at 10 % discordance
    assert "about 6,183 samples would decide it" in found.reasons[0]


def test_anomalous_beats_regression():
    base, other = flipped(200, lost=60)
    other["cells"][0]["attempts"]["outcome"][:30] = ["truncated"] * 30
    found = decided(base, other, outcomes={"truncated": 1.0})
    assert (found.verdict, found.exit_code) == ("ANOMALOUS", 4)
    assert "the rate of truncated moved from 0 to 30 of 200" in found.reasons[0]


def test_infeasible_where_the_policy_demands_a_decision_that_the_samples_cannot_give():
    found = decided(*flipped(164), margin=0.01, must_decide=True)
    assert (found.verdict, found.failure_class, found.exit_code) == ("INFEASIBLE", "USER_CONFIG_ERROR", 5)
    assert "164 samples decide a difference of 0.0614 at best" in found.reasons[0]
    assert decided(*flipped(7000), margin=0.01, must_decide=True).verdict == "ACCEPT"


def test_a_gain_beyond_the_bound_is_anomalous():
    assert decided(*flipped(1000, won=50)).verdict == "ACCEPT"  # exactly 5 points
    assert decided(*flipped(1000, won=51)).verdict == "ANOMALOUS"
    assert decided(*flipped(1000, won=51), defaults={"max_gain": 0.1}).verdict == "ACCEPT"


def test_a_gain_that_chance_explains_is_no_anomaly():
    assert decided(*flipped(20, lost=1, won=3)).verdict == "INCONCLUSIVE"
    assert decided(*flipped(20, lost=1, won=3), rule="point").verdict == "ANOMALOUS"


# What is told


def test_the_numbers_of_a_task():
    told = task(decided(*flipped(200, lost=9, won=3)))
    interval = tango(PairedTable(141, 9, 3, 47))
    assert (told["low"], told["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert (told["baseline"], told["candidate"], told["delta"]) == (0.75, 0.72, -0.03)
    assert (told["won"], told["lost"], told["ties"], told["pairs"]) == (3, 9, 188, 200)
    assert told["flips"]["won"] == [{"sample": "s150"}, {"sample": "s151"}, {"sample": "s152"}]
    assert told["p"]["mid_p"] < told["p"]["exact"]
    assert told["smallest_decidable"] == pytest.approx(2.4865 * math.sqrt(0.06 / 200), rel=1e-3)


def test_categories():
    base, other = flipped(10, lost=2, categories=["a"] * 5 + ["b"] * 5)
    assert task(decided(base, other))["categories"]["a"] == {
        "pairs": 5,
        "baseline": 1.0,
        "candidate": 0.6,
        "delta": -0.4,
        "won": 0,
        "lost": 2,
    }


def test_inputs_are_named_by_their_digests():
    base, other = flipped(10)
    found = decided(base | {"plan": "a" * 64}, other).to_json()
    assert found["inputs"][0]["manifest"] == "run-0123456789abcdef"
    assert found["inputs"][0]["plan"] == "a" * 64
    assert len(found["policy"]["digest"]) == 64


# Comparability


@pytest.mark.parametrize("fact", ["prompt", "sampling", "scorer", "version", "determinism", "sandbox", "seed"])
def test_each_difference_is_named_and_blocks_unless_allowed(fact):
    base, other = flipped(1000, facts={fact: "one"})[0], flipped(1000, facts={fact: "two"})[1]
    found = decided(base, other)
    assert found.verdict == "ANOMALOUS"
    assert "differs: one and two" in found.reasons[0]
    assert decided(base, other, allow=[fact]).verdict == "ACCEPT"


def test_another_model_is_what_is_compared():
    base, other = flipped(1000, facts={"model": 1})[0], flipped(1000, facts={"model": 2})[1]
    assert decided(base, other).verdict == "ACCEPT"


def test_samples_and_epochs_are_never_negotiable():
    base, other = flipped(1000)
    other["cells"][0]["samples"][7] = "another"
    found = decided(base, other)
    assert (found.verdict, found.failure_class) == ("ANOMALOUS", "SAMPLE_ACCOUNTING_FAILED")
    assert any("in the baseline only: s7" in reason for reason in found.reasons)


def test_task_sets():
    both, one = evidence(cell([True] * 400), cell([True] * 400, task="u")), evidence(cell([True] * 400))
    assert decided(both, one).verdict == "ANOMALOUS"
    assert decided(both, one, allow=["tasks"]).verdict == "ACCEPT"
    assert decided(both, one, allow=["tasks"], required=["u"]).verdict == "ANOMALOUS"
    assert decided(one, one, required=["u"]).verdict == "INFEASIBLE"


def test_two_cells_of_one_task_need_a_choice():
    run_ = evidence(cell([True] * 400), cell([True] * 400, model="n"))
    found = decided(run_, run_)
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "USER_CONFIG_ERROR")
    view = from_json(run_)
    assert decided(view.only(model="m"), view.only(model="n")).verdict == "ACCEPT"


def test_a_run_that_is_not_fit_makes_the_comparison_anomalous():
    base, other = flipped(1000)
    other["cells"][0]["planned"] = 1001
    assert decided(base, other).verdict == "ANOMALOUS"
    assert decided(base, other | {"state": "running"}).verdict == "INCONCLUSIVE"
    assert decided(base, other | {"synthetic": True}).verdict == "ANOMALOUS"


def test_a_published_score_is_the_baselines():
    tasks = {"t": {"external": {"score": 0.9}}}
    assert decided(*flipped(1000), tasks=tasks).failure_class == "EXTERNAL_BASELINE_MISMATCH"


# Tiers, several tasks, correction


def test_advisory_tasks_are_shown_and_decide_nothing():
    good, bad = flipped(1000), flipped(1000, lost=200)
    base = evidence(good[0]["cells"][0], {**bad[0]["cells"][0], "task": "u"})
    other = evidence(good[1]["cells"][0], {**bad[1]["cells"][0], "task": "u"})
    assert decided(base, other).verdict == "REGRESSION"
    found = decided(base, other, tasks={"u": {"tier": "advisory"}})
    assert found.verdict == "ACCEPT"
    assert task(found, 1)["verdict"] == "REGRESSION"


def test_ten_tasks_are_corrected_for():
    lucky, others = flipped(200, lost=8, won=1), flipped(200, lost=4, won=4)
    alone = decided(*lucky, margin=0.05)
    assert task(alone)["p"]["loss"] < 0.05
    names = [f"t{number}" for number in range(10)]
    sides = [
        evidence(*({**(lucky if name == "t0" else others)[side]["cells"][0], "task": name} for name in names))
        for side in (0, 1)
    ]
    told = task(decided(*sides, margin=0.05))
    assert told["p"]["loss_adjusted"] == pytest.approx(10 * told["p"]["loss"])
    assert told["verdict"] != "REGRESSION"
    assert alone.verdict == "REGRESSION"
    assert decided(*sides, margin=0.05, correction="none").verdict == "REGRESSION"


# Other metrics


def graded(scores, **more):
    return evidence(cell(scores, metric={**GRADE, **more}))


def test_graded_scores():
    base, other = [0.5, 0.6, 0.7, 0.4] * 50, [0.5, 0.6, 0.68, 0.41] * 50
    found = decided(graded(base), graded(other), margin=0.05)
    assert found.verdict == "ACCEPT"
    assert task(found)["method"] == "t-clustered"
    assert decided(graded(base), graded([score - 0.2 for score in base]), margin=0.05).verdict == "REGRESSION"


def test_lower_is_better():
    base, other = [0.2] * 100 + [0.3] * 100, [0.3] * 100 + [0.4] * 100
    assert decided(graded(base), graded(other), margin=0.02, defaults={"max_gain": 1.0}).verdict == "ACCEPT"
    found = decided(graded(base, higher_is_better=False), graded(other, higher_is_better=False), margin=0.02)
    assert found.verdict == "REGRESSION"
    told = task(found)
    assert told["delta"] == pytest.approx(0.1)
    assert told["low"] <= told["delta"] <= told["high"]


def test_a_scale_that_nobody_declared_is_refused():
    loose = {"low": None, "high": None}
    found = decided(graded([3.0] * 400, **loose), graded([3.0] * 400, **loose), margin=0.1)
    assert (found.verdict, found.failure_class) == ("INFEASIBLE", "USER_CONFIG_ERROR")
    kept = decided(graded([3.0] * 400, **loose), graded([3.0] * 400, **loose), margin=0.1, defaults={"scale": [1, 5]})
    assert kept.verdict == "ACCEPT"


def test_a_relative_margin():
    share = {"margin": None, "relative_margin": 0.04}
    base, other = flipped(1000, lost=10, won=10)
    found = compare.gate(base, other, {"schema": "assay.policy.v1", "defaults": share})
    margin = task(found)["margin"]
    assert found.verdict == "ACCEPT"
    assert margin["allowed"] == pytest.approx(0.03)
    assert margin["to_accept"] < 0.03 < margin["to_reject"]


# Missing scores


def with_missing(n, missing, lost=0):
    base, other = flipped(n, lost=lost, right=n)
    attempts = other["cells"][0]["attempts"]
    attempts["outcome"][-missing:] = ["infra_error"] * missing
    attempts["values"]["accuracy"][-missing:] = [None] * missing
    return base, other


def test_missing_scores_are_taken_for_the_worst():
    free = {"outcomes": {"infra_error": 0.1, "moved": 1.0}}
    assert decided(*with_missing(1000, 1), margin=0.02, **free).verdict == "ACCEPT"
    found = decided(*with_missing(1000, 30), margin=0.02, **free)
    assert found.verdict == "INCONCLUSIVE"
    assert (task(found)["missing"], task(found)["pairs"]) == (30, 1000)
    assert decided(*with_missing(1000, 30), margin=0.02).verdict == "ANOMALOUS"


# Costs


def test_verbosity_has_its_own_limit():
    base, other = flipped(1000)
    other["cells"][0]["attempts"]["tokens"] = [12 + number % 3 for number in range(1000)]
    assert decided(base, other).verdict == "ACCEPT"
    limit = {"defaults": {"max_tokens_increase": 0.2}}
    found = decided(base, other, **limit)
    assert found.verdict == "REGRESSION"
    assert "completion tokens: +30.0 % a sample" in found.reasons[0]
    other["cells"][0]["attempts"]["tokens"][3] = None
    found = decided(base, other, **limit)
    assert found.verdict == "INCONCLUSIVE"
    assert "not measured is not unchanged" in found.reasons[0]


def test_exactly_the_limit_is_within_it():
    base, other = flipped(1000)
    other["cells"][0]["attempts"]["latency"] = [0.625] * 1000
    assert decided(base, other, defaults={"max_latency_increase": 0.25}).verdict == "ACCEPT"
    assert decided(base, other, defaults={"max_latency_increase": 0.2499}).verdict == "REGRESSION"


# Epochs are clusters


def test_ten_identical_epochs_say_no_more_than_one():
    def repeated(run_, times):
        one = run_["cells"][0]
        attempts, n = one["attempts"], len(one["samples"])
        grown = {key: part * times for key, part in attempts.items() if isinstance(part, list)}
        grown["epoch"] = [epoch for epoch in range(times) for _ in range(n)]
        grown["values"] = {name: values * times for name, values in attempts["values"].items()}
        return evidence({**one, "attempts": grown, "planned": n * times})

    base, other = flipped(60, lost=4, won=4)
    once, often = decided(base, other), decided(repeated(base, 10), repeated(other, 10))
    assert (task(often)["clusters"], task(often)["pairs"]) == (60, 600)
    assert task(often)["high"] - task(often)["low"] >= 0.95 * (task(once)["high"] - task(once)["low"])


# Totals without samples


def totals(value, n=400):
    return evidence(cell([], aggregate={"accuracy": [value, n]}), kind="import")


def test_totals_can_be_compared_by_the_point_rule_alone():
    found = decided(totals(0.70), totals(0.695))
    assert (found.verdict, found.exit_code) == ("INCONCLUSIVE", 3)
    assert "only totals are known" in found.reasons[0]
    assert decided(totals(0.70), totals(0.69), rule="point").verdict == "ACCEPT"
    assert decided(totals(0.70), totals(0.6899), rule="point").verdict == "REGRESSION"


# Properties

numbers = st.tuples(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60), st.randoms())
def test_the_order_of_samples_changes_nothing(pairs, random):
    order = list(range(len(pairs)))
    random.shuffle(order)

    def run_(side, places):
        one = cell([pairs[place][side] for place in places])
        one["samples"] = [f"s{place}" for place in places]
        return evidence(one)

    straight = decided(run_(0, range(len(pairs))), run_(1, range(len(pairs)))).to_json()
    assert decided(run_(0, order), run_(1, order[::-1])).to_json() == straight


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_swapping_the_sides_mirrors_the_interval(pairs):
    base, other = (evidence(cell([pair[side] for pair in pairs])) for side in (0, 1))
    one, two = task(decided(base, other)), task(decided(other, base))
    assert (one["delta"], one["low"], one["high"]) == (-two["delta"], -two["high"], -two["low"])
    assert (one["won"], one["lost"]) == (two["lost"], two["won"])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=30))
def test_swapping_graded_sides_mirrors_the_interval(pairs):
    base, other = (graded([pair[side] for pair in pairs]) for side in (0, 1))
    one, two = task(decided(base, other)), task(decided(other, base))
    assert (one["delta"], one["low"], one["high"]) == (-two["delta"], -two["high"], -two["low"])


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def broken(draw):
    """Sound evidence with one part, at any depth, replaced by anything."""
    value = evidence(cell([True, False, True], facts={"seed": 1}, categories=["a", "b", "a"]))
    at = value
    while True:
        key = draw(st.sampled_from(sorted(at, key=str)) if isinstance(at, dict) else st.integers(0, len(at) - 1))
        if not (isinstance(at[key], dict | list) and at[key]) or draw(st.integers(0, 3)) == 0:
            at[key] = draw(junk | st.sampled_from([-1, 10**30, 2**63, "ok", "sealed"]))
            return value
        at = at[key]


@settings(max_examples=300, deadline=None)
@given(broken() | junk, broken() | junk, st.just(policy()) | st.just(policy(rule="point")) | junk)
def test_gates_never_raise_but_say_what_is_wrong(left, right, held):
    for found in (compare.gate(left, right, held), run.gate(left, held)):
        assert found.verdict in ("PASS", "FAIL", "ACCEPT", "REGRESSION", "ANOMALOUS", "INFEASIBLE", "INCONCLUSIVE")
        assert found.reasons
        assert found.to_json()["exit_code"] == found.exit_code


odd = st.sampled_from([1e-9, 1e-6, 0.01, 0.3, 0.999, 1.0, 5.0, 1e12])
odd_policies = st.fixed_dictionaries(
    {
        "schema": st.just("assay.policy.v1"),
        "defaults": st.fixed_dictionaries(
            {"margin": odd},
            optional=dict.fromkeys(("max_gain", "max_tokens_increase", "max_latency_increase"), odd)
            | {"scale": st.just([0.0, 1.0])},
        )
        | st.fixed_dictionaries(
            {"relative_margin": st.sampled_from([1e-6, 0.5, 0.999])},
            optional={"external": st.fixed_dictionaries({"score": odd})},
        ),
    },
    optional={
        "alpha": st.sampled_from([1e-6, 0.3, 0.49999]),
        "power": st.sampled_from([0.5, 0.9, 0.9999]),
        "rule": st.sampled_from(["interval", "point"]),
        "correction": st.sampled_from(["holm", "none"]),
        "must_decide": st.booleans(),
        "outcomes": st.just({"infra_error": 1.0, "moved": 1.0}),
    },
)
odd_scores = st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=8) | st.lists(
    odd | st.none() | st.sampled_from([-1e308, 1e308, -0.0, 1e-300]), min_size=1, max_size=8
)
odd_ends = st.none() | st.sampled_from([-1e12, -1.0, 0.0, 1.0, 1e-300, 1e308])


@settings(max_examples=300, deadline=None)
@given(
    odd_scores, odd_scores, st.sampled_from(["pass", "measure", "label"]), odd_ends, odd_ends, odd_policies, st.data()
)
def test_gates_never_raise_on_odd_numbers(left, right, kind, low, high, held, data):
    metric = {"name": "accuracy", "kind": kind, "low": low, "high": high, "higher_is_better": data.draw(st.booleans())}
    sides = []
    for scores in (left, right):
        outcome = ["infra_error" if score is None else "ok" for score in scores]
        costs = {
            name: data.draw(st.lists(odd, min_size=len(scores), max_size=len(scores))) for name in ("tokens", "latency")
        }
        clusters = data.draw(
            st.none() | st.just(["a"] * len(scores)) | st.just([str(n // 2) for n in range(len(scores))])
        )
        sides.append(evidence(cell(scores, metric=metric, outcome=outcome, clusters=clusters, **costs)))
    assert compare.gate(*sides, held).to_json()["verdict"] in ORDERED
    assert run.gate(sides[0], held).reasons
    assert aa.gate(sides, held, 100).to_json()["exit_code"] in (0, 1, 3, 5)


ORDERED = ("ACCEPT", "REGRESSION", "ANOMALOUS", "INFEASIBLE", "INCONCLUSIVE")


def test_the_same_twice_is_the_same_bytes():
    from assay.files import pretty

    assert pretty(decided(*flipped(200, lost=9)).to_json()) == pretty(decided(*flipped(200, lost=9)).to_json())


def test_a_run_against_itself():
    assert decided(scored(300, 400), scored(300, 400)).verdict == "ACCEPT"
    found = decided(scored(100, 164), scored(100, 164))
    assert found.verdict == "INCONCLUSIVE"
    assert task(found)["samples_needed"] == 299
