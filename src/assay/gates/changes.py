"""What a quantizer changed besides the weights: every difference between two checkpoints' metadata, each classed.

`expected` differences come of quantizing, or of a library that writes the same thing in another way; every other one
is `blocking`: a changed tokenizer, chat template, end of text or rotary base changes the answers, whatever the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from assay.gates.checkpoint import CheckpointView

EXPECTED: Mapping[str, tuple[str, ...]] = {
    "config": (
        "quantization_config", "quantization_config.*", "transformers_version", "local_files_only", "_name_or_path",
        "_commit_hash",
    ),
    "generation": ("transformers_version", "_from_model_config"),
    "tokenizer": (
        "transformers_version", "local_files_only", "is_local", "backend", "name_or_path", "tokenizer_class",
        "chat_template", "added_tokens_decoder", "added_tokens_decoder.*", "clean_up_tokenization_spaces",
        "processor_class", "special_tokens_map_file", "model_input_names",
    ),
    "gguf": (
        "general.file_type", "general.quantization_version", "general.name", "general.alignment",
        "general.quantized_by", "general.description", "general.tags", "quantize.imatrix.*", "general.repo_url",
        "general.url",
        "general.source.*", "general.base_model.*",
    ),
}  # fmt: skip
"""Keys that may change, by section. The tokenizer's tokens and the chat template are compared by themselves, wherever
they are kept, so that moving them from one file to another is no difference."""

DEFAULTS: Mapping[str, Any] = {
    "attention_bias": False, "attention_dropout": 0, "mlp_bias": False, "pretraining_tp": 1, "use_cache": True,
    "initializer_range": 0.02, "tie_word_embeddings": False, "rope_scaling": None, "head_dim": None,
}  # fmt: skip
"""What a missing key of config.json means (transformers' Llama and its kin), where a library writes it out later."""

Kind = Literal["expected", "blocking"]


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs; None where one side has not got it."""

    section: str
    key: str
    source: Any
    candidate: Any
    kind: Kind

    def to_json(self) -> dict[str, Any]:
        """As a result shows it."""
        value = {"section": self.section, "key": self.key, "kind": self.kind}
        return {**value, "source": _short(self.source), "candidate": _short(self.candidate)}


def _short(value: Any) -> Any:
    return f"{value[:117]}…" if isinstance(value, str) and len(value) > 120 else value


def changes(source: CheckpointView, candidate: CheckpointView, more: tuple[str, ...] = ()) -> list[Change]:
    """Every key whose value differs, in order; `more` are keys that may change besides those of the table."""
    return [
        Change(section, key, *values, "expected" if _expected(section, key, values, held, more) else "blocking")
        for section in sorted({*source.metadata, *candidate.metadata})
        for held in ((source.metadata.get(section, {}), candidate.metadata.get(section, {})),)
        for key, values in _different(*held)
    ]


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for key in sorted({*one, *other}):
        values = (one.get(key), other.get(key))
        if not _same(*values):
            yield key, values


def _same(one: Any, other: Any) -> bool:
    """Equal, and a bool is no number."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _expected(
    section: str,
    key: str,
    values: tuple[Any, Any],
    held: tuple[Mapping[str, Any], Mapping[str, Any]],
    more: tuple[str, ...],
) -> bool:
    patterns = (*EXPECTED.get(section, ()), *more)
    if section == "config" and _renamed(key, values, held):
        return True
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _renamed(key: str, values: tuple[Any, Any], held: tuple[Mapping[str, Any], Mapping[str, Any]]) -> bool:
    """Whether the key says what the other side says under another name, or by leaving it out."""
    one, other = held
    if key in ("torch_dtype", "dtype"):
        return _same(*(part.get("dtype") or part.get("torch_dtype") for part in held))
    if key in ("rope_theta", "rope_parameters.rope_theta"):
        return _same(_theta(one), _theta(other))
    if key in ("rope_parameters.rope_type", "rope_scaling"):
        return _same(_rotary(one), _rotary(other))
    if key == "head_dim" and None in values:
        return _same(_head(one), _head(other))
    return key in DEFAULTS and all(_same(part.get(key, DEFAULTS[key]), DEFAULTS[key]) for part in held)


def _theta(config: Mapping[str, Any]) -> Any:
    return config.get("rope_parameters.rope_theta") or config.get("rope_theta")


def _rotary(config: Mapping[str, Any]) -> Any:
    found = config.get("rope_parameters.rope_type", config.get("rope_scaling.rope_type"))
    return found or "default"


def _head(config: Mapping[str, Any]) -> Any:
    if config.get("head_dim") is not None:
        return config["head_dim"]
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    return width // heads if isinstance(width, int) and isinstance(heads, int) and heads > 0 else None
