"""The headers of safetensors files: how many parameters, in which number formats. No weights are read.

A file is hostile until proven otherwise: the header's length is bounded and checked against the file's size.
The format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ModelUnavailable

LONGEST = 100_000_000
"""Bytes of a header, the bound of the format's own library."""


def tensors_in(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Each tensor's number format and shape. Raises ModelUnavailable that names the file and what is wrong."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(LONGEST, size - 8):
                raise _bad(path, f"a header of {length} bytes in a file of {size}")
            value = orjson.loads(file.read(length))
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="safetensors", errno=error.errno) from None
    except orjson.JSONDecodeError as error:
        raise _bad(path, f"its header is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _bad(path, "its header is no object")
    return {name: _tensor(path, name, entry) for name, entry in value.items() if name != "__metadata__"}


def _tensor(path: Path, name: str, entry: Any) -> tuple[str, tuple[int, ...]]:
    try:
        kind, shape = entry["dtype"], tuple(entry["shape"])
    except (KeyError, TypeError):
        raise _bad(path, f"tensor {name!r} has no dtype or no shape") from None
    if not isinstance(kind, str) or not all(type(length) is int and length >= 0 for length in shape):
        raise _bad(path, f"tensor {name!r} has an impossible dtype or shape")
    return kind, shape


def _bad(path: Path, reason: str) -> ModelUnavailable:
    return ModelUnavailable(f"{path}: {reason}", layer="safetensors")


def parameters_in(paths: Iterable[Path]) -> int:
    """The numbers in all tensors of several files."""
    return sum(math.prod(shape) for path in paths for _, shape in tensors_in(path).values())
