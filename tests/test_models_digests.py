"""Digests of large files are worked out once, and again when the file is another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.errors import ModelUnavailable
from assay.files import digest_file
from assay.models import digests
from assay.models.digests import cached_digest


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were read in whole."""
    seen: list[Path] = []

    def counting(path: Path) -> str:
        seen.append(path)
        return digest_file(path)

    monkeypatch.setattr(digests, "digest_file", counting)
    return seen


def test_a_file_is_read_once(tmp_path: Path, reads: list[Path]):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    assert cached_digest(path) == cached_digest(path) == digest_file(path)
    assert len(reads) == 1


@pytest.mark.parametrize("keep_time", [False, True])
def test_another_content_is_another_digest(tmp_path: Path, reads: list[Path], keep_time: bool):
    path, other = tmp_path / "weights", tmp_path / "other"
    path.write_bytes(b"one")
    first = cached_digest(path)
    stat = path.stat()
    other.write_bytes(b"two")
    other.replace(path)
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cached_digest(path) == digest_file(path) != first


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"k": 7}', b"\xff"])
def test_a_damaged_memory_is_ignored(tmp_path: Path, home: Path, reads: list[Path], content: bytes):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    (home / "digests.json").write_bytes(content)
    assert cached_digest(path) == cached_digest(path) == digest_file(path)
    assert len(reads) == 1


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    monkeypatch.setenv("ASSAY_HOME", str(path))  # a file: nothing can be kept below it
    assert cached_digest(path) == digest_file(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="nothing"):
        cached_digest(tmp_path / "nothing")
