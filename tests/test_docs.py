"""The documentation: links lead somewhere, examples load, the notebook runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.cli.main import COMMANDS
from assay.prompts.library import find
from assay.spec.load import load

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "bench" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text and f"assay {name}" not in text] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_URL", "http://127.0.0.1:8000/v1")
    monkeypatch.chdir(ROOT)
    if path.name.startswith("release-"):
        from assay.release.resolve import resolve

        assert resolve(path).recipes
        return
    for prompt in load(path).prompts:
        if prompt != "default":
            find(prompt)


@pytest.mark.local
@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "examples" / "two_prompts.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "boolq@1" in printed
    assert "instruct@1" in printed
    assert "n=6" in printed
