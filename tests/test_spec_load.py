import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.spec.load import load, load_located, parse
from assay.spec.schema import ScoringSpec, Spec

EXAMPLES = Path(__file__).parent.parent / "examples"
GOOD = """\
name: good
models:
  - smollm2-135m
  - model: openai:gpt@http://localhost:8000/v1
    api: chat
    options: {slots: 4}
tasks:
  - piqa
  - task: boolq
    few_shot: 3
    limit: 20
    scoring_mode: {mode: regex, options: {pattern: "(yes|no)"}}
sampling:
  temperature: 0.5
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="spec.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def complaints(path):
    """Every problem of a file, without the folder."""
    with pytest.raises(ConfigError) as found:
        load(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in found.value.problems]


def test_a_good_spec(write):
    spec = load(write(GOOD))
    assert [model.model for model in spec.models] == ["smollm2-135m", "openai:gpt@http://localhost:8000/v1"]
    assert [task.task for task in spec.tasks] == ["piqa", "boolq"]
    assert spec.tasks[1].scoring_mode == ScoringSpec(mode="regex", options={"pattern": "(yes|no)"})
    assert spec.prompts == ("default",)
    assert spec.sampling.temperature == 0.5


def test_json_and_yaml_say_the_same(write):
    spec = load(write(GOOD))
    assert load(write(json.dumps(spec.model_dump(mode="json")), "spec.json")) == spec


def test_the_examples_load(monkeypatch):
    monkeypatch.setenv("EVAL_URL", "http://localhost:8000/v1")
    for path in sorted(set(EXAMPLES.glob("*.yaml")) - set(EXAMPLES.glob("release-*.yaml"))):
        assert load(path).name == path.stem


BASE = "models: [m]\ntasks: [t]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + "modles: [m]",
            "spec.yaml:3: modles: unknown key\n    did you mean 'models'?\n    allowed: name, description, models, "
            "prompts, tasks, seed, few_shot, limit, epochs, sampling, concurrency, retry, budget, cache, max_model_b, "
            "env",
        ),
        (BASE + "limit: ten", "spec.yaml:3: limit: must be a whole number ≥ 1, not 'ten'"),
        (BASE + "limit: 0", "spec.yaml:3: limit: must be a whole number ≥ 1, not 0"),
        (BASE + "limit: 1e3", "spec.yaml:3: limit: must be a whole number ≥ 1, not 1000.0; write 1000"),
        (BASE + "limit: '5'", "spec.yaml:3: limit: must be a whole number ≥ 1, not '5'"),
        (BASE + "limit: true", "spec.yaml:3: limit: must be a whole number ≥ 1, not true"),
        (BASE + "seed: -1", "spec.yaml:3: seed: must be a whole number ≥ 0, not -1"),
        (BASE + "seed: 9223372036854775808", "spec.yaml:3: seed: must be a whole number ≥ 0, not 9223372036854775808"),
        (BASE + "name:", "spec.yaml:3: name: must be a name (letters, digits, '.', '_' and '-', the first a letter or "
         "digit; at most 100), not empty"),
        (BASE + "name: no way", "spec.yaml:3: name: must be a name (letters, digits, '.', '_' and '-', the first a "
         "letter or digit; at most 100), not 'no way'"),
        (BASE + "few_shot: 101", "spec.yaml:3: few_shot: must be a whole number ≥ 0 and ≤ 100, not 101"),
        (BASE + "cache: onn", "spec.yaml:3: cache: must be auto, on or off, not 'onn'\n    did you mean 'on'?"),
        (BASE + "prompts: instruct", "spec.yaml:3: prompts: must be a list of at least one (each text that is not "
         "empty), not 'instruct'; write ['instruct']"),
        (BASE + "prompts: []", "spec.yaml:3: prompts: must be a list of at least one (each text that is not empty), "
         "not an empty list"),
        (BASE + "sampling: {temperature: hot}", "spec.yaml:3: sampling.temperature: must be a number ≥ 0 and ≤ 10, "
         "not 'hot'"),
        (BASE + "sampling:\n  stop: x", "spec.yaml:4: sampling.stop: must be a list (each text), not 'x'; write ['x']"),
        (BASE + "budget: {money: 0}", "spec.yaml:3: budget.money: must be a number > 0, not 0"),
        (BASE + "retry: 5", "spec.yaml:3: retry: must be a mapping, not 5"),
        (BASE + "concurrency:\n  start: 9\n  limit: 3",
         "spec.yaml:3: concurrency: start (9) must not be above limit (3)"),
        ("models: [{model: m, choices: yes}]\ntasks: [t]",
         "spec.yaml:1: models[0].choices: must be true or false, not 'yes'; write true"),
        ("models: [{name: m}]\ntasks: [t]",
         "spec.yaml:1: models[0].model: missing\n    allowed: text that is not empty"),
        ("models: [7]\ntasks: [t]", "spec.yaml:1: models[0]: must be a model's name, or a mapping, not 7"),
        ("models: [{model: m, options: {a: [1]}}]\ntasks: [t]", "spec.yaml:1: models[0].options.a: must be true or "
         "false, a whole number, a number or text, not a list"),
        ("models: [{model: m, options: {mmap: on}}]\ntasks: [t]", "spec.yaml:1: models[0].options.mmap: on is true or "
         "false for some readers of YAML, and text for others\n    allowed: true, false, or 'on' in quotes"),
        ("models: [{model: m, prices: {input: 1}}]\ntasks: [t]",
         "spec.yaml:1: models[0].prices.output: missing\n    allowed: a number ≥ 0"),
        ("models: [m]\ntasks:\n  - task: t\n    scoring_mode: {mod: x}",
         "spec.yaml:4: tasks[0].scoring_mode.mode: missing\n    allowed: a name (letters, digits, '.', '_' and '-', "
         "the first a letter or digit; at most 100)"),
        ("models: [m]\ntasks:\n  - task: t\n    scoring_mode: [x]",
         "spec.yaml:4: tasks[0].scoring_mode: must be a name (letters, digits, '.', '_' and '-', the first a letter "
         "or digit; at most 100) or a mapping, not a list"),
        ("models: [m]\ntasks:\n  - task: t\n    few_shto: 3", "spec.yaml:4: tasks[0].few_shto: unknown key\n    did "
         "you mean 'few_shot'?\n    allowed: task, name, few_shot, limit, seed, epochs, scoring_mode, "
         "code_exec_policy, max_tokens, stop, fields, options, cluster"),
        ("tasks: [t]", "spec.yaml:1: models: missing\n    allowed: a list of at least one (each a model's name, or a "
         "mapping)"),
        (BASE + "limit: 010", "spec.yaml:3: 010 is ambiguous: a leading zero makes it octal for some readers\n    "
         "allowed: 10 for the number, '010' in quotes for text"),
        ("", "spec.yaml:1: the file is empty\n    allowed: keys such as 'models:' and 'tasks:'"),
        ("- m", "spec.yaml:1: a spec is a mapping of keys to values\n    allowed: keys such as 'models:' and 'tasks:'"),
    ],
)  # fmt: skip
def test_each_mistake_has_one_message(write, text, message):
    assert complaints(write(text))[0] == message


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order(write):
    text = BASE + "seed: x\nseed: 2\nlimmit: 5\nsampling: {top_p: 2, temperature: x}\nenv: [1X]\nname: ${HOME}\n"
    found = [problem.split(": ")[0:2] for problem in complaints(write(text))]
    assert found == [
        ["spec.yaml:3", "seed"],
        ["spec.yaml:4", "seed"],
        ["spec.yaml:5", "limmit"],
        ["spec.yaml:6", "sampling.temperature"],
        ["spec.yaml:6", "sampling.top_p"],
        ["spec.yaml:7", "env[0]"],
        ["spec.yaml:8", "name"],
    ]


def test_messages_are_ours(write):
    """Nothing of the library that checks shapes comes through."""
    text = GOOD.replace("0.5", "x").replace("few_shot: 3", "few_shot: [x]").replace("good", "not good")
    told = "\n".join(complaints(write(text)))
    assert "pydantic" not in told
    assert "Input should" not in told
    assert "://errors" not in told


def test_yaml_words_are_text_where_text_is_wanted(write):
    assert load(write(BASE + "name: no\ncache: off\n")).name == "no"


def test_problems_found_later_name_the_line(write):
    path = write(GOOD)
    _, locations = load_located(path)
    problem = locations.problem(("tasks", 1, "task"), "unknown task 'boolq'", "piqa", "piqa")
    assert str(problem) == (
        f"{path}:9: tasks[1].task: unknown task 'boolq'\n    did you mean 'piqa'?\n    allowed: piqa"
    )
    assert locations.problem(("tasks", 1, "stop", 0), "x").line == 9
    assert locations.problem(("models", 0), "x").line == 3


def test_a_mapping_is_checked_the_same_way():
    spec, locations = parse({"models": ["m"], "tasks": ({"task": "t", "limit": 3},)})
    assert spec.tasks[0].limit == 3
    assert str(locations.problem(("tasks", 0), "bad")) == "spec: tasks[0]: bad"
    with pytest.raises(ConfigError, match=r"spec: tasks: missing"):
        parse({"models": ["m"]})


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("${HOME}")
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def _replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


_FULL = Spec(models=["m"], tasks=[{"task": "t", "fields": {"choices": ["a"]}}]).model_dump(mode="json")  # type: ignore[arg-type]


@given(st.data())
def test_any_change_of_a_good_spec_loads_or_is_a_config_error(data):
    path = data.draw(st.sampled_from([path for path in _paths(_FULL) if path]))
    changed = _replaced(_FULL, path, data.draw(_values))
    try:
        assert isinstance(parse(changed)[0], Spec)
    except ConfigError as error:
        assert all(problem.where == "spec" for problem in error.problems)


@given(
    st.integers(0, len(GOOD)), st.integers(0, 6), st.text(max_size=4) | st.sampled_from(list("[]{}:-&*!|>'\"%@#,?\t"))
)
def test_any_edit_of_a_good_file_loads_or_is_a_config_error(tmp_path_factory, start, length, text):
    path = tmp_path_factory.getbasetemp() / "edited.yaml"
    path.write_text(GOOD[:start] + text + GOOD[start + length :], errors="replace")
    try:
        assert isinstance(load(path), Spec)
    except ConfigError as error:
        assert all(problem.line for problem in error.problems)
