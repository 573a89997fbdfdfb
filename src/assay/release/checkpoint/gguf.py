"""A GGUF file as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.models.gguf_header import Header, read_header
from assay.release.checkpoint.digests import span_digest
from assay.release.checkpoint.record import Checkpoint, Shards, Tensor

TEMPLATE = "tokenizer.chat_template"
FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip
"""`general.file_type`: the label that a file gives itself (llama.cpp's `llama_ftype`)."""


def from_gguf(path: Path) -> Checkpoint:
    """What the file holds. Raises ModelUnavailable that says what is wrong with it."""
    header = read_header(path)
    tensors = tuple(
        Tensor(one.name, one.format, one.shape[::-1], one.bytes, path.name, one.offset) for one in header.tensors
    )
    unknown = sorted({one.dtype for one in tensors if one.bytes is None})
    return Checkpoint(
        path=path,
        format="gguf",
        tensors=tensors,
        shards=Shards(1),
        total_bytes=header.file_bytes,
        metadata=header.metadata,
        template=span_digest(path, header.spans[TEMPLATE]) if TEMPLATE in header.spans else None,
        declared=_declared(header),
        spans=header.spans,
        faults=tuple(f"tensors of {kind}, a number format that is not known" for kind in unknown),
    )


def _declared(header: Header) -> dict[str, Any] | None:
    code = header.metadata.get("general.file_type")
    if type(code) is not int:
        return None
    # 1024: llama.cpp's flag for a label that was guessed from the tensors.
    return {"method": "gguf", "scheme": FILE_TYPES.get(code % 1024, f"file type {code}")}
