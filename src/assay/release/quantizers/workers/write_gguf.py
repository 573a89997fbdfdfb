"""Writes a GGUF file anew in another number format, with the package `gguf` alone.

Job: `source`, `out`, `type` (such as "Q8_0"; null leaves every tensor as it is), `keep` (names of tensors that stay
as they are, or in F16 where they are quantized), `types` (of tensors that get a type of their own), `kept_from` (the
file that those two kinds are taken from, instead of `source`). One tensor is in memory at a time. All metadata are
kept, but for the file's type. What is quantized follows llama.cpp (src/llama-quant.cpp): matrices called `*weight`,
but for norms, routers and convolutions; vectors stay in F32; with types of four and five bits the output matrix, or
the embedding where that is tied to it, gets Q8_0; columns that do not divide into blocks get F16.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType
from gguf.quants import dequantize, quantize

_FLOAT = ("F32", "F16", "BF16")
_FILE_TYPES = {"F32": "ALL_F32", "MXFP4": "MOSTLY_MXFP4_MOE"}
_CHUNK = 1 << 24
"""Numbers that are held as F32 at a time."""
_SMALL = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4")
_NEVER = re.compile(
    r"_norm\.weight$|ffn_gate_inp\.weight$|ssm_conv1d\.weight$|shortconv\.conv\.weight$|time_mix_.*\.weight$"
    r"|attn_rel_b\.weight$|^pos_embd\.weight$|^position_embd\.weight$|^token_types\.weight$"
)
_LARGEST_F16 = 65504.0
_WHOLE = {"F64": "f8", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8"}
_PLAIN = {"F32": "f4", "F16": "f2", **_WHOLE}
"""Types that numpy has, and its names for them."""


def main(job: dict[str, Any]) -> None:
    """Write the file that the job asks for."""
    reader = GGUFReader(job["source"])
    keep, own = frozenset(job["keep"]), dict(job.get("types", {}))
    tensors = _tensors(reader, keep | own.keys(), job.get("kept_from"))
    kinds = _kinds(tensors, job["type"], keep, own)
    writer = GGUFWriter(job["out"], str(reader.fields["general.architecture"].contents()), endianess=reader.endianess)
    _copy_metadata(reader, writer, job["type"])
    for tensor in tensors:
        _announce(writer, tensor, kinds[tensor.name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(tensors, 1):
        writer.write_tensor_data(_converted(tensor, kinds[tensor.name]))
        sys.stdout.write(f"{number} of {len(tensors)} tensors\n")
        sys.stdout.flush()
    writer.close()


def _tensors(reader: Any, keep: frozenset[str], other: str | None) -> list[Any]:
    """The source's tensors, those that are kept from the other file where there is one."""
    kept = {tensor.name: tensor for tensor in GGUFReader(other).tensors if tensor.name in keep} if other else {}
    return [kept.get(tensor.name, tensor) for tensor in reader.tensors]


def _kinds(tensors: list[Any], wanted: str | None, keep: frozenset[str], own: dict[str, str]) -> dict[str, Any]:
    """Each tensor's type in the new file."""
    chosen = {tensor.name: _kind(tensor, own[tensor.name], "", False) for tensor in tensors if tensor.name in own}
    if wanted is None:
        return {tensor.name: chosen.get(tensor.name, tensor.tensor_type) for tensor in tensors}
    named = any(tensor.name == "output.weight" for tensor in tensors)
    last = "output.weight" if named else "token_embd.weight"
    return chosen | {
        tensor.name: _kind(tensor, wanted, last, tensor.name in keep) for tensor in tensors if tensor.name not in own
    }


def _kind(tensor: Any, wanted: str, last: str, kept: bool) -> Any:
    shape = [int(size) for size in tensor.shape]  # columns first
    if tensor.tensor_type.name in _WHOLE:
        return tensor.tensor_type
    if sum(size > 1 for size in shape) < 2 or not tensor.name.endswith("weight") or _NEVER.search(tensor.name):
        return GGMLQuantizationType.F32
    if kept and wanted not in _FLOAT:
        return tensor.tensor_type if tensor.tensor_type.name in _FLOAT else GGMLQuantizationType.F16
    kind = GGMLQuantizationType["Q8_0" if wanted in _SMALL and tensor.name == last else wanted]
    block, _ = GGML_QUANT_SIZES[kind]
    return kind if shape[0] % block == 0 else GGMLQuantizationType.F16


def _copy_metadata(reader: Any, writer: Any, wanted: str | None) -> None:
    """Everything but what the writer adds itself, and the file's type where the tensors get another."""
    anew = () if wanted is None else ("general.file_type", "general.quantization_version")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", *anew):
            continue
        kinds = field.types
        writer.add_key_value(field.name, field.contents(), kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
    if wanted is not None:
        writer.add_file_type(LlamaFileType[_FILE_TYPES.get(wanted, f"MOSTLY_{wanted}")])
        if wanted not in _FLOAT:
            writer.add_quantization_version(2)


def _announce(writer: Any, tensor: Any, kind: Any) -> None:
    rows = [int(size) for size in reversed(tensor.shape)]
    block, size = GGML_QUANT_SIZES[kind]
    stored = [*rows[:-1], rows[-1] // block * size]
    plain = kind.name in _PLAIN
    dtype = np.dtype(_PLAIN[kind.name] if plain else np.uint8)
    writer.add_tensor_info(tensor.name, rows if plain else stored, dtype, math.prod(stored), None if plain else kind)


def _converted(tensor: Any, kind: Any) -> Any:
    """A tensor's data in another type, worked out piece by piece."""
    if tensor.tensor_type == kind:
        return np.ascontiguousarray(tensor.data)
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    step = max(1, _CHUNK // max(1, int(tensor.shape[0])))
    pieces = [
        _piece(rows[begin : begin + step], tensor.tensor_type, kind, tensor.name)
        for begin in range(0, rows.shape[0], step)
    ]
    whole = np.concatenate(pieces)
    return whole.reshape(*tensor.data.shape[:-1], whole.shape[-1])


def _piece(data: Any, old: Any, new: Any, name: str) -> Any:
    values = data.astype(np.float32) if old.name in _PLAIN else dequantize(data, old)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity")
    if old.name not in _FLOAT and new.name not in _FLOAT:
        values = values.astype(np.float16).astype(np.float32)  # as if written to F16 first: one source for all recipes
    if new.name == "F16" and float(np.abs(values).max(initial=0)) > _LARGEST_F16:
        raise ValueError(f"{name} has values that F16 cannot hold; use BF16")
    return values.astype(_PLAIN[new.name]) if new.name in _PLAIN else quantize(values, new)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
