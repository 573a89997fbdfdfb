import doctest
from pathlib import Path

import yaml

from assay.gates.judges import JudgePolicy, Threshold
from assay.gates.policy import Execution, Outcomes, Policy, Sequential, TaskPolicy
from assay.gates.result import Verdict

PAGE = Path(__file__).parents[1] / "docs" / "gates.md"


def test_the_examples_run_as_printed():
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted > 5
    assert done.failed == 0


def test_the_page_names_every_key_and_verdict():
    text = PAGE.read_text()
    models = (Policy, TaskPolicy, Outcomes, Execution, Sequential, JudgePolicy, Threshold)
    names = [name for model in models for name in model.model_fields]
    missing = [name for name in names if f"`{name}`" not in text and f"{name}:" not in text]
    assert set(missing) <= {"schema_", "name", "description"}
    assert [verdict for verdict in Verdict if f"`{verdict}`" not in text] == []


def test_the_workflow_is_yaml():
    block = PAGE.read_text().split("## Blocking a pull request\n")[1].split("\nAny verdict")[0]
    workflow = yaml.safe_load(block)
    assert "assay gate compare" in str(workflow["jobs"]["gate"]["steps"])
