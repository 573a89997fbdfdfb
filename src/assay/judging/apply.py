"""What a judge hands in, checked against the keys of the runs it was exported from, and turned into judgements.

All or nothing: every row is checked, every problem is told with its row, and only a file without any becomes a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.judging.candidates import content_digest
from assay.judging.checks import Checks, Tolerance
from assay.judging.judgements import SCHEMA, Line, Standing, headers
from assay.judging.rubric import Rubric
from assay.judging.sheet import Answers, Row
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State


@dataclass(frozen=True)
class Place:
    """One run that the answers go to: its key of the export, its state, and what was judged in it before."""

    folder: RunFolder
    plan: Plan
    state: State
    key: Mapping[str, Any]
    standing: Standing

    @cached_property
    def items(self) -> dict[str, Mapping[str, Any]]:
        """The key's items by id."""
        return {str(item["id"]): item for item in self.key["items"]}


@dataclass(frozen=True, slots=True)
class Request:
    """Who judged, when (UTC), and how strictly the file is taken. `partial`: rows not yet filled in may remain;
    `correct`: what this judge said before may be corrected.
    """

    judge: str
    at: str
    partial: bool = False
    correct: bool = False
    tolerance: Tolerance = field(default_factory=Tolerance)


@dataclass
class Batch:
    """What a file comes to: for each run the records to append, and what is told of them."""

    answers: Answers
    request: Request
    rubric: Rubric
    checks: Checks
    id: str
    records: list[list[dict[str, Any]]]
    remaining: list[str] = field(default_factory=list)
    unchanged: int = 0

    def header(self, place: Place) -> dict[str, Any]:
        """The first line of the segment in one run."""
        return {
            "schema": SCHEMA,
            "batch": self.id,
            "judge": {"name": self.request.judge, "kind": "person"},
            "rubric": self.rubric.named,
            "export": self.answers.export,
            "plan": place.plan.digest,
            "created": self.request.at,
            "source": {"sha256": self.answers.sha256, "bytes": self.answers.size},
            "checks": self.checks.to_json(),
        }

    def count(self, kind: str) -> int:
        """How many records of a kind there are; anchors are in every run, and count once."""
        ids = {record["item"] for records in self.records for record in records if record["kind"] == kind}
        return len(ids)

    def to_json(self) -> dict[str, Any]:
        """What is told of the batch."""
        found = [record for records in self.records for record in records]
        return {
            "batch": self.id,
            "judge": self.request.judge,
            "rubric": self.rubric.label,
            "rubric_digest": self.rubric.digest,
            "export": self.answers.export,
            "applied": self.count("candidate"),
            "repeats": self.count("repeat"),
            "anchors": self.count("anchor"),
            "corrections": len({record["item"] for record in found if "corrects" in record}),
            "unchanged": self.unchanged,
            "remaining": self.remaining,
            "checks": self.checks.to_json(),
        }


def check(answers: Answers, rubric: Rubric, places: Sequence[Place], request: Request) -> Batch:
    """The batch that the answers are. Raises ConfigError with every problem of the file, by row."""
    said = [answers.sha256, answers.export, request.judge, request.at]
    batch = Batch(
        answers, request, rubric, Checks(rubric, request.tolerance), f"b{digest_of(said)[:12]}", [[] for _ in places]
    )
    problems = [*_name_problems(places, request.judge), *_head_problems(answers, rubric, places)]
    problems += _Checker(batch, places).run()
    if problems:
        hint = "nothing was applied" + ("; --partial applies the complete rows" if _only_missing(problems) else "")
        raise ConfigError(problems, hint=hint)
    return batch


def _name_problems(places: Sequence[Place], name: str) -> Iterator[Problem]:
    """A name means one judge in a run: a person cannot have a model's."""
    for place in places:
        if any(said["judge"]["name"] == name and said["judge"]["kind"] != "person" for said in headers(place.folder)):
            yield Problem(f"{name} is a model that judged {place.folder.path}", "--judge", allowed="another name")


def _head_problems(answers: Answers, rubric: Rubric, places: Sequence[Place]) -> Iterator[Problem]:
    where = str(answers.path)
    if answers.rubric != rubric.digest:
        message = f"judged by the rubric {answers.rubric[:16]}, exported for {rubric.label} ({rubric.digest[:16]})"
        yield Problem(message, where, allowed="the rubric that it was exported for")
    names = [dimension.name for dimension in rubric.judged]
    for name in answers.dimensions:
        if name not in names:
            yield Problem(f"unknown dimension {name!r}", where, allowed=", ".join(names), nearest=nearest(name, names))
    wanted, here = set(places[0].key["plans"]), {place.plan.digest for place in places}
    for plan in sorted(wanted - here):
        yield Problem(f"a run that it was exported from is not here: plan {plan[:8]}", where, allowed="--run DIR")


_MISSING = "not filled in: "
_ABSENT = "the row is not in the file"


def _only_missing(problems: Sequence[Problem]) -> bool:
    return all(problem.message.startswith((_MISSING, _ABSENT)) for problem in problems)


class _Checker:
    """Goes through the rows once, then through what they do not hold."""

    def __init__(self, batch: Batch, places: Sequence[Place]) -> None:
        self.batch = batch
        self.places = places
        self.path = batch.answers.path
        self.names = [dimension.name for dimension in batch.rubric.judged]
        self.owner = {id: number for number, place in reversed([*enumerate(places)]) for id in place.items}
        self.seen: dict[str, int] = {}
        self.said: dict[str, Mapping[str, float]] = {}

    def run(self) -> list[Problem]:
        problems = [problem for row in self.batch.answers.rows for problem in self._row(row)]
        problems += self._absent()
        if not problems:
            self._compare_repeats()
        return problems

    def _row(self, row: Row) -> Iterator[Problem]:
        number = self.owner.get(row.id)
        if number is None:
            yield row.problem(self.path, "unknown id" if row.id else "the id is missing", allowed="ids of the export")
            return
        if row.id in self.seen:
            yield row.problem(self.path, f"this id is in row {self.seen[row.id]} already")
            return
        self.seen[row.id] = row.number
        item = self.places[number].items[row.id]
        found = [*self._content(row, item, self.places[number]), *self._scores(row)]
        yield from found
        if not found:
            yield from self._take(row, number, item)
        elif missing := self._missing(row):
            yield from self._incomplete(row, missing)

    def _content(self, row: Row, item: Mapping[str, Any], place: Place) -> Iterator[Problem]:
        """The candidate is what was exported, and still what the run holds."""
        texts = row.texts
        told = content_digest(texts.get("input", ""), texts.get("text", ""), texts.get("reference", ""))
        if told != item["digest"] or row.digest != item["digest"]:
            yield row.problem(self.path, "the candidate was edited: its digest is not the exported one")
        if item["kind"] != "anchor" and item["revision"] != place.state.lines[item["index"]] - 1:
            yield row.problem(self.path, "the attempt has been made again since the export", allowed="a new export")

    def _scores(self, row: Row) -> Iterator[Problem]:
        for name, why in row.bad.items():
            yield row.problem(self.path, f"{name}: {why}")
        for dimension in self.batch.rubric.judged:
            if dimension.name in row.scores and (wrong := dimension.wrong(row.scores[dimension.name])):
                message = f"{dimension.name}: {row.scores[dimension.name]:g} {wrong}"
                yield row.problem(self.path, message, allowed=dimension.scale)

    def _take(self, row: Row, number: int, item: Mapping[str, Any]) -> Iterator[Problem]:
        """Make records of a row without faults; what is not filled in remains."""
        before = self._before(item, number)
        if missing := self._missing(row):
            if before is None or row.scores:
                yield from self._incomplete(row, missing)
        elif before is None:
            self._record(row, number, item, None)
        elif not self.batch.request.correct:
            message = f"already judged by {self.batch.request.judge} in {before.path.name}:{before.number}"
            yield row.problem(self.path, message, allowed="--correct, for another opinion than before")
        elif dict(before.record["scores"]) == dict(row.scores) and before.record.get("comment", "") == row.comment:
            self.batch.unchanged += 1
        else:
            self._record(row, number, item, before)

    def _missing(self, row: Row) -> list[str]:
        return [name for name in self.names if name not in row.scores and name not in row.bad]

    def _incomplete(self, row: Row, missing: Sequence[str]) -> Iterator[Problem]:
        if self.batch.request.partial:
            self.batch.remaining.append(row.id)
        else:
            yield row.problem(self.path, f"{_MISSING}{', '.join(missing)}")

    def _before(self, item: Mapping[str, Any], number: int) -> Line | None:
        """What this judge has said of it before, in this export or another."""
        standing, judge = self.places[number].standing, self.batch.request.judge
        if item["kind"] == "candidate" and (found := standing.by_attempt.get(item["index"], {}).get(judge)):
            return found
        return standing.by_item.get((judge, str(item["id"])))

    def _record(self, row: Row, number: int, item: Mapping[str, Any], before: Line | None) -> None:
        scores = {name: row.scores[name] for name in self.names}
        owners = [number] if item["kind"] != "anchor" else range(len(self.places))
        for owner in owners:
            self.batch.records[owner].append(self._stored(row, item, scores, before))
        if before is None:
            self.said[row.id] = scores
        if item["kind"] == "anchor" and before is None:
            self.batch.checks.anchor(item["example"], scores)

    def _stored(
        self, row: Row, item: Mapping[str, Any], scores: Mapping[str, float], before: Line | None
    ) -> dict[str, Any]:
        request = self.batch.request
        record = {
            "id": f"j{digest_of([self.batch.id, item['id']])[:15]}",
            "kind": item["kind"],
            "item": before.record["item"] if before else item["id"],
            "judge": request.judge,
            "at": request.at,
            "rubric": self.batch.rubric.digest,
            "digest": item["digest"],
            "scores": dict(scores),
        }
        record |= {key: item[key] for key in ("attempt", "index", "cell", "revision", "of", "example") if key in item}
        if row.comment:
            record["comment"] = row.comment
        return record | ({"corrects": before.record["id"]} if before else {})

    def _absent(self) -> Iterator[Problem]:
        """Rows of the export that the file does not hold, unless this judge has judged them."""
        for number, place in enumerate(self.places):
            for id, item in place.items.items():
                if id in self.seen or self.owner[id] != number or self._before(item, number) is not None:
                    continue
                if self.batch.request.partial:
                    self.batch.remaining.append(id)
                else:
                    yield Problem(_ABSENT, str(self.path), key=id)

    def _compare_repeats(self) -> None:
        """Compare each repeat with its first, where at least one of the two is new and both are there."""
        for number, place in enumerate(self.places):
            for id, item in place.items.items():
                if item["kind"] == "repeat" and (id in self.said or item["of"] in self.said):
                    first, again = self._scores_of(item["of"], number), self._scores_of(id, number)
                    if first is not None and again is not None:
                        self.batch.checks.repeat(item["of"], first, again)

    def _scores_of(self, id: str, number: int) -> Mapping[str, float] | None:
        if id in self.said:
            return self.said[id]
        line = self.places[number].standing.by_item.get((self.batch.request.judge, id))
        return line.record["scores"] if line else None
