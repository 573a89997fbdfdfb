import pytest

from assay.gates.aa import gate
from support.gated import cell, evidence, flipped, policy, scored


def epochs(times=2, n=50, **more):
    """One run, each sample tried so often; every fifth answer is another than the first time."""
    scores = [(place + epoch * (place % 5 == 0)) % 2 == 0 for epoch in range(times) for place in range(n)]
    one = cell(scores, **more)
    one["attempts"]["position"] = [place for _ in range(times) for place in range(n)]
    one["attempts"]["epoch"] = [epoch for epoch in range(times) for _ in range(n)]
    return evidence({**one, "samples": [f"s{place}" for place in range(n)]})


def test_one_run_with_epochs():
    found = gate([epochs()], policy(), resamples=200)
    assert found.verdict == "PASS"
    assert found.numbers["tasks"] == [{"task": "t", "pairs": 50, "left_out": 0}]
    assert "of 200 resamples; its alpha allows 5 %" in found.reasons[0]


def test_one_answer_is_no_control():
    found = gate([scored(30, 50)], policy())
    assert (found.verdict, found.exit_code) == ("INFEASIBLE", 5)
    assert "the same model must answer twice" in " ".join(found.reasons)


def test_two_models_are_no_control():
    facts = [{"model": {"identity": {"digest": name, "endpoint": "here"}}} for name in "ab"]
    runs = [flipped(50, facts=each)[0] for each in facts]
    assert gate(runs, policy()).verdict == "INFEASIBLE"
    elsewhere = [{"model": {"identity": {"digest": "a", "endpoint": name}}} for name in "ab"]
    assert gate([flipped(50, facts=each)[0] for each in elsewhere], policy(), 100).verdict == "PASS"


@pytest.mark.parametrize(("runs", "resamples"), [([], 500), ([epochs()] * 3, 500), ([epochs()], 99)])
def test_what_cannot_be_asked(runs, resamples):
    assert gate(runs, policy(), resamples).verdict == "INFEASIBLE"


def test_the_same_seed_gives_the_same_result():
    one, two, other = (gate([epochs()], policy(), 100, seed).to_json() for seed in (1, 1, 2))
    assert one == two
    assert one["numbers"] != other["numbers"]
