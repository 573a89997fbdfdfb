"""Recipes: what a quantizer is asked to make, and what `gate ptq` then wants to find.

The bits of a weight count its scales. Where they come from:

- GGUF types: bytes of a block over its values, as the format defines them (`assay.models.gguf_header.TYPES`).
- GGUF mixes (`Q3_K_M` …): bits a weight of Llama 3.1 8B, llama.cpp's `tools/quantize/README.md`; of `Q3_K_M`, which
  that table leaves out, Llama 2 7B's from an earlier state of the same page.
- compressed-tensors' presets (`compressed_tensors/quantization/quant_scheme.py`) and modelopt's formats: bits of the
  number, and of a scale over the numbers that share it: BF16 over a row, BF16 over a group of 128 or 64, FP8 over 16.

The band is what a file may come to: a scale more a row in narrow layers; for GGUF the mix's freedom, and up to a
quarter more where rows do not divide into blocks of 256 and llama.cpp takes another type for those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.gates.layers import LINEAR

SCHEMA = "assay.recipe.v1"
Format = Literal["gguf", "safetensors"]
Shape = Literal["channel", "group", "tensor", "any"]
"""What shares one scale: a row, a group of a row, the whole tensor; or whatever the quantizer likes."""
PLAIN = ("F64", "F32", "F16", "BF16")
"""Number formats that are not quantized."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantize a model.

    `targets`, `ignore` and `free` are patterns: `Linear` for every linear layer of the text model but its head,
    `role:NAME` for a kind of layer (`assay.gates.layers`), or a shell pattern on the layer's name (`*.o_proj`). A layer
    is quantized where it is targeted and not ignored, may be where it is `free`, and must not be anywhere else.

    `types` are the types that a targeted weight may have, of which the file must hold at least one of `own`; the rest
    of `types` are fallbacks, which are counted. `bits` a targeted weight nominally takes, `band` the lowest and highest
    average over all of them. `scales` are the parts that each quantized weight must have, and what shares one.
    `group` is the number of values to a scale. `expected` are further keys of configurations that may change. `keep`
    names layers that are quantized to a wider type, pattern by pattern (`assay.gates.keeping`).
    """

    name: str
    quantizer: str
    scheme: str
    bits: float
    band: tuple[float, float]
    types: tuple[str, ...]
    own: tuple[str, ...]
    targets: tuple[str, ...] = ("Linear",)
    ignore: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    scales: Mapping[str, Shape] = field(default_factory=dict)
    group: int | None = None
    declared: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    keep: Mapping[str, str] = field(default_factory=dict)

    @property
    def format(self) -> Format:
        """What kind of file it makes."""
        return "gguf" if self.quantizer == "gguf" else "safetensors"

    @property
    def method(self) -> str | None:
        """What a checkpoint that the quantizer made says in `quant_method`; None where that is not known."""
        return {"llmcompressor": "compressed-tensors", "modelopt": "modelopt"}.get(self.quantizer)

    @property
    def quantizes(self) -> bool:
        """Whether it makes weights smaller than 16 bits: a conversion to F16 does not."""
        return self.bits < 16

    def wants(self, layer: str, role: str) -> bool:
        """Whether the layer must be quantized."""
        return _any(self.targets, layer, role) and not _any(self.ignore, layer, role)

    def allows(self, layer: str, role: str) -> bool:
        """Whether the layer may be quantized."""
        return self.wants(layer, role) or (_any(self.free, layer, role) and not _any(self.ignore, layer, role))

    def ratio(self, source_bits: float) -> tuple[float, float, float]:
        """Linear bytes over the source's, whose weights take `source_bits`: nominal, lowest and highest."""
        return self.bits / source_bits, self.band[0] / source_bits, self.band[1] / source_bits

    def to_json(self) -> dict[str, Any]:
        """As a document, with its digest."""
        value: dict[str, Any] = {"schema": SCHEMA, "name": self.name, "quantizer": self.quantizer}
        value |= {"scheme": self.scheme, "bits": self.bits, "band": list(self.band), "group": self.group}
        for name in ("types", "own", "targets", "ignore", "free", "declared", "expected"):
            value[name] = list(getattr(self, name))
        value |= {"scales": dict(self.scales), "options": dict(self.options), "source": self.source}
        value |= {"keep": dict(self.keep)} if self.keep else {}
        return {**value, "digest": digest_of(value)}


def _any(patterns: Iterable[str], layer: str, role: str) -> bool:
    return any(matches(pattern, layer, role) for pattern in patterns)


def matches(pattern: str, layer: str, role: str) -> bool:
    """Whether a pattern names a layer."""
    if pattern == "Linear":
        return role in LINEAR
    if pattern.startswith("role:"):
        return role == pattern[5:]
    return fnmatchcase(layer, pattern)


_README = "llama.cpp tools/quantize/README.md, Llama 3.1 8B"
_BLOCK = "bytes of a GGUF block over its values"
_FALLBACKS: Mapping[str, tuple[str, ...]] = {
    "Q2_K": ("Q4_0", "IQ4_NL"),
    "Q3_K": ("Q4_0", "IQ4_NL"),
    "Q4_K": ("Q5_0",),
    "Q5_K": ("Q5_1",),
    "Q6_K": ("Q8_0",),
}
"""What llama.cpp takes for rows that do not divide into blocks of 256 (`tensor_type_fallback` in llama-quant.cpp)."""
_KEPT = ("role:router", "role:norm", "role:other", "role:vision")


def _gguf(
    name: str,
    bits: float,
    own: Iterable[str],
    more: Iterable[str] = (),
    band: tuple[float, float] = (0.99, 1.01),
    source: str = _BLOCK,
) -> Recipe:
    """`band` as shares of `bits`."""
    return Recipe(
        name=name,
        quantizer="gguf",
        scheme=name,
        bits=bits,
        band=(round(bits * band[0], 4), round(bits * band[1], 4)),
        types=tuple(dict.fromkeys((*own, *more))),
        own=tuple(own),
        ignore=_KEPT,
        free=("role:embedding", "role:head"),
        declared=(name,),
        source=source,
    )  # fmt: skip


def _k_quant(name: str, bits: float, own: tuple[str, ...], mix: tuple[str, ...] = (), low: float = 0.8) -> Recipe:
    """Of the types that a mix is made of, and what llama.cpp takes in their place; Q8_0 where there are few experts."""
    source = _README if name != "Q3_K_M" else "llama.cpp examples/quantize/README.md, Llama 2 7B"
    fallbacks = (other for kind in (*own, *mix) for other in _FALLBACKS[kind])
    return _gguf(name, bits, own, (*mix, *fallbacks, "Q8_0"), (low, 1.25), source)


def _converted(name: str) -> Recipe:
    """Not a quantization: the source in 16 bits, as quantizers want it. Any type that loses no bits may stay."""
    made = _gguf(name, 16.0, (name,), ("F32",))
    return replace(made, free=("role:embedding", "role:head", *_KEPT), ignore=())


def _tensors(
    name: str, quantizer: str, bits: float, high: float, own: tuple[str, ...], scales: Mapping[str, Shape], **more: Any
) -> Recipe:
    return Recipe(
        name=name,
        quantizer=quantizer,
        scheme=more.pop("scheme", name),
        bits=bits,
        band=(round(bits * 0.98, 4), high),
        types=own,
        own=own,
        ignore=("role:head", "role:router", "role:vision", "role:embedding", "role:norm", "role:other"),
        scales=scales,
        **more,
    )


_PRESET = "compressed_tensors/quantization/quant_scheme.py"
_UNIFIED = "modelopt's unified Hugging Face export (docs/source/deployment/3_unified_hf.rst)"
_CHANNEL: Mapping[str, Shape] = {"weight_scale": "channel"}
_GROUPS: Mapping[str, Shape] = {"weight_scale": "group", "weight_shape": "any"}
_BASES = (
    _converted("F16"),
    _converted("BF16"),
    _gguf("Q8_0", 8.5, ("Q8_0",)),
    _k_quant("Q6_K", 6.5625, ("Q6_K",), low=0.99),
    # A mix is named after no type of tensor: the types that it is made of are its own.
    _k_quant("Q5_K_M", 5.7036, ("Q5_K", "Q6_K")),
    _k_quant("Q4_K_M", 4.8944, ("Q4_K", "Q5_K", "Q6_K")),
    _gguf("Q4_0", 4.5, ("Q4_0",), ("Q4_1", "Q5_0", "Q5_1", "Q8_0"), (0.99, 1.1)),
    _gguf("Q4_1", 5.0, ("Q4_1",), ("Q5_0", "Q5_1", "Q8_0"), (0.99, 1.1)),
    _gguf("Q5_0", 5.5, ("Q5_0",), ("Q5_1", "Q8_0"), (0.99, 1.1)),
    _gguf("Q5_1", 6.0, ("Q5_1",), ("Q8_0",), (0.99, 1.1)),
    _k_quant("Q3_K_M", 3.91, ("Q3_K", "Q4_K", "Q5_K")),
    # Q2_K is a type of tensor: a file without one is not Q2_K, whatever else is in it.
    _k_quant("Q2_K", 3.1593, ("Q2_K",), ("Q3_K", "Q4_K")),
    # The only label that GGUF has for it is that of a mixture of experts.
    replace(_gguf("MXFP4", 4.25, ("MXFP4",)), declared=("MXFP4", "MXFP4_MOE")),
    # A BF16 scale a row: 8 + 16 / columns.
    _tensors("FP8_DYNAMIC", "llmcompressor", 8.0, 8.6, ("F8_E4M3",), _CHANNEL, declared=("float8",), source=_PRESET),
    _tensors("W8A8", "llmcompressor", 8.0, 8.6, ("I8",), _CHANNEL, declared=("int8",), source=_PRESET),
    _tensors("W4A16", "llmcompressor", 4.125, 4.3, ("I32",), _GROUPS, declared=("int4",), group=128, source=_PRESET),
    _tensors(
        "W4A16-g64", "llmcompressor", 4.25, 4.45, ("I32",), _GROUPS, declared=("int4",), group=64, source=_PRESET,
        scheme="W4A16", options={"group_size": 64},
    ),
    _tensors(
        "NVFP4A16", "llmcompressor", 4.5, 4.6, ("U8",), {"weight_scale": "group", "weight_global_scale": "tensor"},
        declared=("float4",), group=16, source=_PRESET,
    ),
    _tensors(
        "FP8", "modelopt", 8.0, 8.1, ("F8_E4M3",), {"weight_scale": "tensor", "input_scale": "tensor"},
        declared=("float8",), source=_UNIFIED,
    ),
    _tensors(
        "INT8", "modelopt", 8.0, 8.6, ("I8",), {"weight_scale": "channel", "input_scale": "any"},
        declared=("int8",), source=_UNIFIED,
    ),
    _tensors(
        "NVFP4", "modelopt", 4.5, 4.6, ("U8",),
        {"weight_scale": "group", "weight_scale_2": "tensor", "input_scale": "tensor"},
        declared=("float4",), group=16, source=_UNIFIED,
    ),
    _tensors(
        "INT4_AWQ", "modelopt", 4.125, 4.3, ("U8", "I8"), {"weight_scale": "group"},
        declared=("int4",), group=128, source=_UNIFIED,
    ),
)  # fmt: skip

VARIANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "experts-only": ("role:expert",),
        "mlp-only": ("role:mlp", "role:expert"),
        "mlp-o-only": ("role:mlp", "role:expert", "*.o_proj", "*.attn_output"),
    }
)
"""What a suffix to a recipe's name restricts it to; every other linear layer must then stay as it is."""


def _variant(base: Recipe, suffix: str) -> Recipe:
    return replace(base, name=f"{base.name}-{suffix}", targets=VARIANTS[suffix])


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in _BASES}
    | {
        recipe.name: recipe
        for suffix in VARIANTS
        for recipe in (_variant(base, suffix) for base in _BASES if base.quantizes)
    }
)
"""The built-in recipes by name."""


def named(name: Any) -> Recipe:
    """The built-in recipe of that name. Raises ConfigError with the nearest one."""
    if isinstance(name, str) and name in RECIPES:
        return RECIPES[name]
    shown = ", ".join(recipe.name for recipe in _BASES)
    allowed = f"{shown}; also with {', '.join(f'-{suffix}' for suffix in VARIANTS)}, or a YAML file"
    folded = {known.casefold(): known for known in RECIPES}
    near = nearest(str(name).casefold(), folded)
    raise ConfigError(
        Problem(f"no recipe {str(name)[:100]!r}", "--recipe", allowed=allowed, nearest=folded.get(near or ""))
    )


def of(quantizer: str) -> tuple[Recipe, ...]:
    """The built-in recipes of a quantizer."""
    return tuple(recipe for recipe in RECIPES.values() if recipe.quantizer == quantizer)
