from hypothesis import given
from hypothesis import strategies as st

from assay.data.content import asked, beside, content_key, words
from assay.data.similar import THRESHOLD, Neighbourhood, near, resemblance, shingles
from assay.records import Sample

TEXT = st.text(max_size=80)
WORDS = ["a", "few", "plain", "words", "that", "make", "up", "many", "questions"]
SENTENCE = st.lists(st.sampled_from(WORDS), max_size=30)
LONG = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her "
    "friends every day with four. She sells the remainder at the farmers' market daily for $2 per fresh duck "
    "egg. How much in dollars does she make every day at the farmers' market?"
)


def key(input, choices=(), passage=None):
    sample = Sample("x", input, choices=choices, fields={} if passage is None else {"passage": passage})
    return content_key([*asked(sample), beside(sample, ("passage",))])


def test_case_spacing_and_punctuation_do_not_count():
    assert words("  What -- is THIS,\tthen?") == ["what", "is", "this", "then"]
    assert words("well-known, x-1, 5 -3") == ["well", "known", "x-1", "5", "-3"]
    assert key("What is this?") == key("what IS  this") == key("ｗｈａｔ is this…")


def test_what_changes_the_question_counts():
    assert key("3 + 4") != key("3 * 4")
    assert key("3 apples") != key("4 apples")
    assert key("What?", ("a", "b")) != key("What?", ("b", "a"))
    assert key("ab", ("c",)) != key("a", ("bc",))
    assert key("Is it so?", passage="It is.") != key("Is it so?", passage="It is not.")
    assert key("?!") != key("...")


@given(st.text(st.characters(codec="ascii")))
def test_the_fast_way_to_find_words_gives_the_same_words(text):
    assert words(f"{text} end") == words(f"{text} end\u2014")


@given(TEXT)
def test_a_text_is_near_itself(text):
    assert near(text, text)


@given(SENTENCE, SENTENCE)
def test_nearness_is_symmetric(a, b):
    assert near(" ".join(a), " ".join(b)) == near(" ".join(b), " ".join(a))


def test_one_number_changed_in_a_long_problem_is_near():
    assert near(LONG, LONG.replace("16 eggs", "18 eggs"))
    assert near(LONG, LONG.upper())


def test_short_questions_about_other_things_are_not_near():
    assert not near("What is the capital of France?", "What is the capital of Spain?")
    assert not near(LONG, "A robe takes 2 bolts of blue fiber and half that much white fiber.")


@given(SENTENCE, SENTENCE)
def test_the_quick_checks_never_lose_a_near_sample(a, b):
    one, other = Sample("1", " ".join(a)), Sample("2", " ".join(b))
    around = Neighbourhood([one])
    sizes = len(shingles(words(other.input)))
    expected = resemblance(shingles(words(one.input)), shingles(words(other.input))) >= THRESHOLD
    assert (around.possible(sizes) and around.near(other)) == expected


def test_a_shared_passage_alone_is_not_near_and_neither_is_a_shared_question():
    def sample(question, passage):
        return Sample("x", question, fields={"passage": passage})

    around = Neighbourhood([sample("is ethanol a fuel", LONG)], ("passage",))
    assert around.near(sample("is ethanol a fuel", LONG.replace("16", "17")))
    assert not around.near(sample("can ducks make fuel", LONG))
    assert not around.near(sample("is ethanol a fuel", "Ethanol is an alcohol."))


def test_choices_are_part_of_what_is_asked():
    around = Neighbourhood([Sample("1", "Which is right?", choices=("the blue one here", "the red one there"))])
    other = Sample("2", "Which is right?", choices=("a house on a hill", "a boat in the bay"))
    assert not around.near(other)
