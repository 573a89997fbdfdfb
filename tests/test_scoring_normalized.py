import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.records import Completion, Sample
from assay.scoring.normalized import normal, normalized_exact_match


def right(text, target, finish=None, **options):
    scorer = normalized_exact_match(options)
    return scorer.score(Sample("1", "?", target), Completion(text, finish)).metrics["accuracy"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("Straße", "STRASSE"),
        ("ﬁne", "fine"),
        ("1,000", "1000"),
        ("−5", "-5"),
        ("$-5", "-5"),
        ("“Paris”", "paris"),
        ("well-known", "wellknown"),
        ("कि।", "कि"),
    ],
)
def test_texts_that_are_the_same_answer(one, other):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("-5", "5"), ("3.14", "314"), (".5", "5"), ("A", ""), ("the", ""), ("++", "--"), ("कि", "का")],
)
def test_texts_that_are_not(one, other):
    assert normal(one) != normal(other)


@given(st.text(max_size=200))
def test_the_normal_form_is_its_own_normal_form_and_never_empties_a_text(text):
    once = normal(text)
    assert bool(once) == bool(text.split())
    assert " ".join(once.split()) == once


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        " Paris.\n\nQuestion: Capital of Spain?\nAnswer: Madrid",
        "Answer: Paris",
        "**Answer:** Paris",
        "A: Paris",
        "It lies on the Seine.\nSo the answer is Paris.",
        "Rome? No.\nFinal answer: Paris",
        "The answer is:\n\n**Paris**",
    ],
)
def test_where_the_answer_stands(text):
    assert right(text, "paris")


def test_the_part_that_is_judged_can_be_chosen():
    assert right("first\nlast", "last", answer="last_line")
    assert not right("first\nlast", "first", answer="last_line")
    assert right("first\nlast", "first last", answer="whole")
    assert right("The answer is first\nx", "The answer is first", answer="first_line")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes.", "yes"),
        ("yes, because the passage says so", "yes"),
        ("**No**, it does not", "no"),
        ("No, the answer is not in the passage.", "no"),
        ("I think.\nThe answer is yes", "yes"),
        ("Answer: no", "no"),
        ("Yesterday", None),
        ("Yes or no? I cannot say", None),
        ("Yes/No", None),
        ("Perhaps", None),
    ],
)
def test_a_yes_or_no_question_is_judged_by_the_leading_word(text, said):
    assert right(text, "yes") == (said == "yes")
    assert right(text, "No") == (said == "no")


def test_an_answer_cut_by_the_token_limit_is_judged_by_what_is_there():
    assert right("Yes, because the", "yes", finish="length")


def test_a_refusal_is_wrong_whatever_it_says():
    assert not right("yes", "yes", finish="refusal")


def test_hostile_text_is_scored_in_reasonable_time():
    for text in ["a" + "\u0315\u0300" * 100_000, "answer is " * 30_000, "*" * 200_000, "-." * 100_000]:
        assert not right(text, "paris")
        assert not right(text, "paris", answer="whole")
