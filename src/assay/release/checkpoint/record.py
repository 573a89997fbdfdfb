"""What a checkpoint is, as its headers and its small files say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.gates.checkpoint import TensorView
from assay.gates.layers import LINEAR
from assay.gates.recipe import Format


@dataclass(frozen=True, slots=True)
class Tensor(TensorView):
    """One tensor, and the file that it is in and where its bytes begin there.

    `bytes` is None for a number format of GGUF whose blocks are not known.
    """

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class Shards:
    """The files of the weights: how many, and which the index names that are missing, or that it does not name."""

    files: int
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    `config`, `generation` and `tokenizer` are those of a Hugging Face folder, `metadata` that of a GGUF file or of
    safetensors files. `template` is the chat template's SHA-256. `declared` is what the checkpoint says of its own
    quantization. `spans` is where a GGUF file's metadata lie. `faults` are what is wrong and was read all the same,
    `unread` the files that were not opened, such as pickles.
    """

    path: Path
    format: Format
    tensors: tuple[Tensor, ...]
    shards: Shards
    total_bytes: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None
    declared: Mapping[str, Any] | None = None
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """Such as `llama` or `LlamaForCausalLM`."""
        named = self.config.get("architectures")
        if isinstance(named, list) and named and isinstance(named[0], str):
            return named[0]
        return str(self.metadata.get("general.architecture") or self.config.get("model_type") or "unknown")

    @property
    def parameters(self) -> int:
        """The numbers in all weights; of packed ones, the packed numbers."""
        return sum(tensor.values for tensor in self.tensors if tensor.role != "scale")

    @property
    def linear_bytes(self) -> int:
        """Bytes of the linear layers of the text model but its head: weights, scales and what else belongs to them."""
        linear = {tensor.layer for tensor in self.tensors if tensor.role in LINEAR}
        return sum(tensor.bytes or 0 for tensor in self.tensors if tensor.layer in linear and tensor.part != "bias")

    def types(self) -> list[tuple[str, str, int, int]]:
        """Role and number format, how many tensors and how many bytes, the largest first."""
        counted: Counter[tuple[str, str]] = Counter()
        size: Counter[tuple[str, str]] = Counter()
        for tensor in self.tensors:
            key = (tensor.role, tensor.dtype)
            counted[key] += 1
            size[key] += tensor.bytes or 0
        rows = [(role, dtype, counted[role, dtype], size[role, dtype]) for role, dtype in counted]
        return sorted(rows, key=lambda row: (-row[3], row[:2]))

    def to_json(self) -> dict[str, Any]:
        """As a document: every tensor, and the sums."""
        tensors = [
            {"name": one.name, "dtype": one.dtype, "shape": list(one.shape), "bytes": one.bytes}
            | {"file": one.file, "offset": one.offset, "role": one.role}
            for one in self.tensors
        ]
        types = [dict(zip(("role", "dtype", "tensors", "bytes"), row, strict=True)) for row in self.types()]
        return {
            "schema": "assay.checkpoint.v1",
            "path": str(self.path),
            "format": self.format,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "total_bytes": self.total_bytes,
            "linear_bytes": self.linear_bytes,
            "files": self.shards.files,
            "missing": list(self.shards.missing),
            "extra": list(self.shards.extra),
            "declared": self.declared,
            "chat_template": self.template,
            "types": types,
            "tensors": tensors,
            "faults": list(self.faults),
            "unread": list(self.unread),
        }
