"""Append-only JSON lines that survive `kill -9`: the attempts and scores of a run.

A journal is a folder of segments, `0000.jsonl`, `0001.jsonl`, … One writer appends to the newest; a sealed segment
is never touched again. Each line is handed to the kernel at once, so a killed process loses only what was in
flight, and synced to disk in groups (every 256 lines or 0.5 s), so a power cut loses at most one group. A torn last
line is what a kill leaves: it is dropped on opening. Anything else that is wrong is an error that names file and line.

A segment that a seal covers may be Parquet instead (`assay.run.compact`); its lines are the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import orjson

from assay.errors import JournalCorrupt, MachineError
from assay.files import canonical, sync_folder

GROUP_LINES = 256
GROUP_SECONDS = 0.5


def segments(folder: Path) -> list[Path]:
    """The segments of a journal, oldest first; none where the folder does not exist.

    Where a segment is there both as JSON lines and as Parquet, its JSON lines.
    """
    return one_each(folder.glob("[0-9][0-9][0-9][0-9].*"))


def one_each(paths: Iterable[Path]) -> list[Path]:
    """Of these files, one for each segment, oldest first: its JSON lines before its Parquet."""
    listed, kinds = sorted(paths), (".parquet", ".jsonl")
    found = {path.stem: path for kind in kinds for path in listed if path.suffix == kind}
    return [found[stem] for stem in sorted(found)]


def first_line(path: Path) -> bytes:
    """The first line of a segment, with its newline; empty where there is none."""
    if path.suffix != ".parquet":
        with path.open("rb") as file:
            return file.readline()
    from assay.run.compact import lines

    return next(iter(next(lines(path), b"").splitlines(keepends=True)), b"")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A segment's lines as a file that can be searched; those of Parquet are written to a temporary one."""
    if path.suffix != ".parquet":
        with path.open("rb") as file:
            yield file
        return
    from assay.run.compact import lines

    with TemporaryFile(prefix="assay-") as file:
        file.writelines(lines(path))
        file.seek(0)
        yield file


def read(folder: Path) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """Every record of a journal as (segment, line number from 1, record), oldest first, in constant memory.

    A last line without its newline was torn by a kill and is skipped. Raises JournalCorrupt for any other line that
    is not a JSON object.
    """
    for path in segments(folder):
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                yield path, number, parse(path, number, line)


def parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line as a JSON object. Raises JournalCorrupt that names the segment and the line."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise JournalCorrupt(path, number, f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise JournalCorrupt(path, number, "not a JSON object")
    return record


_OFFSET_BITS = 48


class Lines:
    """A journal's records by place: a number that names segment and offset, so that a million of them can be
    remembered in eight bytes each and read in any order.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = segments(folder)
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(opened(path)) for path in self._paths]

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(place, record) of every whole line, oldest first. Raises JournalCorrupt."""
        for number, path in enumerate(self._paths):
            offset = 0
            with opened(path) as file:
                for count, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        break
                    yield number << _OFFSET_BITS | offset, parse(path, count, line)
                    offset += len(line)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The record at a place that iteration gave."""
        file = self._files[place >> _OFFSET_BITS]
        file.seek(place & ((1 << _OFFSET_BITS) - 1))
        record: dict[str, Any] = orjson.loads(file.readline())
        return record

    def close(self) -> None:
        """Close the files."""
        self._stack.close()


def next_segment(folder: Path, sealed: frozenset[str]) -> Path:
    """Where to append: the newest segment, or the one after it when that is sealed, or Parquet.

    `sealed` holds the names of the segments that a manifest covers.
    """
    existing = segments(folder)
    if existing and existing[-1].name not in sealed and existing[-1].suffix == ".jsonl":
        return existing[-1]
    return folder / f"{len(existing):04d}.jsonl"


class Writer:
    """The one writer of a segment. Opening it drops a torn last line.

    `append` writes at once and never blocks on the disk; `sync` makes everything so far durable. Use `keep_synced`
    beside the work to sync in groups. A failed write (a full disk) is undone to the end of the last whole line and
    raises MachineError with layer `journal` and the errno; nothing more is accepted then.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".parquet").unlink(missing_ok=True)  # of a seal that failed: the segment goes on
            fresh = not path.exists()
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            if fresh:
                sync_folder(path.parent)
            self._end = _drop_torn_line(self._handle)
        except OSError as error:
            raise _failed(path, error) from error
        self._unsynced = 0
        self._since = 0.0
        self._broken: MachineError | None = None

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line. Raises ValueError for NaN or Infinity, MachineError where the disk refuses."""
        if self._broken:
            raise self._broken
        line = canonical(record) + b"\n"
        try:
            _write_whole(self._handle, line)
        except OSError as error:
            self._undo()
            self._broken = _failed(self.path, error)
            raise self._broken from error
        self._end += len(line)
        if not self._unsynced:
            self._since = time.monotonic()
        self._unsynced += 1

    def _undo(self) -> None:
        os.ftruncate(self._handle, self._end)

    @property
    def due(self) -> bool:
        """Whether a group is full or old enough to be synced."""
        if not self._unsynced:
            return False
        return self._unsynced >= GROUP_LINES or time.monotonic() - self._since >= GROUP_SECONDS

    def sync(self) -> None:
        """Make every line so far durable. Raises MachineError where the disk refuses."""
        if not self._unsynced:
            return
        self._unsynced = 0
        try:
            os.fdatasync(self._handle) if hasattr(os, "fdatasync") else os.fsync(self._handle)
        except OSError as error:
            self._broken = _failed(self.path, error)
            raise self._broken from error

    async def keep_synced(self) -> None:
        """Sync groups in a thread as they fall due, until cancelled."""
        while True:
            await asyncio.sleep(GROUP_SECONDS / 10)
            if self.due:
                await asyncio.to_thread(self.sync)

    def close(self) -> None:
        """Sync and close; safe to call twice."""
        if self._handle < 0:
            return
        try:
            if not self._broken:
                self.sync()
        finally:
            os.close(self._handle)
            self._handle = -1


def _write_whole(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _drop_torn_line(handle: int) -> int:
    """Cut the file after its last newline; returns its length then."""
    end = os.fstat(handle).st_size
    position = end
    while position > 0:
        start = max(0, position - (1 << 16))
        block = os.pread(handle, position - start, start)
        if (cut := block.rfind(b"\n")) >= 0:
            position = start + cut + 1
            break
        position = start
    if position != end:
        os.ftruncate(handle, position)
        os.fsync(handle)
    return position


def _failed(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write {path}",
        layer="journal",
        errno=error.errno,
        hint="what was finished is kept; make room or fix the permissions, then ask again to resume",
    )
