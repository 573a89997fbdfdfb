import pytest

from assay.errors import ConfigError
from assay.prompts.library import find
from assay.prompts.prompt import Prompt, parse
from assay.prompts.render import Renderer, check, letters
from assay.records import Message, Sample

EGG = Sample("egg", "How do I boil an egg?", "in water", ("in water", "in oil"), (0,))
BREAD = Sample("bread", "How do I cut bread?", "with a knife", ("with a spoon", "with a knife"), (1,))
COLD = Sample("cold", "is ice cold", "yes", ("yes", "no"), (0,), {"passage": "Ice is cold."})
HOT = Sample("hot", "is ice hot?", "no", ("yes", "no"), (1,), {"passage": "Ice is cold."})
SUM = Sample("sum", "What is 1 + 1?", "1 + 1 = 2\n#### 2")
_CODE = {"entry_point": "one", "setup": "", "tests": "assert one() == 1"}
ONE = Sample("one", 'def one():\n    """Gives 1."""\n', "    return 1\n", fields={**_CODE, "complete": True})
MBPP = Sample("m", "Write one.\nassert one() == 1", "def one():\n    return 1\n", fields={**_CODE, "complete": False})


def prompt(body, **more):
    return Prompt("p", 1, "d", body, **more)


def text(name, demos, mode, sample):
    messages, text = Renderer(find(name), demos, mode).request_parts(sample)
    assert (text is None) == (mode == "chat")
    return text if text is not None else [(message.role, message.content) for message in messages]


def test_choices_by_likelihood():
    renderer = Renderer(find("choice"), [BREAD], "choices")
    assert renderer.request_parts(EGG) == (
        (),
        "Question: How do I cut bread?\nAnswer: with a knife\n\nQuestion: How do I boil an egg?\nAnswer:",
    )
    assert renderer.continuations(EGG) == (" in water", " in oil")


def test_choices_by_letter_in_a_chat():
    question = "Question: {}\nA. {}\nB. {}\nAnswer with the letter only.\nAnswer:"
    assert text("choice", [BREAD], "chat", EGG) == [
        ("user", question.format(BREAD.input, *BREAD.choices)),
        ("assistant", "B"),
        ("user", question.format(EGG.input, *EGG.choices)),
    ]


def test_choices_by_letter_in_a_completion():
    assert text("choice", [BREAD], "completion", EGG).endswith(
        "B. with a knife\nAnswer with the letter only.\nAnswer: B\n\nQuestion: How do I boil an egg?\n"
        "A. in water\nB. in oil\nAnswer with the letter only.\nAnswer:"
    )


def test_boolq():
    assert text("boolq", [HOT], "chat", COLD) == [
        ("user", "Passage: Ice is cold.\nQuestion: is ice hot?\nAnswer with yes or no only.\nAnswer:"),
        ("assistant", "no"),
        ("user", "Passage: Ice is cold.\nQuestion: is ice cold?\nAnswer with yes or no only.\nAnswer:"),
    ]


def test_gsm8k_demonstrations_show_the_whole_solution():
    found = text("gsm8k", [SUM], "completion", SUM)
    assert "Answer: 1 + 1 = 2\n#### 2\n\nQuestion: What is 1 + 1?\n" in found
    assert found.endswith("in the form: #### <number>\nAnswer:")


def test_code_is_returned_whole_in_a_chat_and_continued_otherwise():
    question = "Complete this Python function. Return the whole function in one ```python block.\n\n```python\n{}\n```"
    whole = '```python\ndef one():\n    """Gives 1."""\n    return 1\n```'
    stripped = 'def one():\n    """Gives 1."""'
    assert text("code", [ONE], "chat", ONE) == [
        ("user", question.format(stripped)),
        ("assistant", whole),
        ("user", question.format(stripped)),
    ]
    assert text("code", [ONE], "completion", ONE) == f"{stripped}\n    return 1\n\n{stripped}"


def test_mbpp():
    solution = "def one():\n    return 1"
    assert text("mbpp", [MBPP], "chat", MBPP)[1] == ("assistant", f"```python\n{solution}\n```")
    shown = '"""\nWrite one.\nassert one() == 1\n"""'
    assert text("mbpp", [MBPP], "completion", MBPP) == f"{shown}\n{solution}\n\n{shown}"


def test_text_is_the_input():
    assert text("text", [], "completion", SUM) == SUM.input
    assert text("text", [SUM], "chat", SUM)[0] == ("user", SUM.input)


@pytest.mark.parametrize(
    ("sample", "ends", "answer"),
    [
        (EGG, "Reply with its letter only.\n\nQuestion: How do I boil an egg?\nA. in water\nB. in oil\nAnswer:", "A"),
        (COLD, "one word: yes or no.\n\nPassage: Ice is cold.\n\nQuestion: is ice cold\nAnswer:", "yes"),
        (SUM, "on the last line.\n\nQuestion: What is 1 + 1?\nAnswer:", SUM.target),
        (ONE, 'in one ```python block.\n\ndef one():\n    """Gives 1."""', None),
        (MBPP, "in one ```python block.\n\nWrite one.\nassert one() == 1", None),
    ],
)
def test_instruct_fits_every_kind_of_task(sample, ends, answer):
    system, user, assistant, last = text("instruct", [sample], "chat", sample)
    assert system[0] == "system"
    assert user == last
    assert last[1].endswith(ends)
    if answer is None:
        assert assistant[1].startswith("```python\ndef one():")
        assert assistant[1].endswith("    return 1\n```")
    else:
        assert assistant[1] == answer


@pytest.mark.parametrize("sample", [EGG, COLD])
def test_instruct_by_likelihood_shows_no_letters(sample):
    renderer = Renderer(find("instruct"), [], "choices")
    assert "A." not in renderer.request_parts(sample)[1]
    assert renderer.request_parts(sample)[1].endswith("\nAnswer:")
    assert renderer.continuations(sample) == tuple(f" {choice}" for choice in sample.choices)


def test_instruct_leaves_code_to_be_continued_alone():
    assert text("instruct", [], "completion", ONE) == 'def one():\n    """Gives 1."""'


@pytest.mark.parametrize("name", ["choice", "boolq", "gsm8k", "code", "mbpp", "text", "instruct"])
@pytest.mark.parametrize("mode", ["chat", "completion", "choices"])
def test_built_in_prompts_fit_their_tasks(name, mode):
    fitting = {"choice": [EGG], "boolq": [COLD], "gsm8k": [SUM], "code": [ONE], "mbpp": [MBPP], "text": [SUM, ONE]}
    for sample in fitting.get(name, [EGG, COLD, SUM, ONE, MBPP]):
        if mode != "choices" or sample.choices:
            assert check(find(name), sample, mode) == []


def test_the_model_s_system_comes_before_the_prompt_s():
    both = Renderer(prompt("{{ input }}", system="Be brief."), [], "chat", system="Think off.\n")
    assert both.request_parts(SUM)[0] == (
        Message("system", "Think off.\n\nBe brief."),
        Message("user", "What is 1 + 1?"),
    )
    one = Renderer(prompt("{{ input }}", system="Be brief."), [SUM], "completion")
    assert one.request_parts(SUM)[1].startswith("Be brief.\n\nWhat is 1 + 1? 1 + 1 = 2")


def test_the_white_space_at_the_end_of_a_template_comes_before_the_continuation():
    renderer = Renderer(prompt("{{ input }}\n\n"), [BREAD], "choices")
    assert renderer.request_parts(EGG)[1] == "How do I cut bread?\nwith a knife\n\nHow do I boil an egg?"
    assert renderer.continuations(EGG) == ("\nin water", "\nin oil")


def test_the_first_of_several_right_choices_is_shown():
    demo = Sample("d", "q", choices=("x", "y", "z"), gold=(1, 2))
    assert "q y" in Renderer(prompt("{{ input }}"), [demo], "choices").request_parts(EGG)[1]


def test_fields_do_not_hide_what_every_sample_has():
    assert text("text", [], "completion", Sample("s", "right", fields={"input": "wrong"})) == "right"


def test_a_missing_variable_names_the_line_and_what_there_is():
    missing = parse("---\nid: p\nversion: 1\ndescription: d\n---\nx\n{{ pasage }}\n{{ foo }}", "p.md")
    assert [str(problem) for problem in check(missing, COLD, "chat")] == [
        "p.md:7: the task has no variable 'pasage'\n    did you mean 'passage'?\n    allowed: choices, input, letters, "
        "mode, passage",
        "p.md:8: the task has no variable 'foo'\n    allowed: choices, input, letters, mode, passage",
    ]
    with pytest.raises(ConfigError, match=r"p.md:7: 'pasage' is undefined \(sample 'cold'\)"):
        Renderer(missing).request_parts(COLD)


def test_a_variable_of_another_branch_is_not_missed():
    body = "{% if passage is defined %}{{ passage }} {{ title }}{% endif %}{{ input }}"
    assert check(prompt(body), SUM, "chat") == []
    assert "no variable 'title'" in str(check(prompt(body), COLD, "chat")[0])


def test_choices_need_choices():
    assert "has no choices to score" in str(check(find("text"), SUM, "choices")[0])
    with pytest.raises(ConfigError, match="the demonstration 'sum' has no right choice"):
        Renderer(find("text"), [SUM], "choices")


def test_a_demonstration_without_a_right_choice_has_no_letter():
    blind = Sample("blind", "q", choices=("x", "y"))
    with pytest.raises(ConfigError, match=r"'letter' is undefined \(sample 'blind'\)"):
        Renderer(find("choice"), [blind], "chat")


def test_letters():
    assert letters(3) == ["A", "B", "C"]
    assert letters(28)[24:] == ["Y", "Z", "AA", "AB"]
    assert len(set(letters(700))) == 700
