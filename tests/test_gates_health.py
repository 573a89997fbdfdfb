"""The gate of health: pure, typed, and its JSON both ways."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, EvidenceError, FailureClass
from assay.files import canonical
from assay.gates import legible
from assay.gates.health import Limits, gate
from assay.gates.health_view import Finding, Generation, Observation, Passage, from_json
from assay.gates.result import Verdict

SENSE = "The sea is large and blue, and there are many fish in it that we like to look at when the sun is out."
OTHER = "A bicycle has two wheels, and you use your feet to make it go from one place to the next one."
LOOP = "the sea and the sky " * 12


def seen(**changes: Any) -> Observation:
    base = Observation(
        model={"digest": "a" * 64, "model": "tiny"},
        texts="t" * 64,
        alive=True,
        answers=True,
        served="tiny@aaaa",
        digest="a" * 64,
        mapped=True,
        generations=tuple(Generation(f"q{n}", text, 25, "stop") for n, text in enumerate((SENSE, OTHER) * 2)),
        passages=(Passage("passage 1", -130.0, 50), Passage("passage 2", -120.0, 50)),
        scanned=10,
        logged=10,
        seconds=2.0,
        facts={"runtime": "x 1"},
    )
    return replace(base, **changes)


def answers(*texts: str) -> tuple[Generation, ...]:
    return tuple(Generation(f"q{n}", text, 25, "stop") for n, text in enumerate(texts))


def passages(*losses: float) -> tuple[Passage, ...]:
    return tuple(Passage(f"passage {n}", -50 * loss, 50) for n, loss in enumerate(losses, 1))


def failed(result: Any) -> list[str]:
    return [check.name for check in result.checks if check.ok is False]


def test_a_healthy_server_passes_alone_and_against_its_source():
    for source in (None, seen()):
        result = gate(seen(), source)
        assert (result.verdict, result.failure_class, failed(result)) == (Verdict.PASS, None, [])
        assert "healthy" in result.reasons[-1]
    assert result.numbers["perplexity_ratio"] == 1.0
    assert result.numbers["tokens_per_s"] == 50.0
    assert result.numbers["perplexity"] == pytest.approx(math.exp(2.5))


FAULTS: dict[str, tuple[dict[str, Any], str, FailureClass]] = {
    "dead": ({"alive": False}, "process", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "silent": ({"answers": False, "why": "refused"}, "endpoint", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "another file": ({"digest": "b" * 64}, "digest", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "file gone": ({"digest": ""}, "digest", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "not mapped": ({"mapped": False}, "mapped", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "nothing asked": ({"generations": ()}, "answered", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "no answer": (
        {"generations": (Generation("q", error="500"), *answers(SENSE))},
        "answered",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "empty": ({"generations": answers("", " \n", SENSE)}, "empty", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "circles": (
        {"generations": answers(LOOP, LOOP, SENSE, OTHER)},
        "repetition",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "newlines": (
        {"generations": answers("the" + "\n" * 60, "the" + "\n" * 60, SENSE, OTHER)},
        "repetition",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "no words": (
        {"generations": answers("rmpi lineinf nargs gason Chie ools nyder", "ivary Chie ools M D xq")},
        "known_words",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "bytes": ({"generations": answers(SENSE, "\ufffd\x00" * 9)}, "printable", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "perplexity": ({"passages": passages(3.3, 3.3)}, "perplexity_ratio", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "one passage": ({"passages": passages(2.6, 3.9)}, "passage_ratio", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "not a number": ({"passages": passages(1e37, 1e37)}, "perplexity", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "an error": (
        {"passages": (Passage("passage 1", error="500"), Passage("passage 2", -120.0, 50))},
        "perplexity",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "unmeasured": ({"passages": ()}, "perplexity", FailureClass.DEPLOYMENT_HEALTH_FAILED),
    "another tokeniser": (
        {"passages": (Passage("passage 1", -130.0, 40), Passage("passage 2", -120.0, 50))},
        "tokens",
        FailureClass.DEPLOYMENT_HEALTH_FAILED,
    ),
    "other questions": ({"texts": "u" * 64}, "same_texts", FailureClass.EVIDENCE_INVALID),
    "the log": (
        {"findings": (Finding("cuda_oom", FailureClass.SYSTEMIC, "blocking", 7, 2, "CUDA out of memory"),)},
        "log.cuda_oom",
        FailureClass.SYSTEMIC,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_fails_by_its_own_check_and_class(fault: str):
    changes, name, kind = FAULTS[fault]
    result = gate(seen(**changes), seen())
    assert result.verdict is Verdict.FAIL
    assert name in failed(result)
    assert result.failure_class is kind
    assert result.exit_code == 1
    assert next(check.reason for check in result.checks if check.name == name)
    assert gate(json.loads(canonical(seen(**changes).to_json())), seen().to_json()) == result


def test_what_cannot_be_seen_is_said_and_fails_nothing():
    remote = seen(alive=None, digest=None, mapped=None, passages=(), unmeasured="no likelihoods", scanned=None)
    result = gate(remote, replace(remote))
    assert result.verdict is Verdict.PASS
    undecided = {check.name: check.reason for check in result.checks if check.ok is None}
    assert set(undecided) == {"digest", "perplexity"}
    assert "no likelihoods" in undecided["perplexity"]


def test_a_source_without_perplexity_gives_a_candidate_nothing_to_stand_on():
    assert "perplexity_ratio" in failed(gate(seen(), seen(passages=())))


def test_a_source_is_held_to_absolute_limits():
    assert "perplexity" in failed(gate(seen(passages=passages(5.4, 5.4))))
    assert not failed(gate(seen(passages=passages(5.2, 5.2))))
    babble = seen(generations=answers("ools nyder ivary Chie", "xx yy zz"))
    assert failed(gate(babble)) == ["known_words"]


def test_a_candidate_may_be_as_repetitive_as_its_source():
    loops = answers(LOOP, LOOP, SENSE, OTHER)
    assert not failed(gate(seen(generations=loops), seen(generations=loops)))


def test_notes_block_nothing():
    note = Finding("traceback", FailureClass.DEPLOYMENT_HEALTH_FAILED, "note", 3, 1, "Traceback")
    result = gate(seen(findings=(note,)), seen())
    assert result.verdict is Verdict.PASS
    assert any("Traceback" in reason for reason in result.reasons)


def test_fewer_bits_may_lose_more():
    ratios = [Limits.of(bits).perplexity_ratio for bits in (16.0, 8.5, 6.6, 4.5, 2.6, 0.0)]
    assert ratios == sorted(ratios)
    assert Limits.of(None) == Limits()
    worse = seen(passages=passages(2.6 + math.log(1.2), 2.4 + math.log(1.2)))
    assert "perplexity_ratio" in failed(gate(worse, seen(), Limits.of(8.5)))
    assert not failed(gate(worse, seen(), Limits.of(4.5)))


@pytest.mark.parametrize("wrong", [{"perplexity_ratio": 0.5}, {"looping": math.nan}, {"empty": True}, {"printable": 2}])
def test_limits_are_bounded(wrong: dict[str, Any]):
    with pytest.raises(ConfigError, match=f"health.{next(iter(wrong))}"):
        Limits(**wrong)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schema": "assay.gate.v1"}, "schema"),
        ({"more": 1}, "more"),
        ({"alive": "yes"}, "alive"),
        ({"generations": [{"text": "x"}]}, "prompt"),
        ({"passages": [{"name": "p", "logprob": "-1"}]}, "logprob"),
        ({"findings": [{"pattern": "x"}]}, "findings"),
    ],
)
def test_json_that_is_no_observation_is_refused(change: dict[str, Any], place: str):
    value = seen().to_json() | change
    with pytest.raises(EvidenceError, match=place):
        from_json(value)
    result = gate(value, seen())
    assert (result.verdict, result.failure_class) == (Verdict.FAIL, FailureClass.EVIDENCE_INVALID)


@pytest.mark.parametrize("value", [None, 3, [], "x", {"schema": "assay.health.v1"}])
def test_anything_else_fails_and_raises_nothing(value: Any):
    assert gate(value).verdict is Verdict.FAIL


def test_the_same_evidence_gives_the_same_bytes():
    first, again = (canonical(gate(seen(), seen(), Limits.of(8)).to_json()) for _ in range(2))
    assert first == again
    assert b'"perplexity_ratio":1.1' in first


def test_what_is_written_is_read_back():
    note = Finding("error", FailureClass.SYSTEMIC, "note", 3, 1, "E")
    whole = seen(findings=(note,), generations=(Generation("q", error="x"),))
    assert from_json(json.loads(json.dumps(whole.to_json()))) == whole
    result = gate(whole).to_json()
    assert from_json(json.loads(json.dumps(result))["numbers"]["observation"]) == whole


@given(st.text(max_size=300))
def test_shares_are_shares(text: str):
    for value in (legible.printable(text), legible.repetition(text)):
        assert value is None or 0 <= value <= 1
    common, words = legible.known([text])
    assert 0 <= common <= words


def test_repetition_knows_circles_from_prose():
    assert (legible.repetition(SENSE) or 0) < 0.1
    assert (legible.repetition(LOOP) or 0) > 0.8
    assert legible.repetition("!" * 64) == pytest.approx(60 / 61)
    assert legible.repetition("ab") is None
    assert (legible.repetition("水" * 40) or 0) > 0.9
    assert legible.known([SENSE])[0] / legible.known([SENSE])[1] > 0.6
    assert (legible.compression(LOOP) or 1) < 0.2
