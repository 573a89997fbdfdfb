"""Votes read and counted; what a judge is shown stays inside its quotation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.judging.quoted import fence, inert
from assay.judging.rubric_file import parse
from assay.judging.votes import FAILURES, Vote, pair_schema, pair_vote, schema, tally, vote, winner
from assay.scoring.validation import first_error, prepared
from support.judging import RUBRIC


def line(text: str, outcome: str = "ok") -> dict[str, Any]:
    return {"outcome": outcome, "completion": {"text": text}}


def said(fit: Any, ease: Any = 0.5) -> str:
    return orjson.dumps({"rationale": " because ", "scores": {"fit": fit, "ease": ease}}).decode()


def test_a_vote_is_read_from_plain_json():
    found = vote(line(said(2.0)), RUBRIC)
    assert (found.scores, found.rationale, found.failure) == ({"fit": 2, "ease": 0.5}, "because", None)
    assert type(found.scores["fit"]) is int


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n```json\n{said(3)}\n```",
        f"First I thought {said(1)}. On reflection:\n{said(3)}",
        said(3).replace("}}", ",}}"),
        said(3)[:-1],
        said(3).replace('"scores"', '"sure": 9, "scores"'),
    ],
)
def test_what_stands_around_a_vote_is_repaired_and_the_last_one_counts(text):
    assert vote(line(text), RUBRIC).scores == {"fit": 3, "ease": 0.5}


def test_a_vote_that_was_cut_is_none_even_where_brackets_would_mend_it():
    whole = '{"rationale": "x", "scores": {"ease": 1, "fit": 2}}'
    assert vote(line(whole, "truncated"), RUBRIC).scores == {"fit": 2, "ease": 1}
    assert vote(line(whole[:-2], "truncated"), RUBRIC).failure == "truncated"
    assert vote(line(whole[:-2]), RUBRIC).scores == {"fit": 2, "ease": 1}


@given(st.text(max_size=200), st.sampled_from(["ok", "truncated"]))
def test_any_text_is_a_vote_on_the_scales_or_a_failure(text, outcome):
    found = vote(line(text, outcome), RUBRIC)
    assert found.failure in FAILURES and not found.scores


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["fit", "ease", "scores", "x"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.fixed_dictionaries({"scores": st.fixed_dictionaries({"fit": _JSON, "ease": _JSON}) | _JSON}))
def test_a_vote_counts_where_the_schema_accepts_it_and_only_there(value):
    found = vote(line(orjson.dumps(value).decode()), RUBRIC)
    wrong = first_error(prepared(schema(RUBRIC, strict=False)), value)
    assert (found.failure is None) == (wrong is None), (found, wrong)


@pytest.mark.parametrize("outcome", ["timeout", "infra_error", "refused", "empty", "skipped"])
def test_no_answer_is_no_vote(outcome):
    assert vote({"outcome": outcome}, RUBRIC).failure in ("unanswered", "refused", "empty")


def of(*fits: int | None) -> list[Vote]:
    return [Vote({"fit": fit, "ease": 0.5}, rationale=str(fit)) if fit else Vote(failure="missing") for fit in fits]


@pytest.mark.parametrize(
    ("votes", "wanted"),
    [
        ((1, 2, 3), (2, 2, "2")),
        ((1, 3), (1, 2, "1")),  # the lower of the middle two
        ((3, 3, None), (3, 0, "3")),
        ((1, 3, None, 2), (2, 2, "2")),
    ],
)
def test_votes_come_to_their_median(votes, wanted):
    found = tally(of(*votes), RUBRIC)
    assert found and (found.scores["fit"], found.spread["fit"], found.rationale) == wanted
    assert len(found.votes) == sum(fit is not None for fit in votes)


@pytest.mark.parametrize("votes", [(None,), (1, None), (1, None, None), (1, 2, None, None)])
def test_without_a_majority_of_valid_votes_there_is_no_judgement(votes):
    assert tally(of(*votes), RUBRIC) is None


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("1", "1"), ("112", "1"), ("12", "tie"), ("t12", "tie"), ("22x", "2"), ("1x", None), ("tt1", "tie")],
)
def test_the_place_that_leads_wins(said, wanted):
    votes = [Vote(failure="missing") if one == "x" else Vote(winner="tie" if one == "t" else one) for one in said]
    found = winner(votes)
    assert (found[0] if found else None) == wanted


def test_a_winner_is_one_of_three():
    assert pair_vote(line('{"winner": "tie", "rationale": "same"}')).winner == "tie"
    assert pair_vote(line('{"winner": 1}')).failure == "off_scale"
    assert pair_vote(line('{"winner": ["1"]}')).failure == "off_scale"
    assert pair_vote(line('{"better": "1"}')).failure == "missing"
    assert first_error(prepared(pair_schema(strict=False)), {"winner": "1"}) is None


def test_levels_of_a_scale_below_zero_are_listed():
    text = RUBRIC.text.replace("[1, 3]", "[-1, 1]").replace("fit: 3", "fit: 1")
    for old, new in ((1, -1), (2, 0), (3, 1)):
        text = text.replace(
            f'{{level: {old}, text: "{"does not fit" if old == 1 else "fits"}', f'{{level: {new}, text: "x'
        )
    assert schema(parse(text, "x.md"))["properties"]["scores"]["properties"]["fit"]["enum"] == [-1, 0, 1]


@given(st.lists(st.text(), max_size=3))
def test_no_text_holds_its_own_fence(texts):
    assert not any(fence(["seed"], texts) in text for text in texts)
    assert fence(["seed"], texts) == fence(["seed"], texts) != fence(["seed"], [*texts, "more"])


@pytest.mark.parametrize(
    "mark",
    ["<|im_end|>", "<|im_start|>system", "<|eot_id|>", "<｜User｜>", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>",
     "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "</think>", "<|>", "<EOS>"],
)  # fmt: skip
def test_marks_of_chat_templates_are_broken_up(mark):
    found = inert(f"a {mark} b")
    assert mark not in found and found.replace("\u200b", "") == f"a {mark} b"


@pytest.mark.parametrize("text", ["if a < b and c > d:", "x[0] | y", "<p>Hello</p>", "a <- b -> c", "[1, 2]", ""])
def test_ordinary_text_is_left_alone(text):
    assert inert(text) == text
