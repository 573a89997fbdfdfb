"""The records of finished stages on disk: found, held against what they stand on, made void by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from assay.errors import EvidenceError
from assay.files import pretty, read_json, write_atomic
from assay.release.folder import ReleaseFolder
from assay.release.stages.base import Record, Stage, from_json

_NAME = re.compile(r"(\d+)-(.+)\.json")


class Store:
    """The stages' records of one release."""

    def __init__(self, folder: ReleaseFolder) -> None:
        self._folder = folder

    def files(self) -> dict[str, Path]:
        """The record's file of each stage, by the stage's key, in the order in which they were done."""
        found = [(int(match[1]), match[2], path) for path in self._listed() if (match := _NAME.fullmatch(path.name))]
        return {key: path for _, key, path in sorted(found)}

    def _listed(self) -> Iterable[Path]:
        return self._folder.stages.glob("*.json") if self._folder.stages.is_dir() else ()

    def records(self) -> dict[str, Record]:
        """Every record that can be read, in order."""
        found: dict[str, Record] = {}
        for key in self.files():
            try:
                record = self.read(key)
            except EvidenceError:
                continue
            if record is not None:
                found[key] = record
        return found

    def read(self, key: str) -> Record | None:
        """One stage's record; None where it is not finished. Raises EvidenceError where the file was changed."""
        path = self.files().get(key)
        if path is None:
            return None
        record = from_json(read_json(path))
        if record.key != key:
            raise EvidenceError(f"it is the record of {record.key}")
        return record

    def write(self, record: Record) -> Path:
        """Put a record in place, whole or not at all."""
        numbers = [int(path.name.partition("-")[0]) for path in self.files().values()]
        path = self._folder.stages / f"{max(numbers, default=0) + 1:02}-{record.key}.json"
        write_atomic(path, pretty(record.to_json()))
        return path

    def problems(self, stage: Stage, record: Record) -> list[str]:
        """Why a record holds no longer: what it stands on, what went in, or what came out is another."""
        found = []
        for key, id_ in record.needs.items():
            try:
                there = self.read(key)
            except EvidenceError as error:
                found.append(f"the record of {key}: {error.message}")
                continue
            if there is None or there.id != id_:
                found.append(f"{key} was done again")
        found += _changed(record.inputs, stage)
        return found + self.outputs(record)

    def outputs(self, record: Record) -> list[str]:
        """Which of a stage's outputs are not as it made them."""
        return [problem for output in record.outputs if (problem := output.problem(self._folder))]

    def dependents(self, keys: Iterable[str]) -> list[str]:
        """The stages that stand on any of these, directly or not, in order."""
        found = set(keys)
        wanted = set(found)
        records = self.records()
        while True:
            more = {key for key, record in records.items() if found & set(record.needs)} - found
            if not more:
                return [key for key in records if key in found - wanted]
            found |= more

    def set_aside(self, keys: Iterable[str], places: Iterable[Path]) -> Path | None:
        """Move the records of these stages and what they made to a folder of its own; None where there is nothing."""
        there = self.files()
        moved = [*(there[key] for key in keys if key in there), *places]
        if not any(_there(path) for path in moved):
            return None
        number = 1
        while (grave := self._folder.path / "void" / str(number)).exists():
            number += 1
        for path in filter(_there, moved):  # one looked for now may have gone with the folder that it was in
            target = grave / path.relative_to(self._folder.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        return grave


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _changed(inputs: Mapping[str, str], stage: Stage) -> list[str]:
    """The inputs that are others now, by name."""
    try:
        now = stage.inputs()
    except EvidenceError as error:
        return [error.message]
    names = sorted({*inputs, *now})
    return [f"its input {name} is another" for name in names if inputs.get(name) != now.get(name)]
