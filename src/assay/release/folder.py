"""A release directory: where each thing is, who holds it, and what its files amount to.

release.json          what is asked: the spec in full, the policy, the recipes, the rules
events.jsonl          what happened
stages/NN-….json      one record a finished stage: what went in, what came out, what its gate said
source/               the checkpoint that is released, where it had to be fetched or converted
baseline/             deploy/, run/: the source, served and evaluated
candidates/NAME/      checkpoint/, gates/, deploy/, run/
void/N/               records and files that hold no longer, as they were
decision.json, front.json, report.html, card.md      derived    manifest.json      the seal
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError, MachineError, ModelUnavailable
from assay.files import digest_of, read_json
from assay.models.digests import cached_digest

SCHEMA = "assay.release_record.v1"
BASELINE = "baseline"
_TRIES = 10


class ReleaseFolder:
    """The paths of a release."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "release.json"
        self.stages = path / "stages"
        self.source = path / "source"
        self.decision = path / "decision.json"
        self.front = path / "front.json"
        self.manifest = path / "manifest.json"

    @property
    def exists(self) -> bool:
        """Whether a release was begun here."""
        return self.record.is_file()

    def point(self, name: str) -> Path:
        """Where the baseline's or a candidate's files are."""
        return self.path / BASELINE if name == BASELINE else self.path / "candidates" / name

    def run(self, name: str, round_: int = 1) -> Path:
        """The run directory of the baseline or a candidate."""
        return self.point(name) / ("run" if round_ == 1 else f"run.{round_}")

    def relative(self, path: Path) -> str:
        """A path as records name it: inside the release by its place there, outside of it in full."""
        absolute, root = path.absolute(), self.path.absolute()
        return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else str(absolute)

    def at(self, name: str) -> Path:
        """The path that a record names."""
        return self.path / name

    def inside(self, name: str) -> Path:
        """The path that a record names, which must be of the release. Raises EvidenceError where it leads out of it."""
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise EvidenceError(f"{name}: outside of the release {self.path}")
        return path

    def content(self) -> dict[str, Any]:
        """What is asked. Raises EvidenceError where it cannot be read, or lacks what everybody takes it to have."""
        value = read_json(self.record, SCHEMA)
        known = {"name": str, "digest": str, "spec": dict, "recipes": list}
        if wrong := [key for key, kind in known.items() if not isinstance(value.get(key), kind)]:
            raise EvidenceError(f"{self.record}: not what assay writes ({', '.join(wrong)})")
        return value

    def sweep(self) -> None:
        """Remove what a killed process left half-written beside the files of a release; of folders, a baseline that was
        being copied: quantizers see to their own."""
        for path in self.path.rglob(".*.part"):
            if path.is_file() and not path.is_symlink():
                path.unlink()
        for path in self.path.glob(f"{BASELINE}/.run*.part"):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the release against other processes. Raises MachineError where another one is at work here."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._take(handle)
            yield
        finally:
            os.close(handle)

    def _take(self, handle: int) -> None:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if not left:
                    message = f"another process is working on {self.path}"
                    raise MachineError(message, layer="release directory", errno=error.errno) from None
                time.sleep(0.05)  # somebody may only be asking whether the release is held

    @property
    def busy(self) -> bool:
        """Whether a process is at work here."""
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False


def is_release(path: Path) -> bool:
    """Whether a path names a release directory, or its manifest."""
    folder = path.parent if path.name == "manifest.json" else path
    return (folder / "release.json").is_file() and not (folder / "plan.json").exists()


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of a folder's files; remembered while they do not change.

    Raises EvidenceError where there is nothing, or a link, MachineError where it cannot be read.
    """
    if path.is_symlink() or not path.exists():
        raise EvidenceError(f"{path}: {'a link' if path.is_symlink() else 'missing'}")
    try:
        if path.is_file():
            return cached_digest(path)
        return digest_of([[file.relative_to(path).as_posix(), cached_digest(file)] for file in files(path)])
    except ModelUnavailable as error:  # a disk that fails says nothing of the model
        raise MachineError(f"{path} cannot be read", layer="release", errno=error.errno) from error


def files(path: Path) -> list[Path]:
    """Every file of a folder, in order. Raises EvidenceError for anything but plain files and folders."""
    found = sorted(path.rglob("*"))
    for item in found:
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            raise EvidenceError(f"{item}: a release holds plain files and folders only")
    return [item for item in found if item.is_file()]
