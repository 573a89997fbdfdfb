import pytest

from assay.errors import ConfigError, ScorerError
from assay.records import Completion, Sample
from assay.scoring.contains import contains

SAMPLE = Sample("1", "?", "Paris")


def score(text, sample=SAMPLE, finish=None, **options):
    return contains(options).score(sample, Completion(text, finish))


def right(text, **options):
    return score(text, **options).metrics["accuracy"]


def test_by_default_the_target_must_occur_in_any_case():
    assert right("It is paris.")
    assert not right("It is Rome.")
    assert not right("It is paris.", case=True)


def test_any_and_all():
    assert right("red and blue", any=["green", "blue"])
    assert not right("red", any=["green", "blue"])
    assert right("red and blue", all=["red", "blue"])
    assert not right("red", all=["red", "blue"])
    assert right("red and blue", any="blue", all="red")
    assert not right("red and green", any="blue", all="red")


def test_the_target_is_needed_only_where_it_is_read():
    assert score("red", Sample("1", "?"), all=["red"]).metrics == {"accuracy": True}
    with pytest.raises(ScorerError):
        score("red", Sample("1", "?"))


def test_why_lists_what_is_missing():
    assert score("x", any=["a", "b"], all=["c"]).why == "no 'a' or 'b' in the answer; no 'c' in the answer"
    assert score("", any="a").why == "the completion is empty"
    assert score("a", any="a", finish="refusal").metrics == {"accuracy": False}


@pytest.mark.parametrize("given", [[], "", [""], 3, ["a", 1]])
def test_bad_texts_are_refused(given):
    with pytest.raises(ConfigError, match="not empty"):
        contains({"any": given})
