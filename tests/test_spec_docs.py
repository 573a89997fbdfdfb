import textwrap
from pathlib import Path

import pytest

from assay.prompts.library import names
from assay.prompts.prompt import parse as parse_prompt
from assay.prompts.sandbox import environment
from assay.spec.flags import _PLACES, option
from assay.spec.load import load
from assay.spec.schema import ModelSpec, Prices, ScoringSpec, Spec, TaskSpec

ROOT = Path(__file__).parent.parent


def blocks(page):
    """The indented blocks of a page."""
    text = (ROOT / "docs" / page).read_text()
    parts = text.split("\n\n")
    found, block = [], []
    for part in [*parts, ""]:
        if part.startswith("    "):
            block.append(part)
        elif block:
            found.append(textwrap.dedent("\n\n".join(block)))
            block = []
    return found


@pytest.mark.parametrize("page", ["spec.md", "prompts.md"])
def test_the_python_of_a_page_runs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = [block for block in blocks(page) if block.startswith("from ")]
    exec(compile(code, page, "exec"), {})


def test_the_specs_of_the_page_load(tmp_path, monkeypatch):
    monkeypatch.setenv("EVAL_URL", "http://localhost:8000/v1")
    path = tmp_path / "spec.yaml"
    starts = ("name:", "models:", "tasks:", "env:")
    specs = [block.split("\n\nassay eval")[0] for block in blocks("spec.md") if block.startswith(starts)]
    assert len(specs) == 4
    for spec in specs:
        missing = [f"\n{key}: [x]" for key in ("models", "tasks") if f"{key}:" not in spec]
        path.write_text(spec + "".join(missing))
        load(path)


def test_the_prompt_of_the_page_parses():
    (text,) = [block for block in blocks("prompts.md") if block.startswith("---")]
    assert parse_prompt(text, "prompts.md").id == "terse"


def test_the_page_names_every_key():
    text = (ROOT / "docs" / "spec.md").read_text()
    for model in (Spec, ModelSpec, TaskSpec, ScoringSpec, Prices):
        assert [key for key in model.model_fields if key not in text] == []


def test_the_page_names_every_prompt_and_filter():
    text = (ROOT / "docs" / "prompts.md").read_text()
    filters = [name for name in environment().filters if not name.startswith("_") and name != "d"]
    assert [name for name in (*names(), *filters) if f"`{name}`" not in text] == []


def test_every_option_is_one_of_the_command():
    help_text = (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in _PLACES if option(name) not in help_text] == []
