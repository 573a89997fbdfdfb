"""What `gate ptq` reads of a checkpoint: a plain view, made by `assay.release.checkpoint` from headers, or from JSON.

A view may be of anything, sound or not: missing shards, weights without scales and configurations that say another
thing than the tensors can all be expressed, because it is the gate that must find them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from assay.errors import EvidenceError
from assay.files import canonical
from assay.gates.layers import SCALES, WEIGHTS, role, split
from assay.gates.recipe import Format
from assay.spec.schema import Strict

SCHEMA = "assay.checkpoint_view.v1"


@dataclass(frozen=True, slots=True)
class TensorView:
    """One tensor: its name, number format, shape (slowest dimension first) and bytes, where these are known."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int | None

    @property
    def values(self) -> int:
        """How many numbers it holds, of its own format."""
        return math.prod(self.shape)

    @property
    def layer(self) -> str:
        """The layer that it is of."""
        return split(self.name)[0]

    @property
    def part(self) -> str:
        """Which part of the layer it is; `` where its name does not say."""
        return split(self.name)[1]

    @property
    def role(self) -> str:
        """What its layer is: `attention`, `mlp`, `norm`, …; `scale` for a scale and `other` for a bias."""
        layer, part = split(self.name)
        if part in SCALES:
            return "scale"
        return role(layer, len(self.shape)) if part in ("", *WEIGHTS) else "other"


@dataclass(frozen=True, slots=True)
class Sampled:
    """Numbers that were looked at: scales of a quantized tensor, or the values of one that is not quantized.

    `scales` says which. Of `looked` numbers, `zero` were 0 and `broken` infinite or not a number.
    """

    tensor: str
    looked: int
    zero: int
    broken: int
    scales: bool = True


@dataclass(frozen=True, slots=True)
class CheckpointView:
    """A checkpoint as the gate sees it.

    `metadata` has one mapping each for `config`, `generation`, `tokenizer`, `tokens` and `template`, or for `gguf`:
    dotted keys to plain values, what is large by its digest. `eos` has the ids that end a text, by where they are
    said. `declared` is what it says of its own quantization. Where the state is `broken`, `why` says what is wrong.
    """

    name: str
    format: Format
    state: Literal["read", "broken"] = "read"
    tensors: tuple[TensorView, ...] = ()
    total_bytes: int = 0
    files: int = 1
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    architecture: str = "unknown"
    tied: bool | None = None
    declared: Mapping[str, Any] | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    eos: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    samples: tuple[Sampled, ...] = ()
    digest: str | None = None
    why: str = ""

    def identity(self, role: str) -> dict[str, Any]:
        """How a result names this input: by its digest."""
        value: dict[str, Any] = {"role": role, "checkpoint": self.name, "format": self.format, "state": self.state}
        return {**value, "sha256": self.digest, "bytes": self.total_bytes, "tensors": len(self.tensors)}

    def to_json(self) -> dict[str, Any]:
        """As the document `assay.checkpoint_view.v1`, which `from_json` reads back."""
        value: dict[str, Any] = {"schema": SCHEMA}
        for name in ("name", "format", "state", "total_bytes", "files", "architecture", "tied", "digest", "why"):
            value[name] = getattr(self, name)
        value |= {name: list(getattr(self, name)) for name in ("missing", "extra", "faults")}
        value["declared"] = dict(self.declared) if self.declared is not None else None
        value["metadata"] = {section: dict(part) for section, part in self.metadata.items()}
        value["eos"] = {place: list(ids) for place, ids in self.eos.items()}
        value["tensors"] = [
            {"name": one.name, "dtype": one.dtype, "shape": list(one.shape), "bytes": one.bytes} for one in self.tensors
        ]
        value["samples"] = [
            {"tensor": one.tensor, "looked": one.looked, "zero": one.zero, "broken": one.broken, "scales": one.scales}
            for one in self.samples
        ]
        return value


_Text = Annotated[str, Field(max_length=10_000)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Id = Annotated[int, Field(ge=0, lt=2**31)]
_Plain = bool | int | float | str | None


class _Tensor(Strict):
    name: _Text
    dtype: Annotated[str, Field(max_length=40)]
    shape: Annotated[list[_Count], Field(max_length=16)]
    bytes: _Count | None


class _Sampled(Strict):
    tensor: _Text
    looked: _Count
    zero: _Count
    broken: _Count
    scales: bool = True


class _View(Strict):
    schema_: Literal["assay.checkpoint_view.v1"] = Field(alias="schema")
    name: _Text
    format: Literal["gguf", "safetensors"]
    state: Literal["read", "broken"] = "read"
    tensors: list[_Tensor] = Field(default_factory=list)
    total_bytes: _Count = 0
    files: _Count = 1
    missing: list[_Text] = Field(default_factory=list)
    extra: list[_Text] = Field(default_factory=list)
    faults: list[_Text] = Field(default_factory=list)
    architecture: _Text = "unknown"
    tied: bool | None = None
    declared: dict[str, Any] | None = None
    metadata: dict[_Text, dict[str, _Plain]] = Field(default_factory=dict)
    eos: dict[_Text, list[_Id]] = Field(default_factory=dict)
    samples: list[_Sampled] = Field(default_factory=list)
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    why: _Text = ""


def from_json(value: Any) -> CheckpointView:
    """The view that a JSON value describes. Raises EvidenceError that names the first thing wrong with it."""
    try:
        parsed = _View.model_validate(value)
        canonical([parsed.declared, parsed.metadata])  # finite numbers, and nothing that is not JSON
        return _view(parsed)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise EvidenceError(f"not a checkpoint that this version reads: {place}: {first['msg']}") from None
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise EvidenceError(f"not a checkpoint that this version reads: {error}") from None


def _view(parsed: _View) -> CheckpointView:
    names = [one.name for one in parsed.tensors]
    if len(set(names)) != len(names):
        raise ValueError("two tensors have the same name")
    if any(one.zero + one.broken > one.looked for one in parsed.samples):
        raise ValueError("more numbers are zero or broken than were looked at")
    kept = ("name", "format", "state", "total_bytes", "files", "architecture", "tied", "declared", "metadata")
    return CheckpointView(
        tensors=tuple(TensorView(one.name, one.dtype, tuple(one.shape), one.bytes) for one in parsed.tensors),
        missing=tuple(parsed.missing),
        extra=tuple(parsed.extra),
        faults=tuple(parsed.faults),
        eos={place: tuple(ids) for place, ids in parsed.eos.items()},
        samples=tuple(Sampled(**dict(one)) for one in parsed.samples),
        digest=parsed.digest,
        why=parsed.why,
        **{name: getattr(parsed, name) for name in kept},
    )
