from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import EvidenceError
from assay.files import canonical, digest, digest_file, digest_of, read_json, write_atomic

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=6))
def test_equal_values_are_equal_bytes_whatever_the_order(value: dict[str, Any]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(backwards)
    assert digest_of(value) == digest_of(backwards)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}], ({"a": (float("nan"),)},)])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a JSON number"):
        canonical(value)


def test_digests_agree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"assay" * 100_000)
    assert digest_file(tmp_path / "file") == digest(b"assay" * 100_000)


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")

    def pieces() -> Any:
        yield b"half"
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_atomic(path, pieces())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_the_mask_of_the_user_is_respected(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no such file"), (b"{", "not JSON"), (b"[]", "an object"), (b'{"schema":"b"}', "schema")],
)
def test_a_bad_document_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvidenceError, match=f"x.json: .*{words}"):
        read_json(path, "a")
