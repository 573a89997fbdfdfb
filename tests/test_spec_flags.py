import pytest

from assay.errors import ConfigError
from assay.spec.flags import from_flags, from_flags_located, override, override_located, pairs
from assay.spec.load import load_located

FILE = """\
models: [smollm2-135m, {model: openai:gpt, name: mine, api: chat}]
prompts: [default, instruct]
tasks:
  - piqa
  - task: boolq
    few_shot: 3
    limit: 20
    max_tokens: 4
    seed: 9
limit: 100
concurrency: {limit: 32, start: 16}
"""


@pytest.fixture
def located(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(FILE)
    return load_located(path)


def told(call, *args, **options):
    with pytest.raises(ConfigError) as found:
        call(*args, **options)
    return [str(problem) for problem in found.value.problems]


def test_flags_alone():
    spec = from_flags(
        ["smollm2-135m", "openai:gpt@http://localhost:8000/v1"],
        ["arc_easy", "gsm8k"],
        limit=50,
        few_shot=3,
        seed=42,
        temperature=0.5,
        stop=("x", "y"),
    )
    assert [model.model for model in spec.models] == ["smollm2-135m", "openai:gpt@http://localhost:8000/v1"]
    assert [task.task for task in spec.tasks] == ["arc_easy", "gsm8k"]
    assert (spec.limit, spec.few_shot, spec.seed, spec.name) == (50, 3, 42, "eval")
    assert (spec.sampling.temperature, spec.sampling.stop) == (0.5, ("x", "y"))


def test_models_and_tasks_are_needed():
    assert told(from_flags, [], []) == [
        "-m: missing\n    allowed: at least one, such as '-m smollm2-135m', or a spec file",
        "-t: missing\n    allowed: at least one, such as '-t piqa', or a spec file",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "--limit: must be a whole number ≥ 1, not 0"),
        ({"few_shot": -1}, "--few-shot: must be a whole number ≥ 0 and ≤ 100, not -1"),
        ({"temperature": float("nan")}, "--temperature: must be a number ≥ 0 and ≤ 10, not nan"),
        ({"top_p": 0.0}, "--top-p: must be a number > 0 and ≤ 1, not 0.0"),
        ({"cache": "onn"}, "--cache: must be auto, on or off, not 'onn'\n    did you mean 'on'?"),
        ({"code_exec_policy": "sandbox"}, "--code-exec-policy: must be disabled or sandboxed, not 'sandbox'\n"
         "    did you mean 'sandboxed'?"),
        ({"budget_money": 0.0}, "--budget-money: must be a number > 0, not 0.0"),
        ({"concurrency": 0}, "--concurrency: must be a whole number ≥ 1 and ≤ 10,000, not 0"),
    ],
)  # fmt: skip
def test_an_error_names_the_option_once(options, message):
    assert told(from_flags, ["m"], ["t", "u"], **options) == [message]


def test_a_secret_on_the_command_line_is_refused():
    assert told(from_flags, ["openai:x@https://me:hunter2@example.org"], ["t"])[0].startswith(
        "-m: this looks like a URL with a password (39 characters, not shown)"
    )


def test_an_option_goes_before_the_file_for_every_task(located):
    spec = override(located[0], limit=5, few_shot=1, max_tokens=9, seed=0)
    assert (spec.limit, spec.few_shot, spec.sampling.max_tokens, spec.seed) == (5, 1, 9, 0)
    assert [(task.limit, task.few_shot, task.max_tokens, task.seed) for task in spec.tasks] == [(None,) * 4] * 2


def test_what_no_option_says_stays(located):
    assert override(located[0]) == located[0]
    assert override(located[0], few_shot=1).tasks[1].limit == 20


def test_names_replace_the_list_and_keep_the_settings_of_the_file(located):
    spec = override(located[0], ["mine"], ["boolq", "gsm8k"], ["terse.md"])
    assert [(model.model, model.api) for model in spec.models] == [("openai:gpt", "chat")]
    assert [(task.task, task.few_shot) for task in spec.tasks] == [("boolq", 3), ("gsm8k", None)]
    assert spec.prompts == ("terse.md",)


def test_scoring_and_policy_are_set_on_every_task(located):
    spec = override(located[0], scoring_mode="contains", code_exec_policy="disabled")
    assert {(task.scoring_mode, task.code_exec_policy) for task in spec.tasks} == {("contains", "disabled")}


def test_a_lower_concurrency_lowers_the_start(located):
    assert override(located[0], concurrency=4).concurrency.start is None
    assert override(located[0], concurrency=20).concurrency.start == 16


def test_problems_found_later_name_the_line_or_the_option(located):
    _, locations = override_located(*located, tasks=["boolq", "gsm8k"], prompts=["x"], limit=3)
    assert locations.problem(("tasks", 0, "task"), "bad").line == 5
    assert str(locations.problem(("tasks", 1, "task"), "bad")) == "-t: bad"
    assert str(locations.problem(("prompts", 0), "bad")) == "-p: bad"
    assert str(locations.problem(("limit",), "bad")) == "--limit: bad"
    assert locations.problem(("models", 1), "bad").line == 1
    _, alone = from_flags_located(["m"], ["t"])
    assert str(alone.problem(("models", 0, "model"), "bad")) == "-m: bad"


def test_parameters_of_scenarios_go_to_scenarios_alone():
    spec = from_flags(["smollm2-135m"], ["tips", "piqa"], n_tips=3, diversity=True)
    assert [task.options for task in spec.tasks] == [{"n_tips": 3, "diversity": True}, {}]
    assert told(from_flags, ["smollm2-135m"], ["piqa"], n_tips=3)[0].startswith("--n-tips: no task of this run")


def test_pairs_are_what_they_look_like_and_go_before_the_file(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("models: [smollm2-135m]\ntasks: [{task: tips, options: {n_tips: 2, longest: 80}}]\n")
    spec, where = override_located(*load_located(path), option=["n_tips=4", "diversity=true"])
    assert spec.tasks[0].options == {"n_tips": 4, "diversity": True, "longest": 80}
    assert where.problem(("tasks", 0, "options", "n_tips"), "x").where == "--option"
    assert pairs(["a=1.5", "b=x=y", "c=-3", "d=false", "e="]) == {"a": 1.5, "b": "x=y", "c": -3, "d": False, "e": ""}
    assert len(told(pairs, ["n_tips", "a=1", "a=2"])) == 2
