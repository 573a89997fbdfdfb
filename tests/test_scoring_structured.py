import json

import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.registry import make

SCHEMA = {
    "type": "object",
    "required": ["tips"],
    "properties": {"tips": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "string"}}},
}


def scored(text, longest=20, finish="stop", schema=SCHEMA):
    sample = Sample("s", "Tips?", fields={"answer_format": {"schema": schema, "longest": longest}})
    return make("structured", {}).score(sample, Completion(text, finish))


def tips(*texts):
    return json.dumps({"tips": texts})


def test_an_answer_in_the_right_form():
    score = scored(tips("Call first.", "Then rest."))
    assert score.metrics == {"format_ok": True, "usable": True, "repairs": 0.0, "overlong": False, "distinct": 1.0}


def test_a_repaired_answer_is_usable_and_not_in_the_right_form():
    score = scored(f"```json\n{tips('Call first.', 'Then rest.')}\n```")
    assert (score.metrics["format_ok"], score.metrics["usable"], score.metrics["repairs"]) == (False, True, 1.0)
    assert "fence 1" in score.why


def test_a_form_that_the_schema_refuses():
    score = scored(tips("Only one."))
    assert (score.metrics["format_ok"], score.metrics["usable"]) == (False, False)
    assert "$.tips" in score.why


def test_overlong_and_repeated_texts():
    score = scored(tips("x" * 21, "x" * 20))
    assert score.metrics["overlong"] is True
    assert scored(tips("Call first.", "call, first")).metrics["distinct"] == 0.5
    assert scored(tips("x" * 20, "y" * 20)).metrics["overlong"] is False


def test_an_answer_that_cannot_be_read_has_no_count_of_repairs():
    score = scored("1. Call your friend before noon\n2. Rest")
    assert score.metrics == {"format_ok": False, "usable": False, "overlong": True}


@pytest.mark.parametrize(("text", "finish"), [("", "stop"), ("No.", "refusal")])
def test_no_answer_has_no_form(text, finish):
    assert scored(text, finish=finish).metrics == {"format_ok": False, "usable": False, "overlong": False}


def test_the_schema_may_be_the_scorer_s_own():
    scorer = make("structured", {"schema": SCHEMA, "longest": 5})
    assert scorer.score(Sample("s", "Tips?"), Completion(tips("abcdef", "b"), "stop")).metrics["overlong"] is True
    assert scorer.revision != make("structured", {}).revision


def test_without_a_schema_nothing_is_measured():
    with pytest.raises(ScorerError, match="no schema"):
        make("structured", {}).score(Sample("s", "Tips?"), Completion("{}", "stop"))
    with pytest.raises(ScorerError, match="cannot be used"):
        scored("{}", schema={"type": "nosuch"})
    with pytest.raises(ConfigError, match="cannot be used"):
        make("structured", {"schema": {"type": "nosuch"}})
