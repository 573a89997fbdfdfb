from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.prompts.sandbox import MAX_OUTPUT, TemplateError
from assay.prompts.template import Template


def render(source, **variables):
    return Template(source, "p.md").render(variables)


def refusal(source, **variables):
    """Why a template is refused, when it is read or when it is rendered."""
    try:
        text = render(source, **variables)
    except ConfigError as error:
        return str(error.problems[0])
    except TemplateError as error:
        return f"{error.line}: {error.message}"
    return f"not refused: {text[:50]!r}"


def test_text_variables_branches_and_loops():
    source = "{% for c in choices %}\n{{ loop.index }}) {{ c|upper }}\n{% endfor %}\n{{ 'x' if many else 'y' }}"
    assert render(source, choices=["a", "b"], many=True) == "1) A\n2) B\nx"
    assert render("plain {# comment #}text\n") == "plain text"


def test_what_a_sample_says_is_never_a_template():
    assert render("{{ input }}", input="{{ 7 * 7 }}{% for %}") == "{{ 7 * 7 }}{% for %}"


def test_nothing_is_escaped():
    assert render("{{ a }} {{ b|tojson }}", a="<&>", b=["é<"]) == '<&> ["é<"]'


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ a['__class__'] }}",
        "{{ a|attr('__class__') }}",
        "{{ '{0.__class__}'.format(a) }}",
        "{{ '{0.__class__}'['format'](a) }}",
        "{{ a.format_map }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ loop }}",
        "{{ range.__self__ }}",
        "{{ range }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum() }}",
        "{{ namespace(x=1) }}",
        "{{ a.strip.__self__ }}",
        "{{ [].append(1) }}",
        "{{ a.encode() }}",
        "{{ a|map('attr', '__class__')|list }}",
        "{{ strip(*a) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends 'x' %}",
        "{% block x %}{% endblock %}",
        "{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}",
        "{% call x() %}{% endcall %}",
        "{% filter upper %}a{% endfilter %}",
        "{% set x = a %}",
        "{% with x = a %}{% endwith %}",
        "{% for x in a recursive %}{{ loop(x) }}{% endfor %}",
        "{{ _counted }}",
    ],
)
def test_escapes_are_refused(source):
    assert not refusal(source, a="abc").startswith("not refused")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ 'a' * 1000000000 }}", "* is not allowed in a prompt"),
        ("{{ 9 ** 9 ** 9 }}", "** is not allowed in a prompt"),
        ("{{ '%999999999d' % 1 }}", "% is not allowed in a prompt"),
        ("{{ 'a'|center(1000000000) }}", "No filter named 'center'"),
        ("{{ 'a'.ljust(1000000000) }}", "calling ljust() is not allowed in a prompt"),
        ("{{ 'a'|indent(1000000000) }}", "indent() by more than 100"),
        ("{{ {}|tojson(1000000000) }}", "Dict is not allowed in a prompt"),
        ("{{ []|tojson(1000000000) }}", "tojson() indented by more than 100"),
        ("{{ range(1000000000)|join }}", "range() of more than 1,000"),
        ("{{ many|join(many|join) }}", "join() of more than 1,000,000 characters"),
        ("{{ a" + "|replace('x', a)" * 10 + " }}", "replace() to more than 1,000,000 characters"),
        ("{% for b in range(900) %}{% for c in range(900) %}{% endfor %}{% endfor %}", "10,000 turns of loops"),
        ("{% for b in a %}{% for c in a %}{% for d in a %}{% endfor %}{% endfor %}{% endfor %}", "turns of loops"),
        ("{% for b in range(900) %}{{ many|join }}{% endfor %}", "longer than 1,000,000 characters"),
        ("{% if a %}" * 500 + "{% endif %}" * 500, "nested too deeply"),
        ("{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}", "nested too deeply"),
        ("x" * 100_001, "the template is too long"),
    ],
)
def test_bombs_are_refused(source, why):
    assert why in refusal(source, a="x" * 1000, many=["y" * 100] * 1000)


def test_a_text_may_not_be_too_long():
    assert refusal("{{ a }}{{ a }}", a="x" * MAX_OUTPUT) == "0: the text is longer than 1,000,000 characters"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ b", "p.md:12: not a template: unexpected end of template, expected 'end of print statement'"),
        ("a\nb\n{% if %}", "p.md:13: not a template: Expected an expression, got 'end of statement block'"),
        ("{% for x in y %}", "p.md:11: not a template: Unexpected end of template."),
        ("{{ a|uper }}", "p.md:11: not a template: No filter named 'uper'\n    allowed: abs, capitalize,"),
        ("a\n{{ a.uper() }}", "p.md:12: calling uper() is not allowed in a prompt; did you mean upper()?"),
        ("a\n{% set x = 1 %}", "p.md:12: {% set %} is not allowed in a prompt"),
    ],
)
def test_mistakes_are_found_when_a_template_is_read(source, message):
    with pytest.raises(ConfigError) as found:
        Template(source, "p.md", first_line=11)
    assert str(found.value.problems[0]).startswith(message)


def test_all_forbidden_things_are_told_at_once():
    with pytest.raises(ConfigError) as found:
        Template("{% set x = 1 %}\n{{ a * 2 }}\n{{ a.__class__ }}", "p.md")
    assert sorted(problem.line for problem in found.value.problems) == [1, 2, 3]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ b }}", "2: 'b' is undefined"),
        ("{% if a %}\n{{ a.b }}\n{% endif %}", "2: 'str object' has no attribute 'b'"),
        ("a\n\n{{ none }}", "3: null cannot be printed; use a loop, `join` or `tojson`"),
        ("{{ many }}", "1: a list cannot be printed; use a loop, `join` or `tojson`"),
        ("{% for x in many %}\n{{ x + 1 }}\n{% endfor %}", '2: can only concatenate str (not "int") to str'),
    ],
)
def test_mistakes_in_rendering_name_the_line(source, message):
    assert refusal(source, a="x", many=["y"]) == message


def test_needed_names_with_their_first_lines():
    source = "{{ a }}\n{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}\n{{ a }}{{ c }}"
    assert Template(source, "p.md").names == {"a": 1, "b": 2, "c": 3}
    assert Template("{% if a is defined %}{{ a }}{% endif %}{{ b|default('') }}", "p.md").names == {}


_PIECES = ["{{", "}}", "{%", "%}", "for", "in", "if", "endif", "endfor", "a", "x", "|", ".", "(", ")", "[", "]", "-"]


@given(st.text() | st.lists(st.sampled_from(_PIECES)).map(" ".join))
def test_any_source_renders_or_is_refused(source):
    with suppress(ConfigError, TemplateError):
        assert isinstance(render(source, a="x"), str)
