import pytest

from assay.errors import ConfigError
from assay.files import canonical
from assay.spec.dump import to_json
from assay.spec.load import parse
from assay.spec.schema import ModelSpec, ScoringSpec, Spec, TaskSpec

SPEC = Spec(models=(ModelSpec(model="m"),), tasks=(TaskSpec(task="t", scoring_mode="contains", stop=("x",)),))


def test_a_spec_survives_its_json():
    assert parse(to_json(SPEC))[0] == SPEC


def test_defaults_are_part_of_it_and_equal_specs_have_equal_bytes():
    assert to_json(SPEC)["sampling"] == {
        "temperature": 0.0, "top_p": 1.0, "max_tokens": None, "stop": None, "seed": None
    }  # fmt: skip
    assert canonical(to_json(SPEC)) == canonical(to_json(parse({"models": ["m"], "tasks": [
        {"stop": ["x"], "task": "t", "scoring_mode": "contains"}]})[0]))  # fmt: skip


def test_a_secret_that_was_put_in_from_python_is_refused():
    spec = SPEC.model_copy(update={"description": "hf_" + "a" * 30})
    with pytest.raises(ConfigError, match="looks like a Hugging Face token"):
        to_json(spec)


def test_what_json_cannot_say_is_refused():
    scoring = ScoringSpec(mode="regex", options={"pattern": object()})
    with pytest.raises(ConfigError, match="no JSON form"):
        to_json(Spec(models=SPEC.models, tasks=(TaskSpec(task="t", scoring_mode=scoring),)))
