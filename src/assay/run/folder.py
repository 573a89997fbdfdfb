"""A run directory: where each file is, how it is made, and how its samples and attempts are read back.

plan.json          what runs
samples/*.jsonl    the samples asked and shown, so that a run can be read and scored again with nothing else
attempts/*.jsonl   the journal
scores/*.jsonl     one line per attempt and scorer, after a header that names the scorers
controls/*.jsonl   where code was executed: how it was confined, and whether reference solutions passed
until.json         what a run that stops when it is decided is held against    looks/*.jsonl   what each look came to
events.jsonl       progress
judgements/*.jsonl what judges said, in a run that was judged; judging/ holds the rubrics and what was handed out
results.json       derived    judged.json   derived, where a rubric is carried    report.html   derived
manifest.json      the seal
"""

from __future__ import annotations

import fcntl
import os
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from assay.errors import ConfigError, EvidenceError, MachineError
from assay.files import canonical, read_json, write_atomic
from assay.plan.plan import Plan
from assay.records import Sample

MANIFEST_SCHEMA = "assay.manifest.v1"


class SampleFile:
    """Samples of one file by position: offsets in memory (8 bytes a sample), text on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = array("Q", [0])
        try:
            with path.open("rb") as file:
                for line in file:
                    self._offsets.append(self._offsets[-1] + len(line))
            self._handle = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise EvidenceError(f"{path}: {error.strerror}") from None
        self._close = weakref.finalize(self, os.close, self._handle)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._offsets) - 1

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position. Raises EvidenceError where the file does not hold one."""
        if not 0 <= position < len(self):
            raise EvidenceError(f"{self.path}: has {len(self)} samples, asked for number {position + 1}")
        start = self._offsets[position]
        line = os.pread(self._handle, self._offsets[position + 1] - start, start)
        try:
            return Sample.from_json(orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise EvidenceError(f"{self.path}:{position + 1}: not a sample ({error})") from None

    def close(self) -> None:
        """Close the file."""
        self._close()


class RunFolder:
    """The paths of a run, and its plan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempts = path / "attempts"
        self.scores = path / "scores"
        self.controls = path / "controls"
        self.results = path / "results.json"
        self.report = path / "report.html"
        self.manifest = path / "manifest.json"

    @property
    def exists(self) -> bool:
        """Whether a run has been made here: the plan is written last."""
        return (self.path / "plan.json").is_file()

    def plan(self) -> Plan:
        """The plan. Raises EvidenceError where it is missing or altered, ConfigError where this is no run at all."""
        if not self.exists:
            raise ConfigError(f"{self.path}: not a run directory (it has no plan.json)")
        return Plan.read(self.path / "plan.json")

    def holds(self, plan: Plan) -> bool:
        """Whether the plan here is just that one."""
        return (self.path / "plan.json").read_bytes() == _plan_bytes(plan)

    def create(self, plan: Plan, samples: Iterable[tuple[str, Iterable[Sample], Iterable[Sample]]]) -> None:
        """Make the directory: for each task (name, samples asked, samples shown), then the plan.

        Raises MachineError where the directory cannot be written; a half-made one is completed by asking again.
        """
        try:
            for task, asked, shown in samples:
                write_atomic(self.sample_path(task), _lines(asked))
                if plan.tasks[task].demos:
                    write_atomic(self.sample_path(task, shown=True), _lines(shown))
            write_atomic(self.path / "plan.json", _plan_bytes(plan))
        except OSError as error:
            raise MachineError(
                f"cannot write the run directory {self.path}", layer="run directory", errno=error.errno
            ) from error

    def sample_path(self, task: str, *, shown: bool = False) -> Path:
        """Where a task's samples are: those asked, or those shown as demonstrations."""
        return self.path / "samples" / f"{task}{'.shown' if shown else ''}.jsonl"

    def shown(self, task: str) -> list[Sample]:
        """A task's demonstrations, in order; none where it has none."""
        path = self.sample_path(task, shown=True)
        if not path.exists():
            return []
        file = SampleFile(path)
        try:
            return [file[position] for position in range(len(file))]
        finally:
            file.close()

    def sealed(self) -> frozenset[str]:
        """The relative paths that any manifest covers, the newest or an earlier one; none before the first seal."""
        manifests = [*self.path.glob("sealed/*/manifest.json"), self.manifest]
        return frozenset(
            str(file["path"])
            for manifest in manifests
            if manifest.exists()
            for file in read_json(manifest, MANIFEST_SCHEMA).get("files", [])
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run against other processes. Raises MachineError where another one is at work here."""
        with (self.path / "plan.json").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise MachineError(
                    f"another process is working on {self.path}", layer="run directory", errno=error.errno
                ) from None
            yield


def _plan_bytes(plan: Plan) -> bytes:
    return canonical(plan.to_json()) + b"\n"


def _lines(samples: Iterable[Sample]) -> Iterator[bytes]:
    for sample in samples:
        yield canonical(sample.to_json()) + b"\n"
