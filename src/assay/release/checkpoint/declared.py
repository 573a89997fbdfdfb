"""What a Hugging Face checkpoint says of its own quantization, in one form for all tools.

`method` is the tool, `scheme` its own word for what it did, `numbers` the number formats of the weights (`float8`,
`int4`, …), `group` how many values share a scale, `ignore` the layers that were left out.

Sources: `quantization_config` of config.json (transformers), `config_groups` in it (compressed-tensors), and
hf_quant_config.json (modelopt).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ALGORITHMS: Mapping[str, str] = {
    "FP8": "float8", "FP8_PER_CHANNEL_PER_TOKEN": "float8", "FP8_PB_WO": "float8", "FP8_PB_REAL": "float8",
    "MXFP8": "float8", "INT8_SQ": "int8", "W8A8_SQ_PER_CHANNEL": "int8", "INT8": "int8", "W4A16_AWQ": "int4",
    "INT4_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16": "int4", "NVFP4": "float4", "NVFP4_AWQ": "float4",
    "MXFP4": "float4",    "W4A16_NVFP4": "float4", "W4A8_NVFP4_FP8": "float4", "W4A8_MXFP4_FP8": "float4",
}  # fmt: skip
"""modelopt's `quant_algo`."""
_METHODS: Mapping[str, str] = {"fp8": "float8", "mxfp4": "float4", "fbgemm_fp8": "float8"}


def declared(config: Mapping[str, Any], modelopt: Mapping[str, Any]) -> dict[str, Any] | None:
    """What config.json and hf_quant_config.json say; None where neither says anything."""
    own = config.get("quantization_config")
    own = own if isinstance(own, dict) else {}
    other = modelopt.get("quantization")
    other = other if isinstance(other, dict) else {}
    if not own and not other:
        return None
    numbers = sorted({*_numbers(own), *_numbers(other)})
    algorithm = own.get("quant_algo") or other.get("quant_algo") or own.get("format")
    return {
        "method": str(own.get("quant_method") or ("modelopt" if other else "unknown")),
        "scheme": str(algorithm or own.get("quant_method") or "unknown"),
        "numbers": numbers,
        "groups": sorted({*_sizes(own), *_sizes(other)}),
        "ignore": sorted({*_ignored(own), *_ignored(other)}),
    }


def _groups(own: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    groups = own.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            yield weights


def _numbers(own: Mapping[str, Any]) -> Iterator[str]:
    """The number formats of the weights that are declared."""
    for weights in _groups(own):
        yield f"{weights.get('type')}{weights.get('num_bits')}"
    algorithm, method = own.get("quant_algo"), own.get("quant_method")
    if isinstance(algorithm, str) and algorithm.upper() != "MIXED_PRECISION":
        yield _ALGORITHMS.get(algorithm.upper(), algorithm)
    layers = own.get("quantized_layers")
    for layer in layers.values() if isinstance(layers, dict) else ():
        named = layer.get("quant_algo") if isinstance(layer, dict) else None
        yield _ALGORITHMS.get(str(named).upper(), str(named))
    if isinstance(method, str) and method in _METHODS:
        yield _METHODS[method]
    if method in ("gptq", "awq") and type(own.get("bits")) is int:
        yield f"int{own['bits']}"


def _sizes(own: Mapping[str, Any]) -> Iterator[int]:
    for weights in (*_groups(own), own):
        if type(size := weights.get("group_size")) is int and size > 0:
            yield size


def _ignored(own: Mapping[str, Any]) -> Iterator[str]:
    for key in ("ignore", "exclude_modules", "modules_to_not_convert"):
        names = own.get(key)
        yield from (name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
