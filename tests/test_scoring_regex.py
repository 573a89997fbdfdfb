import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.regex import regex

SAMPLE = Sample("1", "?", "42")


def score(text, sample=SAMPLE, finish=None, **options):
    return regex(options).score(sample, Completion(text, finish))


def test_without_a_group_a_match_is_enough_and_no_target_is_needed():
    found = score("I am sorry", Sample("1", "?"), pattern="sorry|afraid")
    assert found.metrics == {"accuracy": True, "extracted": True}
    assert found.extracted == "sorry"
    assert score("Sure", pattern="sorry").metrics == {"accuracy": False, "extracted": False}


def test_a_group_is_compared_with_the_target():
    assert score("x = 42;", pattern=r"x = (\d+)", group=1).metrics == {"accuracy": True, "extracted": True}
    assert score("x = 41;", pattern=r"x = (\d+)", group=1).metrics == {"accuracy": False, "extracted": True}
    assert score("x = 42", pattern=r"x = (?P<n>\d+)", group="n").extracted == "42"
    assert score("42", pattern=r"(a)?42", group=1).metrics == {"accuracy": False, "extracted": False}


def test_a_group_needs_a_target():
    with pytest.raises(ScorerError):
        score("1", Sample("1", "?"), pattern="1", group=0)


def test_the_first_or_the_last_match():
    assert score("41 42", pattern=r"\d+", group=0).extracted == "41"
    assert score("41 42", pattern=r"\d+", group=0, match="last").extracted == "42"


def test_flags():
    assert score("SORRY", pattern="sorry", flags="i").metrics["accuracy"]
    assert score("a\nb", pattern="a.b", flags="s").metrics["accuracy"]
    assert not score("a\nb", pattern="a.b").metrics["accuracy"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "pattern"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "a" * 2001}, "pattern"),
        ({"pattern": "((((a{99}){99}){99}){99}){99}"}, "pattern"),
        ({"pattern": r"(?:a\){9}[{9]{999}){999}"}, "pattern"),
        ({"pattern": "a{999999999}"}, "pattern"),
        ({"pattern": "a", "group": 1}, "group"),
        ({"pattern": "a", "group": "x"}, "group"),
        ({"pattern": "a", "group": True}, "group"),
        ({"pattern": "a", "flags": "ii"}, "flags"),
    ],
)
def test_bad_options_are_named(options, key):
    with pytest.raises(ConfigError) as caught:
        regex(options)
    assert [problem.key for problem in caught.value.problems] == [f"scoring_mode.options.{key}"]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"(a|aa)+$", "a" * 200 + "b"), (r"(?:a{1,300}){1,300}b", "a" * 3000)],
)
@pytest.mark.parametrize("match", ["first", "last"])
def test_a_pattern_that_would_hang_is_stopped_and_not_scored(pattern, text, match):
    with pytest.raises(ScorerError, match=r"took over 0\.25 s"):
        score(text, pattern=pattern, match=match)


def test_a_text_beyond_the_limit_is_not_scored():
    with pytest.raises(ScorerError, match="too long"):
        score("a" * 200_001, pattern="b")


def test_an_empty_answer_is_wrong_even_for_a_pattern_that_matches_nothing():
    assert score("", pattern="x*").why == "the completion is empty"
