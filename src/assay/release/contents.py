"""What a release's report and card are made from, read back from its files.

Nothing of it is trusted: a gate's file that is not the one that a stage's record names by digest is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, EvidenceError
from assay.files import read_json
from assay.release.decision import DECISION, FRONT
from assay.release.folder import BASELINE, ReleaseFolder, digest
from assay.release.stages.base import Record
from assay.release.stages.store import Store

Document = Mapping[str, Any]
GOOD = ("PASS", "ACCEPT")


@dataclass(frozen=True)
class Gated:
    """What a gate said: the stage that asked it, its document, and the file that holds it with its SHA-256."""

    key: str
    document: Document
    file: str
    sha256: str

    @property
    def passed(self) -> bool:
        """Whether it let the release go on."""
        return self.document["verdict"] in GOOD

    @property
    def tasks(self) -> list[Document]:
        """What a comparison measured, task by task; nothing of one that could not be paired."""
        return [task for task in self.document["numbers"].get("tasks", ()) if task.get("delta") is not None]

    def check(self, name: str) -> Document | None:
        """The first check of a name."""
        return next((check for check in self.document["checks"] if check["name"] == name), None)


@dataclass(frozen=True)
class Contents:
    """A decided release."""

    folder: ReleaseFolder
    asked: Document
    decision: Document
    front: Document
    records: Mapping[str, Record]
    gates: Mapping[str, Gated]

    @cached_property
    def candidates(self) -> list[Document]:
        """Every candidate of the decision, in order."""
        return list(self.decision["candidates"])

    @property
    def recommended(self) -> Document | None:
        """The candidate that is recommended."""
        name = self.decision["recommended"]
        return next((point for point in self.candidates if name and point["candidate"] == name), None)

    def gated(self, stage: str, point: str) -> Gated | None:
        """What the gate of a stage said of a point, in the last round; a comparison as the decision took it."""
        regated = self.gates.get(f"decide-{point}") if stage == "compare" else None
        found = [
            self.gates[key]
            for key, record in self.records.items()
            if (record.stage, record.point) == (stage, point) and key in self.gates
        ]
        return regated or (found[-1] if found else None)

    def fact(self, stage: str, point: str, name: str) -> Any:
        """What a stage wrote down of a point; None where it did not."""
        record = self.records.get(f"{stage}-{point}")
        return record.facts.get(name) if record else None

    def run(self, point: str) -> Path | None:
        """The sealed run of a point in its last round; None where there is none."""
        found = [record for record in self.records.values() if (record.stage, record.point) == ("evaluate", point)]
        outputs = [output.path for record in found for output in record.outputs if output.kind == "seal"]
        return self.folder.inside(outputs[-1]) if outputs else None

    def manifest(self, point: str) -> Document | None:
        """The seal of that run."""
        from assay.evidence.manifest import read_manifest

        path = self.run(point)
        return read_manifest(path / "manifest.json") if path is not None and path.is_dir() else None

    def optional(self, *parts: str) -> Document | None:
        """A JSON file of the release; None where there is none."""
        path = self.folder.inside("/".join(parts))
        return read_json(path) if path.is_file() else None

    @property
    def points(self) -> list[str]:
        """The baseline, and every candidate."""
        return [BASELINE, *(str(point["candidate"]) for point in self.candidates)]


def read(folder: ReleaseFolder) -> Contents:
    """The contents of a decided release. Raises ConfigError where there is none, EvidenceError where it was changed."""
    if not folder.exists:
        raise ConfigError(f"{folder.path}: no release was begun there", hint="assay release run SPEC begins one")
    if not folder.decision.is_file():
        raise ConfigError(f"{folder.path}: not decided yet", hint="assay release status says what is next")
    store, records = Store(folder), dict[str, Record]()
    for key in store.files():
        if (record := store.read(key)) is not None:
            records[key] = record
    decision, front = read_json(folder.decision, DECISION), read_json(folder.front, FRONT)
    return Contents(folder, folder.content(), decision, front, records, dict(_gates(folder, records)))


def _gates(folder: ReleaseFolder, records: Mapping[str, Record]) -> Iterator[tuple[str, Gated]]:
    """What each gate said, by its stage's key; comparisons made again in the end as `decide-NAME`."""
    for key, record in records.items():
        if record.gate is not None:
            yield key, _gated(folder, key, record, record.gate.file)
        for name, gate in (record.facts.get("regated") or {}).items():
            yield f"{key}-{name}", _gated(folder, key, record, gate["file"])


def _gated(folder: ReleaseFolder, key: str, record: Record, file: str) -> Gated:
    """A gate's document, which must be the one that the record names by digest."""
    wanted = next((output.digest for output in record.outputs if output.path == file), None)
    path = folder.inside(file)
    if wanted is None or digest(path) != wanted:
        raise EvidenceError(f"{path}: not what the gate of {key} said")
    return Gated(key, read_json(path, "assay.gate.v1"), file, wanted)
