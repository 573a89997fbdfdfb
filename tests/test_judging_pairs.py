"""Answers compared in pairs: both orders, contradictions, position bias, what the summary says."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import ConfigError, JournalCorrupt, JudgeFailed
from assay.evidence.verify import verify
from assay.judges import compare
from assay.judging.pairs import pairs
from assay.run.folder import RunFolder
from support.judging import RUBRIC, judgements, run
from support.stub import Stub
from support.stub_judges import judge_stub, lines, quoted, settings


def says(winner: str) -> str:
    return f'{{"rationale": "so", "winner": "{winner}"}}'


def answering(prompt: str, seed: int) -> str:
    """A model's answer: some word of its own for each question and seed."""
    return f"answer {seed % 97}"


def longer(prompt: str, seed: int) -> str:
    """A judge that knows what it wants, wherever it stands."""
    _, first, second = quoted(prompt)
    return says("tie" if first == second else "1" if first > second else "2")


@pytest.fixture
def made(tmp_path: Path):
    with Stub(answer=answering) as stub:
        models = [{"model": f"openai:{name}", "name": name, "base_url": stub.url} for name in "abc"]
        yield run(tmp_path, stub, 4, models=models)


def summary(made, number: int = 0):
    return pairs(RunFolder(made.path), made.plan)["judges"][number]


def test_every_pair_is_asked_in_both_orders(made):
    with judge_stub(longer) as judge:
        report = compare(made.path, RUBRIC, settings(judge, votes=1))
        assert judge.stats()["requests"] == 4 * 3 * 2
        assert judge.server.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]["winner"]["enum"]
    assert (report["applied"], report["failed"], report["pairwise"]) == (12, [], True)
    found = summary(made)
    assert [(row["a"], row["b"], row["n"], row["inconsistent"]) for row in found["pairs"]] == [
        ("a", "b", 4, 0), ("a", "c", 4, 0), ("b", "c", 4, 0)
    ]  # fmt: skip
    texts = {(e.attempt["sample"], e.attempt["cell"]): e.attempt["completion"]["text"] for e in made}
    wins = sum(texts[f"q{n}", 0] > texts[f"q{n}", 1] for n in range(4))
    assert found["pairs"][0]["wins"] == wins and found["pairs"][0]["win_share"]["value"] == wins / 4
    assert found["pairs"][0]["win_share"]["clusters"] == 4
    assert judgements(made) == [] and len(lines(made, "judgements/pairs")) == 13
    assert made.verify() == [] and verify(made.path / report["judge"]["run"]) == []


def test_a_judge_that_always_takes_the_first_is_found_out(made):
    with judge_stub(lambda prompt, seed: says("1")) as judge:
        compare(made.path, RUBRIC, settings(judge, votes=1), against="b")
    found = summary(made)
    assert [(row["a"], row["b"]) for row in found["pairs"]] == [("a", "b"), ("b", "c")]
    assert all((row["ties"], row["inconsistent"], row["wins"]) == (4, 4, 0) for row in found["pairs"])
    assert found["position"] == {"first": 16, "second": 0, "tie": 0, "first_share": 1.0}


def test_a_pair_that_lost_an_order_stays_pending(made):
    def half(prompt: str, seed: int) -> str:
        _, first, second = quoted(prompt)
        return says("1") if first > second else "I cannot say."

    with judge_stub(half) as judge, pytest.raises(JudgeFailed) as caught:
        compare(made.path, RUBRIC, settings(judge, votes=1, limit=2))
    assert caught.value.report["applied"] == 0 and len(caught.value.report["failed"]) == 2
    with judge_stub(longer) as judge:
        assert compare(made.path, RUBRIC, settings(judge, votes=1, model={"base_url": judge.url}))["applied"] == 12
        assert compare(made.path, RUBRIC, settings(judge, votes=1))["batch"] is None
    assert made.verify() == []


def test_prompts_are_compared_too(tmp_path: Path):
    own = tmp_path / "own.md"
    own.write_text("---\nid: own\nversion: 1\ndescription: Own.\n---\nSay: {{ input }}\n")
    with Stub(answer=answering) as stub, judge_stub(longer) as judge:
        made = run(tmp_path, stub, 2, prompts=["default", str(own)])
        report = compare(made.path, RUBRIC, settings(judge, votes=3), by="prompt")
        with pytest.raises(ConfigError, match="one model only, stub: nothing to compare"):
            compare(made.path, RUBRIC, settings(judge, votes=1))
    assert report["applied"] == 2 and summary(made)["by"] == "prompt"
    assert [(row["a"], row["b"]) for row in summary(made)["pairs"]] == [("own@1", "text@1")]


def test_an_unknown_entry_names_the_nearest(made):
    with judge_stub(longer) as judge, pytest.raises(ConfigError, match="allowed: a, b, c"):
        compare(made.path, RUBRIC, settings(judge, votes=1), against="d")


def test_a_pair_that_is_none_of_the_plan_is_refused(made):
    with judge_stub(longer) as judge:
        compare(made.path, RUBRIC, settings(judge, votes=1))
    path = made.path / "judgements" / "pairs" / "0000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"winner":"a"', b'"winner":"x"'))
    with pytest.raises(JournalCorrupt, match="does not belong to the plan"):
        summary(made)
