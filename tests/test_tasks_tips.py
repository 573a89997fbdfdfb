"""`tips`: scenarios by seed, asked with three prompts, answers measured."""

import json
from pathlib import Path

import pytest

import assay
from assay.errors import ConfigError
from assay.evidence.read import read
from assay.prompts.library import find as find_prompt
from assay.prompts.render import check
from assay.spec.load import load as load_spec
from assay.tasks import find, load
from support.stub import Stub

EXAMPLES = Path(__file__).parent.parent / "examples" / "tips"
PROMPTS = ("tips-plain", "tips-mentor", "tips-few-shot")


def answer(prompt, seed):
    if "mentor" in prompt:
        return "Rest first, then call."
    tips = json.dumps({"tips": [f"Tip {number}." for number in range(3)]})
    return f"```json\n{tips}\n```" if "Two examples" in prompt else tips


def evaluated(folder, **more):
    with Stub(answer=answer) as stub:
        spec = {
            "name": "tips",
            "models": [{"model": "openai:stub", "name": "stub", "base_url": stub.url}],
            "prompts": list(PROMPTS),
            "tasks": [{"task": "tips", "limit": 4, "options": {"n_tips": 3, "diversity": True}}],
            **more,
        }
        return assay.evaluate(spec, out=folder / "run")


def test_the_scenarios_are_a_product_with_their_factors_as_metadata():
    task, samples = load("tips")
    assert (len(samples), task.prompt, task.scorers[0]) == (24, "tips-plain", "structured")
    assert {sample.metadata["persona"] for sample in samples} == {"nurse", "student", "founder", "retired"}
    assert samples[0].fields["answer_format"]["schema"]["properties"]["tips"]["minItems"] == 5


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_fits_and_asks_for_what_the_options_say(name):
    _, samples = load("tips", options={"n_tips": 7, "diversity": True})
    prompt = find_prompt(name)
    assert check(prompt, samples[0], "chat") == check(prompt, samples[0], "completion") == []
    text = prompt.template("body").render({"input": samples[0].input, **samples[0].fields})
    assert "7" in text
    assert "different from the others" in text
    plain = prompt.template("body").render({"input": "x", **load("tips")[1][0].fields})
    assert "different from the others" not in plain


@pytest.mark.parametrize("options", [{"n_tips": 0}, {"n_tips": "five"}, {"nosuch": 1}, {"diversity": 1}])
def test_options_that_cannot_be_meant_are_refused(options):
    with pytest.raises(ConfigError):
        find("tips", options=options)


def test_other_tasks_have_no_options(tmp_path):
    for name in ("gsm8k", f"file:{tmp_path}/x.jsonl"):
        with pytest.raises(ConfigError, match="no parameters"):
            find(name, options={"n_tips": 1})


def test_a_run_measures_the_form(tmp_path):
    run = evaluated(tmp_path)
    cells = {cell["prompt"]: {m["name"]: m.get("value") for m in cell["metrics"]} for cell in run.results["cells"]}
    assert cells["tips-plain@1"]["format_ok"] == 1
    assert (cells["tips-few-shot@1"]["format_ok"], cells["tips-few-shot@1"]["usable"]) == (0, 1)
    assert cells["tips-few-shot@1"]["repairs"] == 1
    assert (cells["tips-mentor@1"]["usable"], cells["tips-mentor@1"]["repairs"]) == (0, None)
    evidence = read(run.path)
    assert set(evidence.cells[0].categories) <= {"nurse", "student", "founder", "retired"}


def test_the_same_seed_makes_the_same_plan_and_options_make_another(tmp_path):
    def asked(name, **more):
        plan = evaluated(tmp_path / name, **more).plan
        return plan.digest, plan.tasks["tips"].samples

    base, again, other = asked("a", seed=5), asked("b", seed=5), asked("c", seed=6)
    assert base[1] == again[1] != other[1]
    tasks = [{"task": "tips", "limit": 4, "options": {"n_tips": 4}}]
    assert asked("d", seed=5, tasks=tasks)[1] == base[1]
    assert evaluated(tmp_path / "e", seed=5, tasks=tasks).plan.tasks["tips"].dataset != (
        evaluated(tmp_path / "f", seed=5).plan.tasks["tips"].dataset
    )


def test_the_examples_load():
    spec = load_spec(EXAMPLES / "tips.yaml")
    assert spec.prompts == PROMPTS
    _, samples = load("tips", options=spec.tasks[0].options)
    assert check(find_prompt(str(EXAMPLES / "coach.md")), samples[0], "chat") == []
    _, own = load(f"scenario:{EXAMPLES / 'commute.yaml'}", options={"words": 12})
    assert [sample.id for sample in own][:3] == ["cyclist/rain", "cyclist/sunshine", "cyclist/snow"]
    assert "at most 12 words" in own[0].input


def test_the_first_few_scenarios_have_every_person_and_every_list():
    _, samples = load("tips")
    first = [samples[index].metadata for index in range(4)]
    assert {one["persona"] for one in first} == {"nurse", "student", "founder", "retired"}
    assert {one["time_slot"] for one in first} == {"morning", "evening"}
    assert {one["tasks"] for one in first} == {"errands", "deep_work", "home"}


def test_the_data_are_here_to_compare_and_the_parents_hold_in_any_order(tmp_path):
    from assay.evidence.verify import verify

    with Stub(answer=answer) as stub:
        model = {"model": "openai:stub", "name": "stub", "base_url": stub.url}
        tasks = [{"task": name, "limit": 1} for name in ("tips", f"scenario:{EXAMPLES / 'commute.yaml'}")]
        run = assay.evaluate({"models": [model], "tasks": tasks}, out=tmp_path / "run")
    said = []
    assert verify(run.path, note=said.append) == []
    assert [text for text in said if "data of tips is here and the same" in text]
