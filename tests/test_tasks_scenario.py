"""Scenario files: factors, how they combine, and every mistake by its line."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.factors import parsed
from assay.errors import ConfigError
from assay.tasks import find, load

FILE = """\
id: greetings
version: 1
description: Who is greeted, and when.
parameters: {count: 3}
factors:
  persona:
    nurse: a nurse on nights
    student: a student before an exam
  time_slot: [morning, noon, evening]
category: persona
cluster: persona
input: |
  {{ count }} greetings for {{ persona }}, {{ time_slot }}
"""


def changed(old, new, text=FILE):
    assert old in text
    return text.replace(old, new)


def task(tmp_path, text=FILE, **options):
    path = tmp_path / "greetings.yaml"
    path.write_text(text)
    return load(f"scenario:{path}", options=options)


def problems(tmp_path, text, **options):
    with pytest.raises(ConfigError) as caught:
        task(tmp_path, text, **options)
    return caught.value.problems


def test_a_product_of_factors(tmp_path):
    made, samples = task(tmp_path)
    assert (made.kind, made.prompt, made.cluster) == ("generate", "text", "persona")
    assert [sample.id for sample in samples] == [
        f"{persona}/{slot}" for persona in ("nurse", "student") for slot in ("morning", "noon", "evening")
    ]
    first = samples[0]
    assert first.input == "3 greetings for a nurse on nights, morning"
    assert first.fields == {"count": 3, "persona": "a nurse on nights", "time_slot": "morning"}
    assert first.metadata == {"persona": "nurse", "time_slot": "morning", "category": "nurse"}


def test_factors_side_by_side(tmp_path):
    _, samples = task(tmp_path, changed("morning, noon, evening", "morning, evening") + "combine: zip\n")
    assert [sample.id for sample in samples] == ["nurse/morning", "student/evening"]


def test_a_spread_product_changes_every_factor_at_each_step(tmp_path):
    _, samples = task(tmp_path, FILE + "combine: spread\n")
    ids = [sample.id for sample in samples]
    product = [sample.id for sample in task(tmp_path, FILE + "combine: product\n")[1]]
    assert ids[:2] == ["nurse/morning", "student/noon"]
    assert sorted(ids) == sorted(product)


def test_a_drawn_part_depends_on_the_seed_alone(tmp_path):
    def drawn(seed):
        return [s.id for s in task(tmp_path, FILE + f"combine: {{sample: 4, seed: {seed}}}\n")[1]]

    def shuffled(seed):
        """The same by Fisher and Yates's shuffle of the whole list."""
        cards = [f"{persona}/{slot}" for persona in ("nurse", "student") for slot in ("morning", "noon", "evening")]
        for step in range(4):
            number = int.from_bytes(hashlib.sha256(f"assay.scenario\0{seed}\0{step}".encode()).digest()[:16], "big")
            other = step + number % (6 - step)
            cards[step], cards[other] = cards[other], cards[step]
        return cards[:4]

    assert [drawn(seed) for seed in range(5)] == [shuffled(seed) for seed in range(5)]
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_a_limit_takes_the_first(tmp_path):
    assert [sample.id for sample in task(tmp_path, FILE + "limit: 2\n")[1]] == ["nurse/morning", "nurse/noon"]


def test_options_set_parameters(tmp_path):
    assert task(tmp_path, count=5)[1][0].input.startswith("5 greetings")
    (problem,) = problems(tmp_path, FILE, cuont=5)
    assert (problem.nearest, problem.key) == ("count", "options")
    assert "'many' is no value" in problems(tmp_path, FILE, count="many")[0].message


def test_a_changed_file_is_read_again(tmp_path):
    assert task(tmp_path)[1].digest != task(tmp_path, changed("greetings for", "hymns for"))[1].digest


def test_levels_may_be_lists_and_mappings(tmp_path):
    text = changed("a nurse on nights", "{name: Ann, likes: [tea, sleep]}")
    text = changed("a student before an exam", "{name: Bo, likes: [tea]}", text)
    text = changed("{{ persona }}", "{{ persona.name }} ({{ persona.likes | join(' and ') }})", text)
    assert task(tmp_path, text)[1][0].input == "3 greetings for Ann (tea and sleep), morning"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("version: 1", "version: one", 2, "whole number"),
        ("id: greetings", "id: 7", 1, "must be a name"),
        ("description: Who", "descripion: Who", 3, "unknown key"),
        ("  time_slot: [morning, noon, evening]", "  time_slot: []", 9, "not empty"),
        ("noon", "morning", 9, "here twice"),
        ("noon", "{a: 1}", 9, "text or a number"),
        ("time_slot:", "time slot:", 9, "must be a name"),
        ("  time_slot:", "  input:", 9, "means something else"),
        ("    nurse: a nurse on nights", "    nurse:", 7, "no value"),
        ("    nurse:", "    a/b:", 7, "cannot be a label"),
        ("category: persona", "category: persno", 10, "is no factor"),
        ("cluster: persona", "limit: 0", 11, "whole number"),
        ("cluster: persona", "combine: shuffle", 11, "unknown way"),
        ("cluster: persona", "combine: zip", 11, "as many levels"),
        ("cluster: persona", "combine: {sample: 7}", 11, "only 6"),
        ("cluster: persona", "combine: {sample: 2, sed: 1}", 11, "unknown key"),
        ("{count: 3}", "{persona: 3}", 4, "is a factor, too"),
        ("{count: 3}", "[count]", 4, "must be a mapping"),
        ("{{ time_slot }}", "{{ timeslot }}", 13, "no factor or parameter 'timeslot'"),
        ("{{ time_slot }}", "{{ time_slot", 13, "not a template"),
        ("{{ time_slot }}", "{{ cycler('a') }}", 13, "not allowed"),
        ("{{ time_slot }}", "{{ time_slot.x.y }}", 13, "cannot be made"),
        ("cluster: persona", "answer: {schema: {type: nosuch}}", 11, "no JSON Schema"),
        ("cluster: persona", "answer: {longest: 3}", 11, "JSON Schema"),
        ("cluster: persona", "answer: {schema: {minItems: '{{ cuont }}'}}", 11, "no parameter 'cuont'"),
        ("cluster: persona", "answer: {schema: {}, longest: 0}", 11, "whole number of characters"),
    ],
)
def test_a_mistake_is_told_by_its_line(tmp_path, old, new, line, words):
    found = problems(tmp_path, changed(old, new))
    assert any(words in problem.message and problem.line == line for problem in found), found


def test_all_mistakes_are_told_at_once(tmp_path):
    text = changed("version: 1", "version: 0", changed("noon", "morning"))
    assert len(problems(tmp_path, text)) == 2


def test_too_many_scenarios_are_refused_and_a_part_of_them_is_not():
    factors = "".join(f"  f{n}: [{', '.join(map(str, range(100)))}]\n" for n in range(4))
    text = f"id: many\nversion: 1\ndescription: Many.\nfactors:\n{factors}input: '{{{{ f0 }}}}'\n"
    with pytest.raises(ConfigError, match="at most 100,000"):
        parsed(text, "many.yaml")
    found = parsed(text + "combine: {sample: 1000}\n", "many.yaml")
    assert len({str(one) for one in found.combinations()}) == len(found) == 1000


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 9))
def test_a_draw_of_all_is_the_product_in_another_order(sizes, seed):
    factors = "".join(f"  f{n}: [{', '.join(map(str, range(size)))}]\n" for n, size in enumerate(sizes))
    text = f"id: x\nversion: 1\ndescription: X.\nfactors:\n{factors}input: 'x'\n"
    total = math.prod(sizes)
    key = lambda one: str(sorted(one.items()))  # noqa: E731
    product = [key(one) for one in parsed(text, "x").combinations()]
    drawn = [key(one) for one in parsed(f"{text}combine: {{sample: {total}, seed: {seed}}}\n", "x").combinations()]
    assert len(set(product)) == total
    assert sorted(drawn) == sorted(product)


def test_no_file_and_no_yaml(tmp_path):
    with pytest.raises(ConfigError, match="nosuch"):
        find(f"scenario:{tmp_path}/nosuch.yaml")
    assert problems(tmp_path, "- a list\n")[0].message == "a scenario file is a mapping"
