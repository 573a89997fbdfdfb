"""Names become models, or errors that name the nearest; finding out costs nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from assay.errors import ConfigError, MachineError
from assay.models import registry
from assay.models.base import Capabilities, Model
from assay.models.registry import backends, catalogue, make, names
from assay.records import Completion, Request
from assay.spec.schema import ModelSpec


def refused(model: str, **spec: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        make(ModelSpec(model=model, **spec))
    return caught.value


def test_what_there_is():
    assert {"openai", "ollama", "llamacpp", "hf", "replay"} <= set(backends())
    assert "smollm2-135m" in names()
    assert not set(names()) & set(backends())
    for item in catalogue():
        assert item.usage.startswith(item.name)
        assert item.summary


@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("smollm2", "smollm2-135m"),
        ("SmolLM2-135M", "smollm2-135m"),
        ("opnai:gpt-4o", "openai"),
        ("llama.cpp:x.gguf", "llamacpp"),
        ("models/x.GGUF", "llamacpp:models/x.GGUF"),
        ("qqqqqq", None),
    ],
)
def test_unknown_names(model: str, nearest: str | None):
    problem = refused(model).problems[0]
    assert problem.nearest == nearest
    assert "smollm2-135m, " in (problem.allowed or "")


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("openai", "openai:NAME[@BASE_URL]"),
        ("hf:", "hf:FOLDER_OR_ID[@REVISION]"),
        ("smollm2-135m:x", "smollm2-135m"),
        ("hf:../x/y", "hf:OWNER/NAME"),
        ("llamacpp:no-such-file.gguf", "path of a GGUF file"),
        ("replay:no-such-file.jsonl", "a JSONL file"),
    ],
)
def test_half_a_name(model: str, allowed: str):
    assert allowed in (refused(model).problems[0].allowed or "")


def test_all_that_is_wrong_is_said_at_once():
    error = refused("smollm2-135m", base_url="http://h", choices=True, options={"slot": 1, "threads": "two"})
    assert [problem.key for problem in error.problems] == ["base_url", "choices", "options.slot", "options.threads"]
    assert error.problems[2].nearest == "slots"
    assert error.problems[3].allowed == "a whole number from 1 to 1024"


def test_names_can_be_given():
    assert make(ModelSpec(model="openai:m@http://h", name="mine")).name == "mine"
    assert make(ModelSpec(model="openai:m@http://h")).name == "m"


def test_planning_loads_nothing_heavy():
    """Backends are described and made without the packages that they need to run."""
    script = """
import sys
from assay.models.registry import catalogue, make
from assay.spec.schema import ModelSpec
catalogue()
for model in ("openai:m@http://h", "ollama:m:1b", "smollm2-135m", "hf:a/b-1b"):
    made = make(ModelSpec(model=model))
    made.identity, made.capabilities, made.size()
heavy = {"aiohttp", "torch", "transformers", "xllamacpp", "numpy", "huggingface_hub", "duckdb"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Theirs(Model):
    name = "theirs"

    @property
    def identity(self) -> dict[str, Any]:
        return {"backend": "theirs"}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(chat=True, completion=False, choices=False, seed=False, determinism="none")

    async def complete(self, request: Request) -> Completion:
        return Completion("x")


def make_theirs(spec: ModelSpec) -> Model:
    """A backend of another package.

    With more to say.
    """
    return Theirs()


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replaces the installed entry points."""

    def replace(*found: EntryPoint) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: list(found))
        registry._entries.cache_clear()

    yield replace
    monkeypatch.undo()
    registry._entries.cache_clear()


def test_a_plain_function_of_another_package_is_a_backend(entries: Any):
    entries(entry("theirs", f"{__name__}:make_theirs"))
    assert isinstance(make(ModelSpec(model="theirs:x")), Theirs)
    assert [(item.usage, item.summary) for item in catalogue()] == [("theirs:WHAT", "A backend of another package.")]


def test_no_package_takes_a_built_in_name_over(entries: Any):
    entries(entry("openai", f"{__name__}:make_theirs"), entry("openai", "assay.models.openai:BACKEND"))
    assert make(ModelSpec(model="openai:m@http://h")).identity["backend"] == "openai"


def test_a_broken_package_is_named(entries: Any):
    entries(entry("broken", "no_such_package:BACKEND"))
    with pytest.raises(MachineError, match="no_such_package"):
        make(ModelSpec(model="broken:x"))
