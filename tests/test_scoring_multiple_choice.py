import math

import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import ChoiceScore, Completion, Sample
from assay.scoring.multiple_choice import multiple_choice

SAMPLE = Sample("1", "?", choices=("cat", "a very long dog", "cow"), gold=(1,))


def by_logprob(*logprobs, sample=SAMPLE, tokens=1):
    choices = tuple(ChoiceScore(value, tokens) for value in logprobs)
    return multiple_choice({}).score(sample, Completion(choices=choices))


def by_letter(text, finish=None, sample=SAMPLE):
    return multiple_choice({"by": "letter"}).score(sample, Completion(text, finish))


def test_what_each_form_needs():
    assert multiple_choice({}).needs == "choices"
    assert multiple_choice({"by": "letter"}).needs == "text"
    assert multiple_choice({}).revision != multiple_choice({"by": "letter"}).revision
    with pytest.raises(ConfigError, match="allowed: logprob, letter"):
        multiple_choice({"by": "guess"})


def test_the_sum_and_the_sum_per_character_can_disagree():
    score = by_logprob(-4.0, -9.0, -7.0)
    assert score.metrics == {"accuracy": False, "accuracy_norm": True, "margin": -5.0}
    assert score.extracted == "A"
    assert score.why == "A is the most likely, not B, by 5 nats"


def test_the_most_likely_wins():
    score = by_logprob(-4.0, -1.0, -7.0)
    assert score.metrics == {"accuracy": True, "accuracy_norm": True, "margin": 3.0}


@pytest.mark.parametrize("gold", [0, 1])
def test_a_tie_is_not_a_win_whichever_comes_first(gold):
    sample = Sample("1", "?", choices=("one", "two", "six"), gold=(gold,))
    score = by_logprob(-1.0, -1.0, -7.0, sample=sample)
    assert score.metrics == {"accuracy": False, "accuracy_norm": False, "margin": 0.0}
    assert score.why == "A or B are equally likely; a tie is not a win"


def test_of_several_right_choices_one_is_enough():
    sample = Sample("1", "?", choices=("one", "two", "six"), gold=(0, 2))
    assert by_logprob(-9.0, -5.0, -1.0, sample=sample).metrics["accuracy"]
    assert by_logprob(-1.0, -5.0, -1.0, sample=sample).metrics["accuracy"]


@pytest.mark.parametrize("logprobs", [(-1.0, -2.0), (-1.0, math.nan, -3.0), (-1.0, -math.inf, -3.0)])
def test_missing_log_likelihoods_are_never_scored(logprobs):
    with pytest.raises(ScorerError):
        by_logprob(*logprobs)


def test_a_choice_of_no_tokens_has_no_likelihood():
    with pytest.raises(ScorerError, match="choice A has no log-likelihood"):
        by_logprob(0.0, -1.0, -2.0, tokens=0)


@pytest.mark.parametrize(
    ("choices", "gold"),
    [(("a", "b"), ()), (("a", "b"), (2,)), (("a", "b"), (0, 1)), (("a",), (0,)), ((), ())],
)
@pytest.mark.parametrize("by", ["logprob", "letter"])
def test_a_sample_that_is_no_question_cannot_be_scored(choices, gold, by):
    with pytest.raises(ScorerError):
        multiple_choice({"by": by}).score(Sample("1", "?", choices=choices, gold=gold), Completion("A"))


def test_the_letter_is_scored_and_explained():
    score = by_letter("The answer is (B).")
    assert score.metrics == {"accuracy": True, "extracted": True}
    assert score.extracted == "B"
    assert by_letter("C").why == "'C' chooses C, not B"


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("", None, "the completion is empty"),
        ("B", "refusal", "the model refused to answer"),
        ("A or C", None, "no choice can be read from the answer: it names A and C"),
        ("Well,", "length", "it names no choice; the completion was cut by its token limit"),
    ],
)
def test_no_letter_is_wrong_and_not_extracted(text, finish, why):
    score = by_letter(text, finish)
    assert score.metrics == {"accuracy": False, "extracted": False}
    assert why in score.why
