import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.exact import exact_match

PARIS = Sample("1", "Capital of France?", "Paris")


def score(text, sample=PARIS, finish=None, **options):
    return exact_match(options).score(sample, Completion(text, finish))


@pytest.mark.parametrize(
    ("text", "right"), [("Paris", True), (" Paris\n", True), ("paris", False), ("Paris.", False), ("", False)]
)
def test_the_whole_text_must_be_the_target(text, right):
    assert score(text).metrics == {"accuracy": right}


def test_white_space_counts_where_it_is_asked_to():
    assert score(" Paris", strip=False).metrics == {"accuracy": False}
    assert score("Paris", strip=False).metrics == {"accuracy": True}


def test_a_choice_sample_without_target_is_compared_with_its_right_choices():
    sample = Sample("1", "?", choices=("Rome", "Paris"), gold=(1,))
    assert score("Paris", sample).metrics == {"accuracy": True}
    assert score("Rome", sample).metrics == {"accuracy": False}


def test_without_a_target_nothing_can_be_scored():
    with pytest.raises(ScorerError, match="'7' has no target"):
        score("Paris", Sample("7", "?"))


def test_why_says_what_happened():
    assert score("Rome").why == "'Rome' is not 'Paris'"
    assert score("Ro", finish="length").why == "'Ro' is not 'Paris'; the completion was cut by its token limit"
    assert score(" \n").why == "the completion is empty"
    assert score("I cannot", finish="refusal").why == "the model refused to answer"


def test_a_bad_option_says_what_is_allowed():
    with pytest.raises(ConfigError, match="allowed: true, false"):
        exact_match({"strip": "yes"})
