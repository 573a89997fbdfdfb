"""`routing`: requests that call for the skill `release` and requests that do not, asked for real and scored exactly."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

import assay
from assay.prompts.library import find as find_prompt
from assay.tasks import load
from support.stub import Stub

SKILL = Path(__file__).parent.parent / "skills" / "release" / "SKILL.md"


def front():
    return yaml.safe_load(SKILL.read_text().split("---")[1])


def test_the_skill_says_when_to_use_it_and_when_not():
    assert front()["name"] == "release"
    assert 100 < len(front()["description"]) < 1024
    assert "Use it when" in front()["description"]
    assert "Not for" in front()["description"]


def test_the_cases_are_positive_and_negative_and_ask_with_the_skill_that_ships():
    task, samples = load("routing")
    counts = Counter(sample.target for sample in samples)
    assert counts == {"release": 15, "none": 20}
    assert len({sample.input for sample in samples}) == len(samples)
    shown = find_prompt(task.prompt).template("body").render({"input": samples[0].input, **samples[0].fields})
    assert " ".join(front()["description"].split()) in shown


@pytest.mark.parametrize(("answers", "rate"), [("right", 1.0), ("release", 15 / 35), ("Release.", 0.0)])
def test_answers_are_scored_exactly(tmp_path, answers, rate):
    wanted = {sample.input: sample.target for sample in load("routing")[1]}

    def answer(prompt, seed):
        return next(target for text, target in wanted.items() if text in prompt) if answers == "right" else answers

    with Stub(answer=answer) as stub:
        model = {"model": "openai:stub", "name": "stub", "base_url": stub.url}
        run = assay.evaluate({"name": "routing", "models": [model], "tasks": ["routing"]}, out=tmp_path / "run")
    assert run.results["cells"][0]["metrics"][0]["value"] == pytest.approx(rate, abs=1e-6)
