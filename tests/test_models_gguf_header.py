"""GGUF headers: what is read, and that no file, however broken, does more than be refused."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ModelUnavailable
from assay.models.gguf_header import TYPES, Header, read_header


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(kind: int, item: Any) -> bytes:
    codes = {0: "B", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q"}
    if kind == 8:
        return struct.pack("<I", 8) + text(item)
    if kind == 9:
        inner, items = item
        body = b"".join(text(part) if inner == 8 else struct.pack("<" + codes[inner], part) for part in items)
        return struct.pack("<IIQ", 9, inner, len(items)) + body
    return struct.pack("<I" + codes[kind], kind, item)


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


KEYS: dict[str, tuple[int, Any]] = {
    "general.architecture": (8, "toy"),
    "general.name": (8, "Toy"),
    "toy.context_length": (4, 128),
    "toy.block_count": (4, 2),
    "toy.embedding_length": (4, 64),
    "toy.attention.head_count": (4, 8),
    "toy.attention.head_count_kv": (4, 2),
    "toy.scale": (6, 0.5),
    "tokenizer.ggml.tokens": (9, (8, ["a", "b", "c" * 70])),
    "tokenizer.ggml.scores": (9, (6, [0.0, 1.0, 2.0])),
    "tokenizer.chat_template": (8, "{{ x }}" * 1000),
}
TENSORS = [tensor("a", (64, 4)), tensor("b", (64, 2), 8, 1024)]


def document(keys: dict[str, tuple[int, Any]] | None = None, tensors: list[bytes] | None = None, **head: Any) -> bytes:
    keys = KEYS if keys is None else keys
    tensors = TENSORS if tensors is None else tensors
    counts = (head.get("version", 3), head.get("count", len(tensors)), head.get("key_count", len(keys)))
    parts = [b"GGUF", struct.pack("<IQQ", *counts)]
    parts += [text(name) + value(*pair) for name, pair in keys.items()]
    data = b"".join([*parts, *tensors])
    return data + b"\0" * (-len(data) % 32) + b"\0" * head.get("data", 1024 + 4 * 34)


def read(tmp_path: Path, data: bytes) -> Header:
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    return read_header(path)


def test_what_a_file_says(tmp_path: Path):
    header = read(tmp_path, document())
    assert (header.architecture, header.parameters, header.context) == ("toy", 64 * 4 + 64 * 2, 128)
    assert (header.vocabulary, header.chat_template) == (3, True)
    assert [(item.name, item.format, item.bytes) for item in header.tensors] == [("a", "F32", 1024), ("b", "Q8_0", 136)]
    assert header.metadata["toy.scale"] == 0.5
    assert header.metadata["tokenizer.ggml.scores"] == [0.0, 1.0, 2.0]
    # keys and values of 2 heads of 8, in 2 layers, at 2 bytes
    assert header.cache_bytes(10) == 10 * 2 * 2 * 2 * 8 * 2


def test_caches_of_other_shapes(tmp_path: Path):
    own = {**KEYS, "toy.attention.key_length": (4, 16), "toy.attention.value_length": (4, 4)}
    assert read(tmp_path, document(own)).cache_bytes(1) == 2 * (16 + 4) * 2 * 2
    each = {**KEYS, "toy.attention.head_count_kv": (9, (5, [2, 6]))}
    assert read(tmp_path, document(each)).cache_bytes(1) == 2 * 16 * 8
    silent = {name: pair for name, pair in KEYS.items() if "head_count" not in name}
    assert read(tmp_path, document(silent)).cache_bytes(1) == 2 * 2 * 64 * 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends inside"),
        (b"GGU", "ends inside"),
        (b"PK\3\4" + b"\0" * 100, "not a GGUF file"),
        (document(version=1), "version 1"),
        (document(version=0x03000000), "version"),  # big-endian
        (document(count=2**63), "tensors, more than"),
        (document(key_count=2**40), "metadata keys, more than"),
        (document(key_count=12), "ends inside|bytes in a name"),
        (document(data=0), "the file is cut"),
        (document()[:200], "ends inside"),
        (document({"a": (8, "x"), "split.count": (4, 3)}), "split over 3 files"),
        (document({"general.alignment": (4, 0)}), "alignment"),
        (document(tensors=[]), None),
        (document(tensors=[tensor("t", ())]), "0 dimensions"),
        (document(tensors=[tensor("t", (1,) * 5)]), "5 dimensions"),
        (document(tensors=[tensor("t", (0, 3))]), "impossible shape"),
        (document(tensors=[tensor("t", (2**40, 2**40))]), "impossible shape"),
        (document(tensors=[tensor("t", (33,), 8)]), "do not divide"),
        (document(tensors=[tensor("t", (32,), 0, 2**62)]), "the file is cut"),
        (document(tensors=[tensor("t", (32,), 999)]), None),
    ],
)
def test_refusals_name_the_reason(data: bytes, reason: str | None, tmp_path: Path):
    if reason is None:
        read(tmp_path, data)
        return
    with pytest.raises(ModelUnavailable, match=reason) as caught:
        read(tmp_path, data)
    assert "x.gguf" in str(caught.value)


def raw(name: str, rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(name) + rest + b"\0" * 64


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (raw("k", struct.pack("<IQ", 8, 2**62)), "bytes in a text"),
        (raw("k", struct.pack("<IQ", 8, 2**20)), "ends inside"),
        (raw("k", struct.pack("<IIQ", 9, 8, 2**60)), "does not fit"),
        (raw("k", struct.pack("<IIQ", 9, 4, 2**60)), "ends inside"),
        (raw("k", struct.pack("<IIQ", 9, 9, 1)), "array of the metadata type 9"),
        (raw("k", struct.pack("<I", 77)), "metadata type 77"),
        (raw("k" * 300, b""), "bytes in a name"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"\xff\xfe") + b"\0" * 64, "UTF-8"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * (text("k") + value(4, 1)), "appears twice"),
    ],
)
def test_hostile_lengths(data: bytes, reason: str, tmp_path: Path):
    with pytest.raises(ModelUnavailable, match=reason):
        read(tmp_path, data)


def test_what_is_not_a_file(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="errno 2"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(ModelUnavailable, match="errno 21"):
        read_header(tmp_path)


def test_the_table_of_formats_is_ggufs_own():
    gguf = pytest.importorskip("gguf", reason="needs the extra `local`")
    for code, (name, block, size) in TYPES.items():
        kind = gguf.GGMLQuantizationType(code)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, size))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "broken.gguf"


@given(st.data())
def test_no_damage_does_more_than_be_refused(place: Path, data: st.DataObject):
    whole = bytearray(document())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(1, 8))] = data.draw(st.binary(min_size=0, max_size=8))
    place.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    tracemalloc.start()
    try:
        header = read_header(place)
        header.cache_bytes(10_000)
        assert header.parameters >= 0
    except ModelUnavailable:
        pass
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert most < 3 << 20  # the file's own buffer is a MiB


@given(st.binary(max_size=300))
def test_nor_does_noise(place: Path, noise: bytes):
    place.write_bytes(b"GGUF\3\0\0\0" + noise)
    with contextlib.suppress(ModelUnavailable):
        read_header(place)
