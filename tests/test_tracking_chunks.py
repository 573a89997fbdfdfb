"""Files in tags: they come back as they were, and what a server made up does not."""

from __future__ import annotations

import base64
import contextlib
import lzma

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import EvidenceError
from assay.tracking import archive, chunks
from assay.tracking.client import TAG_LENGTH

DATA = st.one_of(st.binary(max_size=30_000), st.text(max_size=9_000).map(str.encode))


@given(DATA)
def test_every_file_comes_back(data: bytes):
    tags = chunks.encode("raw.txt", data, chunks.MOST_CHUNKS)
    assert all(len(text) <= TAG_LENGTH for text in tags.values())
    assert chunks.decode("raw.txt", tags, 10**6) == data


def test_a_head_of_ours_as_content_is_not_taken_for_one():
    data = b'{"schema":"assay.not_logged.v1","why":"because"}'
    tags = chunks.encode("raw.txt", data, chunks.MOST_CHUNKS)
    assert chunks.refused("raw.txt", tags) is None
    assert chunks.decode("raw.txt", tags, 100) == data


def test_what_is_too_long_says_so():
    import random

    data = random.Random(1).randbytes(100_000)
    tags = chunks.encode("raw.txt", data, chunks.FEW_CHUNKS)
    assert list(tags) == ["artifact:raw.txt"]
    assert "too large for tags: 100000 bytes" in str(chunks.refused("raw.txt", tags))
    with pytest.raises(EvidenceError, match="too large"):
        chunks.decode("raw.txt", tags, 10**6)


def test_pieces_of_a_longer_version_are_found():
    before = chunks.encode("x", b"\0" + bytes(range(256)) * 200, chunks.MOST_CHUNKS)
    now = chunks.encode("x", b"short", chunks.MOST_CHUNKS)
    assert chunks.stale("x", before, now) == ["artifact:x/0000"]


def head(**changed: object) -> dict[str, str]:
    packed = base64.b64encode(lzma.compress(b"0" * 50_000_000)).decode()
    pieces = [packed[start : start + TAG_LENGTH] for start in range(0, len(packed), TAG_LENGTH)]
    known = {"schema": chunks.SCHEMA, "encoding": "xz+base64", "chunks": len(pieces), "bytes": 10, "sha256": "0" * 64}
    tags = {f"artifact:x/{number:04d}": piece for number, piece in enumerate(pieces)}
    return {"artifact:x": orjson.dumps({**known, **changed}).decode(), **tags}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "another number of bytes"),
        ({"bytes": 50_000_000}, "hold more than 1000 bytes"),
        ({"bytes": -1}, "hold more than"),
        ({"chunks": 10**9}, "hold more than"),
        ({"chunks": 7}, "lack piece"),
        ({"encoding": "rot13"}, "not what assay writes"),
        ({"more": 1}, "not what assay writes"),
    ],
)
def test_bombs_and_lies_are_refused(changed: dict[str, object], why: str):
    with pytest.raises(EvidenceError, match=why):
        chunks.decode("x", head(**changed), 1000)


@given(st.dictionaries(st.sampled_from(["artifact:x", "artifact:x/0000"]), st.text(max_size=200)))
def test_whatever_a_server_says_is_data_or_an_error(tags: dict[str, str]):
    with contextlib.suppress(EvidenceError):
        assert isinstance(chunks.decode("x", tags, 1000), bytes)


def test_an_archive_comes_back(tmp_path):
    (tmp_path / "a").write_bytes(b"one\n")
    (tmp_path / "b").write_bytes(b"")
    packed = archive.pack({"x/a": tmp_path / "a", "b": tmp_path / "b"})
    assert dict(archive.unpack(packed)) == {"x/a": b"one\n", "b": b""}


@given(st.binary(max_size=300))
def test_an_archive_of_anything_is_files_or_an_error(data: bytes):
    with contextlib.suppress(EvidenceError):
        list(archive.unpack(data))


@pytest.mark.parametrize(
    "files",
    [
        [{"path": "a", "bytes": 99}],
        [{"path": "a", "bytes": -1}],
        [{"path": 1, "bytes": 1}],
        [{"path": "a"}],
        [{"path": "a", "bytes": 1}],
        {"a": 1},
    ],
)
def test_an_archive_that_lies_about_its_files_is_refused(files: object):
    data = orjson.dumps({"schema": archive.SCHEMA, "files": files}) + b"\nabcd"
    with pytest.raises(EvidenceError):
        list(archive.unpack(data))
