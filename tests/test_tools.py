"""The repository's own machinery: pins that cover every dependency, and name no host."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(
    r"^(?P<name>[a-z0-9._-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))? \\\n(?P<hashes>(?:    --hash=.+\n)+)", re.M
)


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"assay_tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = load("environment")


@pytest.fixture(scope="module")
def pins() -> dict[str, list[str]]:
    """Every pinned package, with its versions (they may differ by platform)."""
    found: dict[str, list[str]] = {}
    for match in PIN.finditer((ROOT / "constraints.txt").read_text()):
        found.setdefault(match["name"], []).append(match["version"])
    return found


@pytest.mark.parametrize("extra", ["local", "hf", "mlflow", "mlflow-server", "ray", "serve"])
def test_every_requirement_is_pinned_to_a_version_that_fits(pins, extra):
    for text in environment.requirements([extra], ["dev"]):
        wanted = Requirement(text)
        if wanted.name in environment.UNHASHED:
            continue
        versions = pins[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), text


def test_every_line_is_a_pin_with_hashes():
    text = (ROOT / "constraints.txt").read_text()
    rest = PIN.sub("", text)
    assert [line for line in rest.splitlines() if line and not line.startswith("#")] == []
    assert "://" not in text
    assert not re.search(r"(^|\s)(-i|-f|-e|--index-url|--extra-index-url|--find-links)\b", text)


def test_torch_is_not_pinned_by_hash(pins):
    assert "torch" not in pins
    assert Requirement(environment.UNHASHED["torch"]).specifier


def test_the_pin_of_one_package_can_be_taken_out():
    assert environment.pinned("pip").startswith("pip==")
    with pytest.raises(environment.SetupError, match="does not pin"):
        environment.pinned("no-such-package")


def test_an_old_python_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(environment, "OLDEST", (sys.version_info.major + 1, 0))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(environment.SetupError, match="apt-get install python3"):
        environment.find_python()
