"""The journal of judgements: `judgements/*.jsonl`, one segment a batch, never rewritten.

A segment begins with a header that says who judged by which rubric, when, from which file, and how the checks in it
came out; the lines after it hold one judgement each. A correction is a new line that names the one it corrects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import JournalCorrupt, MachineError
from assay.files import canonical, write_atomic
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan, attempt_id
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.state import State

SCHEMA = "assay.judgements.v1"
KINDS = ("candidate", "repeat", "anchor")
"""`repeat`: a candidate shown again; `anchor`: a calibrated example of the rubric. Neither counts for a result."""

MAX_SEGMENTS = 10_000


def place(folder: RunFolder) -> Path:
    """Where a run's judgements are."""
    return folder.path / "judgements"


@dataclass(frozen=True, slots=True)
class Line:
    """One judgement as stored, with its segment's header."""

    path: Path
    number: int
    header: Mapping[str, Any]
    record: Mapping[str, Any]

    def corrupt(self, reason: str) -> JournalCorrupt:
        """The error for this line."""
        return JournalCorrupt(self.path, self.number, reason)


def said(line: Line) -> dict[str, Any]:
    """What a judge said, for people to read: `judge`, `kind`, `scores`, and a comment or rationale as `text`."""
    record = line.record
    text = record.get("rationale") or record.get("comment") or ""
    flags = {"flags": [str(flag) for flag in record["flags"]]} if record.get("flags") else {}
    by = {"judge": record["judge"], "kind": line.header["judge"]["kind"]}
    return {**by, "scores": dict(record["scores"]), "text": str(text), **flags}


def read(folder: RunFolder) -> Iterator[Line]:
    """Every judgement, oldest first. Raises JournalCorrupt for a segment without its header."""
    header: Mapping[str, Any] = {}
    for path, number, record in journal.read(place(folder)):
        if number == 1:
            header = _checked(path, record)
        else:
            yield Line(path, number, header, record)


def _checked(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """A header that is one. Raises JournalCorrupt: whoever sealed the run may have written anything."""
    if header.get("schema") != SCHEMA:
        raise JournalCorrupt(path, 1, f"schema is {header.get('schema')!r}, expected {SCHEMA!r}")
    try:
        judge, marked = header["judge"], header["checks"]["marked"]
        texts = [header["batch"], judge["name"], judge["kind"], header["rubric"]["digest"], *marked]
        if not isinstance(marked, list) or not all(isinstance(text, str) for text in texts):
            raise TypeError("not texts")
    except (KeyError, TypeError) as error:
        raise JournalCorrupt(path, 1, f"not the header of a batch: {error!r}") from None
    return header


def headers(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """The header of every batch, oldest first. Raises JournalCorrupt for what is none."""
    for path in journal.segments(place(folder)):
        yield _checked(path, journal.parse(path, 1, journal.first_line(path)))


@dataclass
class Standing:
    """What stands: of each judge the newest word on each attempt and each item, by one rubric."""

    by_attempt: dict[int, dict[str, Line]] = field(default_factory=dict)
    by_item: dict[tuple[str, str], Line] = field(default_factory=dict)
    corrections: int = 0

    @classmethod
    def read(cls, folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> Standing:
        """Fold the judgements by this rubric. One of an attempt that has since been made again stands no more.

        Raises JournalCorrupt for a judgement that is not of this plan or off the rubric's scales, a second one by the
        same judge that corrects nothing, or a correction of what does not stand.
        """
        standing = cls()
        for line in read(folder):
            try:
                if line.record["rubric"] == rubric.digest:
                    standing._add(line, plan, state, rubric)
            except (KeyError, TypeError, IndexError, ValueError) as error:
                raise line.corrupt(f"not a judgement of this plan: {error!r}") from None
        return standing

    def _add(self, line: Line, plan: Plan, state: State, rubric: Rubric) -> None:
        record, judge = line.record, str(line.record["judge"])
        if record["kind"] not in KINDS:
            raise line.corrupt(f"the kind is {record['kind']!r}; known: {', '.join(KINDS)}")
        scores, names = record["scores"], rubric.judged
        if len(scores) != len(names) or any(dimension.wrong(scores[dimension.name]) for dimension in names):
            raise line.corrupt("the scores are not on the rubric's scales")
        flags = record.get("flags", [])
        if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
            raise line.corrupt("the flags are not a list of texts")
        before = self.by_item.get((judge, record["item"]))
        self._check_correction(line, before)
        self.by_item[judge, record["item"]] = line
        if record["kind"] == "candidate":
            self._stand(line, judge, plan, state)

    def _check_correction(self, line: Line, before: Line | None) -> None:
        named = line.record.get("corrects")
        if named is None and before is not None:
            raise line.corrupt("a second judgement of the same item by the same judge, which corrects nothing")
        if named is not None and (before is None or before.record["id"] != named):
            raise line.corrupt(f"corrects {named}, which does not stand")
        self.corrections += named is not None

    def _stand(self, line: Line, judge: str, plan: Plan, state: State) -> None:
        record = line.record
        number, position, epoch = plan.locate(record["index"])
        cell = plan.cells[number]
        if record["attempt"] != attempt_id(cell.id, plan.tasks[cell.task].samples[position], epoch):
            raise line.corrupt("this attempt does not belong to the plan")
        if record["revision"] != state.lines[record["index"]] - 1:
            return
        judges = self.by_attempt.setdefault(record["index"], {})
        if judge in judges and record.get("corrects") is None:
            raise line.corrupt("a second judgement of the same attempt by the same judge, which corrects nothing")
        judges[judge] = line


def append(folder: RunFolder, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> Path:
    """Add a batch as a new segment, whole or not at all. Raises MachineError where the disk refuses."""
    number = len(journal.segments(place(folder)))
    path = place(folder) / f"{number:04d}.jsonl"
    if number >= MAX_SEGMENTS:
        raise MachineError(f"{place(folder)} holds {number} batches, and takes no more", layer="journal")
    try:
        write_atomic(path, (canonical(record) + b"\n" for record in (header, *records)))
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="journal", errno=error.errno) from error
    return path
