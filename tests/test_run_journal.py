from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import JournalCorrupt, MachineError
from assay.run.journal import Writer, next_segment, read


def write(path: Path, count: int = 3) -> None:
    writer = Writer(path)
    for number in range(count):
        writer.append({"n": number})
    writer.close()


def numbers(folder: Path) -> list[int]:
    return [record["n"] for _, _, record in read(folder)]


def test_lines_are_there_before_any_sync(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "0000.jsonl")
    writer.append({"n": 1})
    assert numbers(tmp_path) == [1]
    writer.close()


@given(st.integers(0, 17))
def test_a_torn_last_line_is_dropped_and_the_rest_kept(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0000.jsonl"
        write(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - cut])
        kept = numbers(Path(folder))
        write(path, 1)
        assert numbers(Path(folder)) == [*kept, 0]
        assert kept == [0, 1, 2][: (len(whole) - cut) // 8]


def test_a_corrupt_middle_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    write(path)
    path.write_bytes(path.read_bytes().replace(b'{"n":1}', b'{"n":1'))
    with pytest.raises(JournalCorrupt, match=r"0000.jsonl:2: not JSON"):
        numbers(tmp_path)


def test_segments_are_read_in_order_and_sealed_ones_left_alone(tmp_path: Path) -> None:
    write(next_segment(tmp_path, frozenset()), 2)
    again = next_segment(tmp_path, frozenset({"0000.jsonl"}))
    assert again.name == "0001.jsonl"
    write(again, 1)
    assert numbers(tmp_path) == [0, 1, 0]


def test_not_a_number_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "0000.jsonl")
    with pytest.raises(ValueError, match="not a JSON number"):
        writer.append({"n": float("nan")})
    writer.close()
    assert (tmp_path / "0000.jsonl").read_bytes() == b""


def test_a_full_disk_is_named_and_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(tmp_path / "0000.jsonl")
    writer.append({"n": 0})
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 3:
            return real(handle, data[:3])  # the disk takes a few bytes, then no more
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    for _ in range(2):
        with pytest.raises(MachineError, match=r"journal, errno 28"):
            writer.append({"n": 1})
    monkeypatch.undo()
    writer.close()
    assert numbers(tmp_path) == [0]


def test_a_read_only_folder_is_named() -> None:
    with pytest.raises(MachineError, match=r"cannot write /proc/assay"):
        Writer(Path("/proc/assay/0000.jsonl"))
