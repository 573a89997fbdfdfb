"""Recorded completions on disk: where each one is, found once, read when asked for.

Two shapes: JSON lines (`task_id` with `completion` or `solution`, as EvalPlus and HumanEval write them, or `sample`
with `text`), and a run directory of assay. Only positions are kept in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ConfigError, Problem, Rejected
from assay.records import Completion

LONGEST_LINE = 64 << 20
_SAMPLE_KEYS = ("sample", "task_id", "id", "key")
_TEXT_KEYS = ("completion", "text", "solution", "response", "output")


@dataclass
class Recording:
    """The completions of one file or run. Opened with `read`, closed with `close`."""

    positions: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """(task or "", sample, epoch) to an index of `places`."""
    places: array[int] = field(default_factory=lambda: array("Q"))
    """The file's number and the byte of each line, one after the other."""
    files: list[Path] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)

    def add(self, key: tuple[str, str, int], file: int, at: int) -> None:
        """Keep where a completion is; a later line for the same attempt takes its place."""
        self.positions[key] = len(self.places) // 2
        self.places.extend((file, at))

    def get(self, task: str, sample: str, epoch: int) -> Completion:
        """A recorded completion. Raises Rejected where there is none, or where an error was recorded."""
        for key in ((task, sample, epoch), ("", sample, epoch)):
            if (index := self.positions.get(key)) is not None:
                return self._read(index)
        raise Rejected(f"no recorded completion for {task}/{sample}, epoch {epoch}")

    def _read(self, index: int) -> Completion:
        number, at = self.places[2 * index], self.places[2 * index + 1]
        try:
            with self.files[number].open("rb") as file:
                file.seek(at)
                record = orjson.loads(file.readline(LONGEST_LINE))
            return completion_of(record)
        except (OSError, orjson.JSONDecodeError, TypeError, ValueError) as error:
            raise Rejected(f"{self.files[number]}: the recording changed or cannot be read: {error}") from None


def completion_of(record: Mapping[str, Any]) -> Completion:
    """The completion of a line. Raises ValueError where there is none, Rejected where an error was recorded."""
    value = next((record[key] for key in _TEXT_KEYS if record.get(key) is not None), None)
    if isinstance(value, str):
        return Completion(value, "stop")
    if isinstance(value, dict):
        return Completion.from_json(value)
    if "outcome" in record:
        raise Rejected(f"no completion was recorded: the attempt ended as {record['outcome']}")
    raise ValueError(f"none of {', '.join(_TEXT_KEYS)} is in the line")


def lines_of(path: Path, *, torn: bool) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(line number from 1, byte, record) of JSON lines. `torn`: a last line without newline may be broken.

    Raises ConfigError that names the file and the line.
    """
    try:
        with path.open("rb") as file:
            at = number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                record = _record(path, number, line, torn)
                if record is not None:
                    yield number, at, record
                at += len(line)
    except OSError as error:
        raise ConfigError(Problem(error.strerror or "cannot be read", where=str(path))) from None


def _record(path: Path, number: int, line: bytes, torn: bool) -> dict[str, Any] | None:
    if not line.strip():
        return None
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if torn and not line.endswith(b"\n"):
            return None
        raise ConfigError(Problem(f"not JSON ({error})", where=str(path), line=number)) from None
    if not isinstance(record, dict):
        raise ConfigError(Problem("not a JSON object", where=str(path), line=number))
    return record


def read_lines(path: Path) -> Recording:
    """A file of JSON lines. Lines of the same sample without an epoch are its epochs 0, 1, 2 and so on."""
    recording = Recording(files=[path])
    repeats: dict[tuple[str, str], int] = {}
    for number, at, record in lines_of(path, torn=False):
        task, sample = _names(path, number, record)
        epoch = record.get("epoch")
        if epoch is None:
            epoch = repeats.get((task, sample), 0)
            repeats[task, sample] = epoch + 1
        elif type(epoch) is not int or epoch < 0:
            raise ConfigError(Problem(f"epoch {epoch!r} is not a number from 0", where=str(path), line=number))
        elif (task, sample, epoch) in recording.positions:
            message = f"sample {sample!r}, epoch {epoch} appears twice"
            raise ConfigError(Problem(message, where=str(path), line=number))
        _check(path, number, record)
        recording.add((task, sample, epoch), 0, at)
    return recording


def _names(path: Path, number: int, record: Mapping[str, Any]) -> tuple[str, str]:
    sample = next((record[key] for key in _SAMPLE_KEYS if record.get(key) is not None), None)
    if not isinstance(sample, str | int) or isinstance(sample, bool):
        allowed = f"one of {', '.join(_SAMPLE_KEYS)}"
        raise ConfigError(Problem("the line names no sample", where=str(path), line=number, allowed=allowed))
    return str(record.get("task") or ""), str(sample)


def _check(path: Path, number: int, record: Mapping[str, Any]) -> None:
    try:
        completion_of(record)
    except (ValueError, TypeError) as error:
        raise ConfigError(Problem(str(error), where=str(path), line=number)) from None
    except Rejected:
        return  # an error was recorded; whoever asks for it is told so


def read_run(folder: Path, cells: Mapping[int, str]) -> Recording:
    """A run's journal. `cells`: the numbers of the cells to read, each with its task."""
    recording = Recording(files=segments(folder))
    for number, path in enumerate(recording.files):
        for line, at, record in lines_of(path, torn=True):
            if record.get("cell") not in cells:
                continue
            sample, epoch = record.get("sample"), record.get("epoch")
            if not isinstance(sample, str) or type(epoch) is not int:
                raise ConfigError(Problem("not a line of a journal", where=str(path), line=line))
            recording.add((cells[record["cell"]], sample, epoch), number, at)
    return recording


def segments(folder: Path) -> list[Path]:
    """The files of a run's journal, oldest first. Raises ConfigError where its JSON lines were dropped for Parquet."""
    found = sorted((folder / "attempts").glob("*.jsonl"))
    for path in sorted((folder / "attempts").glob("*.parquet")):
        if path.with_suffix(".jsonl") not in found:
            raise ConfigError(Problem("holds its journal as Parquet only; replay needs the lines", where=str(path)))
    return found
