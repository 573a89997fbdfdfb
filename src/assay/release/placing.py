"""Putting what a tool makes in place: made aside, synced, renamed. What a killed process left goes at the next try."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import MachineError
from assay.files import sync_folder


@contextmanager
def aside(out: Path) -> Iterator[Path]:
    """A folder beside `out`, locked, empty, and removed at the end. What a killed process left in it goes first."""
    folder = out.absolute().parent / f".{out.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(f"another process is making {out}", layer="quantize") from None
        _empty(folder)
        yield folder
    finally:
        os.close(held)
        if not _locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> bool:
    """Whether another process has it."""
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(held)
    return False


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def put(part: Path, out: Path) -> None:
    """Put a finished file or folder in place, synced, whole. Raises MachineError where the tool wrote none."""
    if not part.exists():
        raise MachineError(f"the quantizer ended well and wrote no {part.name}", layer="quantize")
    for path in [part] if part.is_file() else sorted(part.rglob("*")):
        if path.is_file():
            path.chmod(0o644)
            with path.open("rb") as file:
                os.fsync(file.fileno())
    part.rename(out)
    sync_folder(out.absolute().parent)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(item.stat().st_size for item in files)
