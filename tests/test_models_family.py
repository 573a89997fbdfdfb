"""Families of models, told from the names that their makers use and from nothing else."""

from __future__ import annotations

import pytest

from assay.models.family import families, named, related


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", {"smollm"}),
        ("DeepSeek-R1-Distill-Qwen-7B", {"deepseek", "qwen"}),
        ("meta-llama/Llama-3.1-8B", {"llama"}),
        ("qwen2.5:7b", {"qwen"}),
        ("gpt-4o-mini", {"gpt"}),
        ("o3-mini", {"gpt"}),
        ("Mixtral-8x7B", {"mistral"}),
        ("Phi3", {"phi"}),
        ("sophia-7b", set()),
        ("philosopher", set()),
        ("llama.cpp-default", set()),
        ("judge", set()),
        ("", set()),
    ],
)
def test_a_name_tells_its_families(name, wanted):
    assert families({"backend": "openai", "model": name}) == wanted


def test_what_a_person_called_a_file_of_answers_tells_nothing():
    assert families({"backend": "replay", "model": "gpt-4.jsonl"}) == frozenset()


def test_a_header_tells_where_the_file_s_name_does_not():
    identity = {"backend": "llamacpp", "model": "a.gguf"}
    assert families(identity, {"general.architecture": "llama", "general.basename": "smollm2"}) == {"smollm"}
    assert families(identity, {"general.architecture": "llama"}) == frozenset()
    assert families(identity, {"architecture": "qwen2"}) == {"qwen"}


def test_unknown_models_are_related_only_where_the_weights_are_the_same():
    one, other = {"backend": "openai", "model": "x"}, {"backend": "openai", "model": "y"}
    assert not related(one, other) and not related(one, one)
    assert related({**one, "digest": "d"}, {**other, "digest": "d"})
    assert related({"backend": "hf", "model": "qwen3"}, {"backend": "ollama", "model": "Qwen2.5:7b"})


def test_families_are_named_each_once():
    assert list(named("qwen qwen2 QwQ")) == ["qwen"]
