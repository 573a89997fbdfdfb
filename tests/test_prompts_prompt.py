import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, EvidenceError
from assay.files import canonical
from assay.prompts.prompt import ANSWER, LETTER_ANSWER, Prompt, parse

GOOD = """\
---
id: mentor
version: 2
description: A patient voice.
variables: [input, choices, letters]
system: You are a patient teacher.
---

{{ input }}
{% for choice in choices %}
{{ letters[loop.index0] }}. {{ choice }}
{% endfor %}
"""


def complaints(text):
    with pytest.raises(ConfigError) as found:
        parse(text, "p.md")
    return [str(problem) for problem in found.value.problems]


def head(text, body="{{ input }}"):
    return f"---\nid: p\nversion: 1\ndescription: d\n{text}\n---\n{body}\n"


def test_a_good_prompt():
    prompt = parse(GOOD, "p.md")
    assert (prompt.id, prompt.version, prompt.description) == ("mentor", 2, "A patient voice.")
    assert prompt.system == "You are a patient teacher."
    assert prompt.body.startswith("{{ input }}\n")
    assert prompt.variables == ("input", "choices", "letters")


def test_the_answer_is_a_letter_where_the_template_shows_letters():
    assert parse(GOOD, "p.md").answer == LETTER_ANSWER
    assert parse(head(""), "p.md").answer == ANSWER
    assert parse(head("answer: '{{ choice }}'", "{{ letters }}"), "p.md").answer == "{{ choice }}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.md:1: a prompt starts with front matter\n    allowed: a line '---', the front matter, a line '---', "
         "the template"),
        ("---\nid: x\n", "p.md:1: the front matter has no end\n    allowed: a second line '---'"),
        (head("", body="\n\n"), "p.md:6: the template is empty"),
        ("---\n- a\n---\nx", "p.md:2: the front matter is not a mapping"),
        (head("sistem: x"), "p.md:5: sistem: unknown key\n    did you mean 'system'?\n    allowed: id, version, "
         "description, variables, system, answer"),
        (head("id: y"), "p.md:5: id: this key is here twice (first on line 2)"),
        (head("system: 5"), "p.md:5: system: must be text"),
        (head("variables: input"), "p.md:5: variables: must be a list of names (letters, digits and '_')"),
        (head("variables: [a b]"), "p.md:5: variables: must be a list of names (letters, digits and '_')"),
        (head("variables: [inputs]"), "p.md:7: 'input' is not in 'variables'\n    did you mean 'inputs'?\n    "
         "allowed: inputs"),
        (head("", "x\n{{ target }}"), "p.md:8: 'target' would tell the model the answer\n    allowed: only in "
         "'answer:'"),
        (head("", "x\n\n{% if %}"), "p.md:9: not a template: Expected an expression, got 'end of statement block'"),
        (head("system: '{% set x = 1 %}'"), "p.md:5: {% set %} is not allowed in a prompt"),
        (head("answer: '{{ letter'"), "p.md:5: not a template: unexpected end of template, expected 'end of print "
         "statement'"),
        (head("", "x").replace("version: 1", "version: 0"), "p.md:3: version: must be a whole number ≥ 1"),
        (head("", "x").replace("version: 1", "version: '1'"), "p.md:3: version: must be a whole number ≥ 1"),
        (head("", "x").replace("id: p", "id: a b"), "p.md:2: id: must be a name (letters, digits, '.', '_' and '-'; "
         "at most 100)"),
        (head("", "x").replace("id: p", "id: default"), "p.md:2: id: 'default' stands for each task's own prompt and "
         "cannot be a name"),
        (head("", "x").replace("description: d", "description:"), "p.md:4: description: must be text"),
    ],
)  # fmt: skip
def test_each_mistake_has_one_message_with_its_line(text, message):
    assert complaints(text)[0] == message


def test_all_mistakes_are_told_at_once():
    assert len(complaints("---\nid: a b\nversion: x\nsystem: 5\nfoo: 1\n---\nx")) == 5
    assert len(complaints(head("system: '{{ a'\nanswer: '{{ b'", "{{ c"))) == 3


def test_a_prompt_survives_its_json():
    prompt = parse(GOOD, "p.md")
    assert Prompt.from_json(prompt.to_json()) == prompt
    assert "p.md" not in str(prompt.to_json())


@pytest.mark.parametrize(
    "change",
    [{"body": "{{ input }}!"}, {"digest": "0" * 64}, {"system": None}, {"version": "2"}, {"variables": [1]}, {"x": 1}],
)
def test_a_stored_prompt_that_was_changed_is_refused(change):
    with pytest.raises(EvidenceError):
        Prompt.from_json(parse(GOOD, "p.md").to_json() | change)


def test_the_digest_covers_what_shapes_a_request_and_nothing_else():
    prompt = parse(GOOD, "p.md")
    same = parse(GOOD.replace("mentor", "m").replace("version: 2", "version: 3").replace("A patient", "An"), "q.md")
    assert same.digest == prompt.digest
    for old, new in [("{{ input }}", "{{ input }} "), ("teacher", "friend"), ("system:", "answer: x\nsystem:")]:
        assert parse(GOOD.replace(old, new), "p.md").digest != prompt.digest


_PIECES = st.text(max_size=4) | st.sampled_from(["{{", "}}", "{%", "%}", ":", "-", "[", "]"])


@given(st.integers(0, len(GOOD)), st.integers(0, 6), _PIECES)
def test_any_edit_of_a_good_file_parses_or_is_a_config_error(start, length, text):
    try:
        prompt = parse(GOOD[:start] + text + GOOD[start + length :], "p.md")
        assert Prompt.from_json(prompt.to_json()) == prompt
        canonical(prompt.to_json())
    except ConfigError as error:
        assert all(problem.line for problem in error.problems)
