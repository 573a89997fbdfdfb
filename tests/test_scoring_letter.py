import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.scoring.letter import LETTERS, chosen

CITIES = ("Paris", "New York", "Rome", "York")


def letter(text, choices=CITIES):
    index, _ = chosen(text, choices)
    return None if index is None else LETTERS[index]


@pytest.mark.parametrize(
    "text",
    [
        "B",
        " b",
        "(B)",
        "B.",
        "b)",
        "B) New York",
        "B: New York",
        "**B**",
        "**B.** New York",
        "B, because it is large",
        "B\n\nQuestion: Which is next?\nA. x\nB. y\nAnswer: C",
        "The answer is (B).",
        "The answer is B because A is smaller",
        "The correct answer is: **B**",
        "answer: b",
        "Paris is in France, and Rome in Italy. Answer: B",
        "I would choose B",
        "It must be option (b)",
        r"Therefore $\boxed{B}$",
        r"\boxed{\text{B}}",
        "Large, by far, so (B) holds",
        "Let me think.\nB",
        "Let me think.\nB. New York",
        "It is clear that B fits",
        "New York",
        "new york.",
        "It is New York, of course",
        "A. Paris\nB. New York\nC. Rome\nThe answer is B",
    ],
)
def test_a_letter_is_read(text):
    assert letter(text) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "B or C",
        "A, B and C",
        "A or B",
        "B/C",
        "The answer is B. No, the answer is C.",
        "(A) and (B) both hold",
        "A. Paris\nB. New York\nC. Rome\nD. York",
        "Paris or Rome",
        "London",
        "E",
        "A city in the north",
        "...",
    ],
)
def test_an_unclear_answer_is_not_guessed(text):
    assert letter(text) is None


def test_an_article_is_no_letter_and_a_choice_may_hold_one():
    vitamins = ("Iron", "Vitamin C", "A Tale of Two Cities", "Zinc")
    assert letter("Vitamin C", vitamins) == "B"
    assert letter("It is A Tale of Two Cities", vitamins) == "C"
    assert letter("The answer is A because", vitamins) == "A"


def test_only_letters_of_choices_count():
    assert letter("C", ("yes", "no")) is None
    assert letter("The answer is C", ("yes", "no")) is None


@given(st.text(max_size=100))
def test_no_text_breaks_it(text):
    index, words = chosen(text, CITIES)
    assert index is None or 0 <= index < 4
    assert isinstance(words, str)


def test_hostile_text_takes_linear_time():
    for text in [
        "B" + "*" * 200_000 + "x",
        "answer" + " " * 200_000 + "x",
        "answer " * 30_000,
        "A" + " " * 200_000 + "b",
    ]:
        chosen(text, CITIES)
