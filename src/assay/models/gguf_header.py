"""The header of a GGUF file: what the model is, how large, in which number formats. Nothing of the weights is read.

A file is hostile until proven otherwise: every count and length is bounded and checked against the file's size before
anything is read, nothing is allocated by a length that the file claims, and what is not understood is an error.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from assay.errors import ModelUnavailable

MOST_KEYS = 1 << 12
MOST_TENSORS = 1 << 16
MOST_ITEMS = 1 << 23
"""Items of all arrays of strings together: a vocabulary has some 10⁵."""
_LONGEST_NAME = 1 << 8
_LONGEST_TEXT = 1 << 24
_KEPT_TEXT = 1 << 12
_KEPT_ITEMS = 1 << 12
_BUFFER = 1 << 20

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Number formats by their code: name, values in a block, bytes of a block."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its name, its shape (fastest dimension first), its number format, its bytes (None: unknown).

    `offset` is where its data begin in the file.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    bytes: int | None
    offset: int = 0

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says of itself. `metadata` has every scalar, short text and short array of numbers.

    `spans` has where the value of each key of the metadata lies in the file: its first byte, and the one after it.
    """

    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    vocabulary: int
    chat_template: bool
    file_bytes: int
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """Such as `llama`."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def parameters(self) -> int:
        """The numbers in all tensors."""
        return sum(tensor.values for tensor in self.tensors)

    @property
    def context(self) -> int | None:
        """The longest context that the model was trained for, in tokens."""
        return self._positive("context_length")

    @property
    def special(self) -> frozenset[int]:
        """The ids of tokens that have a role: begin and end of text, end of turn, padding and so on."""
        named = (value for key, value in self.metadata.items() if re.fullmatch(r"tokenizer\.ggml\.\w+_token_id", key))
        return frozenset(value for value in named if isinstance(value, int))

    def cache_bytes(self, tokens: int) -> int:
        """Bytes of the key-value cache for `tokens` tokens, at 2 bytes a number.

        Per token and layer: key-value heads x (key length + value length). Where the file does not give the heads,
        the embedding's width stands for them, which is never less.
        """
        width = self._positive("embedding_length") or 0
        heads = self._positive("attention.head_count") or 1
        length = width // heads
        both = (self._positive("attention.key_length") or length) + (self._positive("attention.value_length") or length)
        return 2 * tokens * both * self._all_heads(heads)

    def _all_heads(self, heads: int) -> int:
        """Key-value heads of all layers together; a model may have other numbers in other layers."""
        layers = self._positive("block_count") or 0
        grouped = self.metadata.get(f"{self.architecture}.attention.head_count_kv")
        if isinstance(grouped, list):
            return sum(count for count in grouped if isinstance(count, int) and count > 0)
        return layers * (self._positive("attention.head_count_kv") or heads)

    def _positive(self, key: str) -> int | None:
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, list):  # one number a layer
            value = max((item for item in value if isinstance(item, int)), default=None)
        return value if isinstance(value, int) and value > 0 else None


def read_header(path: Path) -> Header:
    """The header of a GGUF file. Raises ModelUnavailable that names the file and what is wrong with it."""
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            return _Reader(file, path).header()
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="gguf", errno=error.errno) from None


class _Reader:
    """Walks the header once, front to back."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.size = os.fstat(file.fileno()).st_size
        self.at = 0
        self.items = 0
        self.spans: dict[str, tuple[int, int]] = {}

    def bad(self, reason: str) -> ModelUnavailable:
        return ModelUnavailable(f"{self.path}: {reason}", layer="gguf")

    def take(self, count: int) -> bytes:
        """The next `count` bytes; `count` has been bounded by the caller."""
        self.at += count
        data = self.file.read(count) if self.at <= self.size else b""
        if len(data) != count:
            raise self.bad("the file ends inside its header")
        return data

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > self.size:
            raise self.bad("the file ends inside its header")
        self.file.seek(self.at)

    def number(self, code: str) -> Any:
        size = struct.calcsize(f"<{code}")
        return struct.unpack(f"<{code}", self.take(size))[0]

    def count(self, most: int, what: str) -> int:
        value: int = self.number("Q")
        if value > most:
            raise self.bad(f"{value} {what}, more than {most}")
        return value

    def name(self) -> str:
        length = self.count(_LONGEST_NAME, "bytes in a name")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise self.bad("a name is not UTF-8") from None

    def header(self) -> Header:
        if self.take(4) != b"GGUF":
            raise self.bad("not a GGUF file")
        version = self.number("I")
        if version not in (2, 3):
            raise self.bad(f"GGUF version {version} is not supported (2 and 3 are)")
        tensors = self.count(MOST_TENSORS, "tensors")
        keys = self.count(MOST_KEYS, "metadata keys")
        metadata: dict[str, Any] = {}
        for _ in range(keys):
            key = self.name()
            if key in metadata:
                raise self.bad(f"the metadata key {key!r} appears twice")
            before = self.at
            metadata[key] = self.value()
            self.spans[key] = (before, self.at)
        if isinstance(parts := metadata.get("split.count"), int) and parts > 1:
            raise self.bad(f"the model is split over {parts} files; merge them with llama-gguf-split first")
        return self.assemble(metadata, tensors)

    def assemble(self, metadata: dict[str, Any], count: int) -> Header:
        found = self.placed(metadata, [self.tensor() for _ in range(count)])
        tokens = metadata.pop("tokenizer.ggml.tokens", None)
        return Header(
            metadata={key: value for key, value in metadata.items() if not isinstance(value, _Skipped)},
            tensors=found,
            vocabulary=tokens.count if isinstance(tokens, _Skipped) else 0,
            chat_template="tokenizer.chat_template" in metadata,
            file_bytes=self.size,
            spans=self.spans,
        )

    def value(self) -> Any:
        kind = self.number("I")
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self.array()
        raise self.bad(f"the metadata type {kind} is not known")

    def text(self) -> Any:
        length = self.count(_LONGEST_TEXT, "bytes in a text")
        if length > _KEPT_TEXT:
            self.skip(length)
            return _Skipped(length)
        return self.take(length).decode(errors="replace")

    def array(self) -> Any:
        kind = self.number("I")
        length: int = self.number("Q")
        if kind == _STRING:
            self.skip_texts(length)
            return _Skipped(length)
        if kind not in _SCALARS:
            raise self.bad(f"an array of the metadata type {kind} is not known")
        code = _SCALARS[kind]
        if length > _KEPT_ITEMS:
            self.skip(length * struct.calcsize(f"<{code}"))
            return _Skipped(length)
        return list(struct.unpack(f"<{length}{code}", self.take(length * struct.calcsize(f"<{code}"))))

    def skip_texts(self, length: int) -> None:
        """Pass over texts one by one: their lengths are all there is to say where the next one starts."""
        self.items += length
        if self.items > MOST_ITEMS or self.at + 8 * length > self.size:
            raise self.bad(f"an array of {length} texts does not fit")
        for _ in range(length):
            self.skip(self.count(_LONGEST_TEXT, "bytes in a text"))

    def tensor(self) -> Tensor:
        """A tensor's description; its offset counts from the end of the header."""
        name = self.name()
        dimensions = self.number("I")
        if not 1 <= dimensions <= 4:
            raise self.bad(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self.number("Q") for _ in range(dimensions))
        kind, offset = self.number("I"), self.number("Q")
        values = math.prod(shape)
        if values == 0 or values >= 1 << 48:
            raise self.bad(f"tensor {name!r} has the impossible shape {shape}")
        label, block, size = TYPES.get(kind, (f"type {kind}", 1, 0))
        if shape[0] % block:
            raise self.bad(f"tensor {name!r}: {shape[0]} columns do not divide into {label} blocks of {block}")
        return Tensor(name, shape, label, values // block * size if size else None, offset)

    def placed(self, metadata: dict[str, Any], found: list[Tensor]) -> tuple[Tensor, ...]:
        """The tensors by where they lie in the file. A file that is shorter than its own table of tensors is refused,
        and so are two tensors of one name or in one place.
        """
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 16:
            raise self.bad(f"an alignment of {alignment!r} is impossible")
        start = -(-self.at // alignment) * alignment
        placed = tuple(replace(tensor, offset=start + tensor.offset) for tensor in found)
        end = max((tensor.offset + (tensor.bytes or 0) for tensor in placed), default=0)
        if end > self.size:
            raise self.bad(f"the file is cut: {self.size} bytes of {end}")
        if len({tensor.name for tensor in placed}) != len(placed):
            raise self.bad("two tensors have the same name")
        for one, other in pairwise(sorted(placed, key=lambda tensor: tensor.offset)):
            # Of a type that is not known, the bytes are not known either; one value is the least.
            if one.offset + (one.bytes or 1) > other.offset:
                raise self.bad(f"tensors {one.name!r} and {other.name!r} overlap")
        return placed


@dataclass(frozen=True, slots=True)
class _Skipped:
    """A value that was passed over, and how many items it had."""

    count: int
