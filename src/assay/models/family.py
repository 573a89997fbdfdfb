"""Which family a model belongs to, so far as its own names tell: a judge may favour answers of its kin.

Conservative: a family is told from names that its makers use, found in what identifies the model (the file or the id
at the endpoint, a GGUF file's header), never from what a person calls it. Of a name that tells nothing nothing is said.
A distilled model names two families, and is kin to both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_FAMILIES: Mapping[str, str] = {
    "claude": r"claude",
    "command": r"command-?(?:r|a|light|nightly)|c4ai|aya",
    "deepseek": r"deepseek",
    "falcon": r"falcon",
    "gemini": r"gemini",
    "gemma": r"(?:code|shield|pali|recurrent)?gemma",
    "glm": r"(?:chat)?glm",
    "gpt": r"gpt|chatgpt|o1|o3|o4",
    "granite": r"granite",
    "grok": r"grok",
    "internlm": r"internlm",
    "kimi": r"kimi|moonlight",
    "llama": r"(?:meta)?-?(?:code)?llama",
    "minimax": r"minimax",
    "mistral": r"mistral|mixtral|ministral|magistral|devstral|codestral|pixtral",
    "nemotron": r"nemotron",
    "olmo": r"olmoe?",
    "phi": r"phi",
    "qwen": r"qwen|qwq|qvq",
    "smollm": r"smollm",
    "yi": r"yi",
}
_WORDS = {
    name: re.compile(rf"(?<![a-z0-9])(?:{words})(?=$|[^a-z]|v\d)", re.IGNORECASE) for name, words in _FAMILIES.items()
}
_UNKNOWN = re.compile(r"llama[._-]?cpp|ollama", re.IGNORECASE)
"""Names of runtimes that hold a family's."""

_SHARED_ARCHITECTURES = frozenset({"llama", "unknown"})
"""Many families have this architecture: it tells nothing."""

_UNTOLD = frozenset({"replay", "samples"})
"""Backends whose `model` is the name that a person gave to a file of answers."""


def families(identity: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> frozenset[str]:
    """The families that a model's identity names; empty where it names none.

    `facts`: a GGUF file's header, or what the backend said of the model when it was started (`family`,
    `architecture`).
    """
    return frozenset(family for text in _names(identity, facts or {}) for family in named(text))


def named(text: str) -> Iterator[str]:
    """The families that a name holds: `qwen` and `deepseek` for `DeepSeek-R1-Distill-Qwen-7B`."""
    plain = _UNKNOWN.sub(" ", text)
    yield from (family for family, words in _WORDS.items() if words.search(plain))


def _names(identity: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    if identity.get("backend") not in _UNTOLD:
        yield str(identity.get("model") or "").rpartition("/")[2]
    for key in ("general.basename", "general.name", "basename", "family"):
        yield str(facts.get(key) or "")
    architecture = str(facts.get("general.architecture") or facts.get("architecture") or "")
    if architecture not in _SHARED_ARCHITECTURES:
        yield architecture


def related(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    other_facts: Mapping[str, Any] | None = None,
) -> bool:
    """Whether two models are of one family, so far as can be told: by their names, or because the weights are one."""
    if one.get("digest") is not None and one.get("digest") == other.get("digest"):
        return True
    return bool(families(one, facts) & families(other, other_facts))
