from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import document
from assay.errors import ConfigError
from assay.gates.policy import Policy, load, parse, read
from assay.gates.result import GateResult, Verdict
from assay.gates.template import TEMPLATE
from support.gated import policy

EXAMPLE = Path(__file__).parents[1] / "examples" / "policies" / "release.yaml"


def problems(text):
    with pytest.raises(ConfigError) as error:
        read(document.parse("schema: assay.policy.v1\n" + text, "p.yaml"))
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "gates nothing"),
        ("defaults: {tier: advisory, margin: 0.01}", "gates nothing"),
        ("defaults: {margin: .nan}", "p.yaml:2: .nan is not a finite number"),
        ("defaults: {margin: -0.01}", "p.yaml:2: defaults.margin: must be a number from 1e-9 to 1e12, not -0.01"),
        ("defaults: {margin: 0}", "must be a number from 1e-9 to 1e12"),
        ("defaults: {margin: '1 %'}", "must be a number from 1e-9 to 1e12, not '1 %'"),
        ("defaults: {margin: true}", "must be a number from 1e-9 to 1e12, not True"),
        ("defaults: {margin: 0.01, relative_margin: 0.02}", "not both"),
        ("defaults: {relative_margin: 1.5}", "must be a share from 1e-6 to below 1"),
        ("defaults: {margin: 0.1, scale: [5, 1]}", "the first below the second"),
        ("defaults: {margin: 0.1}\nalpha: 0.5", "a level from 1e-6 to below 0.5"),
        ("defaults: {margin: 0.1}\ntasks:\n  a: {margn: 1}", "p.yaml:4: tasks.a.margn: unknown key"),
        ("defaults: {margin: 0.1}\nallow: [promt]", "did you mean 'prompt'?"),
        ("defaults: {margin: 0.1}\nallow: [samples]", "allow[0]"),
        (
            "defaults: {margin: 0.1}\nsequential: {block: 0}",
            "sequential.block: must be a whole number from 1 on, not 0",
        ),
        ("defaults: {margin: 0.1}\nsequential: {stop: loss}", "did you mean 'stop_on'?"),
        ("tasks: {a: {margin: 0.1}, b: {}}", "no margin for b"),
        ("defaults: {margin: 0.1}\nrule: points", "must be interval or point"),
        ("defaults: {margin: 0.1}\noutcomes: {infra_error: 2}", "a share from 0 to 1"),
    ],
)
def test_what_is_wrong_is_refused_by_line(text, said):
    assert said in problems(text)


def test_another_version_is_refused():
    with pytest.raises(ConfigError, match=r"must be assay\.policy\.v1"):
        parse({"schema": "assay.policy.v2", "defaults": {"margin": 0.1}})


def test_all_problems_are_told_at_once():
    assert problems("alpha: 7\npower: 7\ndefaults: {margin: 0.1}").count("p.yaml:") == 2


def test_what_means_the_same_has_one_digest():
    terse = parse(policy(0.02))
    assert terse.digest == read(document.parse(TEMPLATE, "p.yaml")).model_copy(update={"name": "policy"}).digest
    assert terse.digest != parse(policy(0.01)).digest


def test_a_result_keeps_all_of_it():
    for more in ({}, {"sequential": {}}, {"sequential": {"block": 50, "stop_on": "loss"}}):
        held = parse(policy(0.01, tasks={"gsm8k": {"tier": "critical", "relative_margin": 0.02}}, **more))
        assert parse(held.to_json()["content"]).digest == held.digest
        assert ("sequential" in held.content) == bool(more)


def test_a_tasks_own_margin_goes_before_a_default_of_the_other_kind():
    terms = parse(policy(0.01, tasks={"a": {"relative_margin": 0.02}})).task("a")
    assert (terms.margin, terms.relative_margin) == (None, 0.02)


def test_critical_tasks_are_required():
    held = parse(policy(0.01, required=["x"], tasks={"a": {"tier": "critical"}}))
    assert held.wanted == ("x", "a")


def test_the_example_loads():
    assert isinstance(load(EXAMPLE), Policy)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(junk | st.fixed_dictionaries({}, optional=dict.fromkeys(Policy.model_fields, junk) | {"schema": junk}))
def test_any_other_value_is_a_config_error(value):
    with suppress(ConfigError):
        parse(value)


def test_a_result_keeps_the_policy_to_the_last_digit():
    """A level shared between six candidates has sixteen digits, and its digest is of them all."""
    shared = parse({"schema": "assay.policy.v1", "alpha": 0.05 / 6, "defaults": {"margin": 0.03}})
    document = orjson.loads(orjson.dumps(GateResult("compare", Verdict.ACCEPT, (), policy=shared.to_json()).to_json()))
    assert parse(document["policy"]["content"]).digest == document["policy"]["digest"] == shared.digest
