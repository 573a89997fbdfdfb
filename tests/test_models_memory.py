"""How large a model is, how much memory there is, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.errors import ConfigError, FailureClass, ModelUnavailable
from assay.models import memory
from assay.models.base import Size
from assay.models.memory import available, check, check_limit
from assay.models.sizes import parameters_in, size_by_name

GB = 10**9


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8),
        ("llama3.2:3b", 3),
        ("qwen2.5:0.5b-instruct-q4_K_M", 0.5),
        ("SmolLM2-135M", 0.135),
        ("mixtral:8x7b", 56),
        ("Qwen3-30B-A3B", 30),
        ("openai/gpt-oss-120b", 120),
        ("deepseek-v3-1t", 1000),
        ("gemma3:270m", 0.27),
        ("mistral", None),
        ("gpt-4o", None),
        ("phi3:mini-4k", None),
        ("model-Q8_0", None),
        ("v1.5b2", None),
        ("abc7b", None),
        ("", None),
    ],
)
def test_sizes_in_names(name: str, billions: float | None):
    assert parameters_in(name) == (None if billions is None else round(billions * GB))


def test_the_name_is_said_to_be_the_source():
    assert size_by_name("x-7B") == Size(7 * GB, None, "the tag in the name 'x-7B'")
    assert size_by_name("x") is None


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """A made-up /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")

    def write(files: dict[str, str]) -> None:
        for name, text in {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n", **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


System = Callable[[dict[str, str]], None]


def test_what_there_is_at_all_is_more_than_what_is_free(system: System):
    system({})
    assert memory.installed() == 9000 * 1024
    system({"proc/self/cgroup": "0::/a\n", "cgroup/a/memory.max": "1000", "cgroup/a/memory.current": "400"})
    assert (memory.installed(), memory.available()) == (1000, 600)


def test_what_the_kernel_has_free(system: System):
    system({"proc/self/cgroup": "0::/\n"})
    assert available() == 4000 * 1024


@pytest.mark.parametrize(
    ("groups", "files", "left"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "1000", "a/b/memory.current": "400"}, 600),
        ("0::/a/b\n", {"a/memory.max": "1000", "a/memory.current": "900", "a/b/memory.max": "max"}, 100),
        (
            "0::/a\n",
            {"a/memory.max": "1000", "a/memory.current": "900", "a/memory.stat": "anon 1\ninactive_file 300\n"},
            400,
        ),
        ("0::/a\n", {"a/memory.max": "1000", "a/memory.current": "2000"}, 0),
        ("0::/a\n", {"a/memory.max": "max", "a/memory.current": "2000"}, 4000 * 1024),
        (
            "3:cpu,memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "1000", "memory/a/memory.usage_in_bytes": "1"},
            999,
        ),
        ("nonsense\n", {}, 4000 * 1024),
    ],
)
def test_control_groups_bound_it(groups: str, files: dict[str, str], left: int, system: System):
    system({"proc/self/cgroup": groups, **{f"cgroup/{name}": text for name, text in files.items()}})
    assert available() == left


def test_a_system_that_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "PROC", tmp_path / "nothing")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "nothing")
    assert available() is None
    check(Size(1, 10**18, "a test"), "m")  # nothing to compare with


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available", lambda: 2 * GB)
    check(Size(1, 2 * GB, "a test"), "m")
    check(Size(1, None, "a test"), "m")
    with pytest.raises(ModelUnavailable, match=r"m needs 2\.50 GB of memory \(a test\), 2\.00 GB are free"):
        check(Size(1, 2_500_000_000, "a test"), "m")


@pytest.mark.parametrize(
    ("whole", "kind"),
    [(3 * GB, FailureClass.SYSTEMIC), (2 * GB, FailureClass.MODEL_UNSUPPORTED), (None, FailureClass.MODEL_UNSUPPORTED)],
)
def test_memory_that_others_use_just_now_says_nothing_of_the_model(
    monkeypatch: pytest.MonkeyPatch, whole: int | None, kind: FailureClass
):
    monkeypatch.setattr(memory, "available", lambda: 2 * GB)
    monkeypatch.setattr(memory, "installed", lambda: whole)
    with pytest.raises(ModelUnavailable) as caught:
        check(Size(1, 2_500_000_000, "a test"), "m")
    assert caught.value.failure_class is kind


def test_the_limit_names_size_source_and_limit():
    check_limit(Size(7 * GB, None, "a test"), None, "m")
    check_limit(Size(7 * GB, None, "a test"), 7, "m")
    check_limit(None, None, "m")
    with pytest.raises(ConfigError, match=r"m has 7\.5 billion parameters \(a test\)\n    allowed: at most 7 billion"):
        check_limit(Size(7_500_000_000, None, "a test"), 7, "m")


@pytest.mark.parametrize("size", [None, Size(None, 5, "a test")])
def test_an_unknown_size_is_refused_where_there_is_a_limit(size: Size | None):
    with pytest.raises(ConfigError, match=r"cannot be known"):
        check_limit(size, 100, "m")
