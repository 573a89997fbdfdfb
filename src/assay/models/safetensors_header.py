"""The headers of safetensors files: which tensors, in which number formats, and where. No weights are read.

A file is hostile until proven otherwise: the header's length is bounded and checked against the file's size, names are
unique, shapes agree with lengths, and the tensors fill the file without a gap or an overlap, as the format demands.
The format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from assay.errors import ModelUnavailable

LONGEST = 100_000_000
"""Bytes of a header, the bound of the format's own library."""
MOST_TENSORS = 1 << 17
_LONGEST_NAME = 1 << 12
_MOST_VALUES = 1 << 48
_DTYPE = re.compile(r"[A-Z0-9_]{1,20}")
_MOST_DIMENSIONS = 16

BITS: Mapping[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of a value in each number format."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, number format, shape (slowest dimension first), bytes, and where they begin in the file."""

    name: str
    format: str
    shape: tuple[int, ...]
    bytes: int
    offset: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says of itself."""

    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str]
    file_bytes: int


def read_header(path: Path) -> Header:
    """The header of a file. Raises ModelUnavailable that names the file and what is wrong with it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LONGEST, size - 8):
                raise _bad(path, f"a header of {length} bytes in a file of {size}")
            data = file.read(length)
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="safetensors", errno=error.errno) from None
    value = _parsed(path, data)
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _bad(path, "its __metadata__ is no mapping of texts")
    start = 8 + length
    tensors = tuple(_tensor(path, name, entry, start) for name, entry in value.items())
    _check_extent(path, tensors, start, size)
    return Header(tensors, metadata, size)


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    # Counted before parsing: what is parsed takes many times the memory of its text.
    if max(data.count(b":"), data.count(b","), data.count(b"[")) > 8 * MOST_TENSORS:
        raise _bad(path, f"its header is of more than {MOST_TENSORS} tensors")
    try:
        value = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"its header is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _bad(path, "its header is no object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice[:100]!r} appears twice")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _tensor(path: Path, name: str, entry: Any, start: int) -> Tensor:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise _bad(path, f"tensor {name[:100]!r} has no dtype, no shape or no data_offsets") from None
    if not isinstance(kind, str) or not _DTYPE.fullmatch(kind) or len(name) > _LONGEST_NAME or not _is_text(name):
        raise _bad(path, f"tensor {name[:100]!r} has an impossible name or dtype")
    if len(shape) > _MOST_DIMENSIONS or not all(
        type(length) is int and 0 <= length <= _MOST_VALUES for length in shape
    ):
        raise _bad(path, f"tensor {name!r} has an impossible shape")
    if not (type(begin) is int and type(end) is int and 0 <= begin <= end):
        raise _bad(path, f"tensor {name!r} has the impossible offsets {str(begin)[:30]} to {str(end)[:30]}")
    _check_length(path, name, kind, shape, end - begin)
    return Tensor(name, kind, shape, end - begin, start + begin)


def _is_text(name: str) -> bool:
    """Whether a name can be written down: JSON allows halves of surrogates, and nothing else does."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _check_length(path: Path, name: str, kind: str, shape: tuple[int, ...], length: int) -> None:
    values = math.prod(shape)
    if values > _MOST_VALUES:
        raise _bad(path, f"tensor {name!r} has an impossible shape")
    if kind in BITS and -(-values * BITS[kind] // 8) != length:
        raise _bad(path, f"tensor {name!r} of {kind} {list(shape)} has {length} bytes")


def _check_extent(path: Path, tensors: tuple[Tensor, ...], start: int, size: int) -> None:
    """The tensors must follow each other without a gap or an overlap, to the end of the file."""
    ordered = sorted(tensors, key=lambda tensor: (tensor.offset, tensor.bytes))
    for one, other in pairwise(ordered):
        if one.offset + one.bytes != other.offset:
            what = "overlap" if one.offset + one.bytes > other.offset else "leave a gap between them"
            raise _bad(path, f"tensors {one.name!r} and {other.name!r} {what}")
    first = ordered[0].offset if ordered else start
    end = ordered[-1].offset + ordered[-1].bytes if ordered else start
    if first != start:
        raise _bad(path, f"the first tensor begins {first - start} bytes after the header")
    if end != size:
        raise _bad(path, f"the file is {'cut' if end > size else 'too long'}: {size} bytes of {end}")


def _bad(path: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"{path}: {reason}", layer="safetensors")


def tensors_in(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Each tensor's number format and shape. Raises ModelUnavailable that names the file and what is wrong."""
    return {tensor.name: (tensor.format, tensor.shape) for tensor in read_header(path).tensors}


def parameters_in(paths: Iterable[Path]) -> int:
    """The numbers in all tensors of several files."""
    return sum(math.prod(tensor.shape) for path in paths for tensor in read_header(path).tensors)
