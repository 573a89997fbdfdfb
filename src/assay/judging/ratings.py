"""Ratings: what people and one judge said of the same answers, as agreement is measured on.

A unit is an answer (an attempt in its newest revision) that somebody judged by the rubric. Ratings come from runs, or
from the `ratings.jsonl` of an admission, which holds all that the coefficients need and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.errors import EvidenceError
from assay.files import canonical, digest_of
from assay.judging import judgements, values
from assay.judging.judgements import Line, Standing
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State

Scores = Mapping[str, float]
COMPOSITE = values.COMPOSITE
FLAG = "self_preference"
TOLD = ("model", "prompt", "rubric", "votes", "sampling")
"""What the identity of a model as a judge is the digest of."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judged: `kind` is `person` or `model`, `identity` the digest of what a model judged with, `told` that."""

    name: str
    kind: str
    identity: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def label(self) -> str:
        """The name, with the beginning of a model's identity."""
        return f"{self.name} ({self.identity[:12]})" if self.identity else self.name

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"name": self.name, "kind": self.kind, "identity": self.identity, **self.told}


@dataclass(frozen=True, slots=True)
class Unit:
    """One answer: what each person said of it, what the judge did (None where it did not), what scorers measured.

    `cluster` is its sample: answers to one question are not independent. `run` begins the digest of its plan. `spread`
    is largest minus smallest vote, by dimension; `flags` are the judge's.
    """

    id: str
    cluster: str
    run: str
    people: Mapping[str, Scores]
    judge: Scores | None
    measured: Scores
    spread: Scores | None = None
    flags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a line of `ratings.jsonl`."""
        value: dict[str, Any] = {"unit": self.id, "cluster": self.cluster, "run": self.run}
        value |= {"people": {name: dict(scores) for name, scores in self.people.items()}}
        value |= {"judge": None if self.judge is None else dict(self.judge), "measured": dict(self.measured)}
        value |= {"spread": dict(self.spread)} if self.spread is not None else {}
        return value | ({"flags": list(self.flags)} if self.flags else {})


@dataclass(frozen=True, slots=True)
class Ratings:
    """Every unit of one judge, in the order of the runs; `ignored` counts the judgements that are of no unit, by why.

    `marked` are the batches behind the units whose checks failed: batch, judge, why.
    """

    judge: Judge
    units: tuple[Unit, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    marked: tuple[Mapping[str, Any], ...] = ()


@dataclass
class Collected:
    """What all judges said in some runs by one rubric."""

    rubric: Rubric
    answers: list[tuple[str, str, values.Answer, Plan]] = field(default_factory=list)
    remade: int = 0
    others: int = 0

    def add(self, folder: RunFolder, plan: Plan, rubric: Rubric) -> None:
        """Read a run. Raises JournalCorrupt for judgements that are not of its plan."""
        state = State.read(folder, plan)
        standing = Standing.read(folder, plan, state, rubric)
        tasks = values.tasks_of(folder, plan, rubric, standing)
        for answer in values.answers(folder, plan, state, rubric, standing, tasks):
            if answer.lines:
                self.answers.append((*_named(plan, answer.index), answer, plan))
        for line in judgements.read(folder):
            if line.record["rubric"] != rubric.digest:
                self.others += 1
            elif line.record["kind"] == "candidate":
                self.remade += line.record["revision"] != state.lines[line.record["index"]] - 1

    def judges(self) -> list[Judge]:
        """Everybody who judged, models first, by name."""
        found = {judge_of(line) for *_, answer, _ in self.answers for line in answer.lines.values()}
        return sorted(found, key=lambda one: (one.kind != "model", one.name, one.identity or ""))

    def of(self, judge: Judge) -> Ratings:
        """The ratings of one judge and of the people; a person is held against the others."""
        units: list[Unit] = []
        batches: dict[str, Mapping[str, Any]] = {}
        for id, cluster, answer, plan in self.answers:
            said = {judge_of(line): line for line in answer.lines.values()}
            people = {one.name: line for one, line in said.items() if one.kind == "person" and one != judge}
            own = said.get(judge)
            if own is None and not people:
                continue
            for line in (*people.values(), *([own] if own else ())):
                if line.header["checks"]["marked"]:
                    batches[str(line.header["batch"])] = line.header
            units.append(_unit(id, cluster, plan.digest[:8], people, own, answer.measured))
        marked = [_marked(header) for _, header in sorted(batches.items())]
        return Ratings(judge, tuple(units), {"remade": self.remade, "other_rubric": self.others}, tuple(marked))


def _named(plan: Plan, index: int) -> tuple[str, str]:
    """An attempt's id, and its sample as a cluster."""
    number, position, _ = plan.locate(index)
    task = plan.cells[number].task
    return plan.attempt(index).id, f"{task}/{plan.tasks[task].samples[position]}"


def _unit(id: str, cluster: str, run: str, people: Mapping[str, Line], own: Line | None, measured: Scores) -> Unit:
    said = {name: dict(line.record["scores"]) for name, line in sorted(people.items())}
    if own is None:
        return Unit(id, cluster, run, said, None, dict(measured))
    spread, flags = own.record.get("spread"), own.record.get("flags", ())
    return Unit(id, cluster, run, said, dict(own.record["scores"]), dict(measured), spread, tuple(map(str, flags)))


def _marked(header: Mapping[str, Any]) -> dict[str, Any]:
    return {"batch": header["batch"], "judge": header["judge"]["name"], "why": list(header["checks"]["marked"])}


def judge_of(line: Line) -> Judge:
    """Who made a judgement. Raises JournalCorrupt where the batch does not say so as it must."""
    try:
        told = line.header["judge"]
        name, kind = str(told["name"]), told["kind"]
        if kind == "person":
            return Judge(name, kind)
        if kind != "model":
            raise ValueError(f"a judge is a person or a model, not {kind!r}")
        return model_judge(name, told)
    except (KeyError, TypeError, ValueError) as error:
        raise line.corrupt(f"the batch does not say who judged: {error!r}") from None


def model_judge(name: str, told: Mapping[str, Any]) -> Judge:
    """A model as a judge. Raises KeyError or ValueError where its identity is not that of what it judged with."""
    parts = {key: told[key] for key in TOLD}
    if told["identity"] != digest_of(parts):
        raise ValueError(f"the identity of {name} is not the digest of what it judged with")
    return Judge(name, "model", str(told["identity"]), parts)


def lines(units: Iterable[Unit]) -> Iterator[bytes]:
    """The lines of `ratings.jsonl`."""
    for unit in units:
        yield canonical(unit.to_json()) + b"\n"


_KEYS = frozenset({"unit", "cluster", "run", "people", "judge", "measured", "spread", "flags"})


def parse(rows: Sequence[Mapping[str, Any]], rubric_dimensions: Sequence[str]) -> tuple[Unit, ...]:
    """The units of stored lines. Raises EvidenceError that names the line for whatever is not one."""
    found, seen = [], set()
    for number, row in enumerate(rows, 1):
        try:
            unit = _parsed(row, rubric_dimensions)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(f"ratings.jsonl:{number}: not a rating: {error}") from None
        if (unit.run, unit.id) in seen:
            raise EvidenceError(f"ratings.jsonl:{number}: the unit {unit.id} is there twice")
        seen.add((unit.run, unit.id))
        found.append(unit)
    return tuple(found)


def _parsed(row: Mapping[str, Any], dimensions: Sequence[str]) -> Unit:
    if unknown := sorted(set(row) - _KEYS):
        raise ValueError(f"unknown keys {', '.join(unknown)}")
    people = {str(name): _scores(scores, dimensions) for name, scores in row["people"].items()}
    judge = None if row["judge"] is None else _scores(row["judge"], dimensions)
    spread = _scores(row["spread"], dimensions) if "spread" in row else None
    flags = tuple(map(str, row.get("flags", ())))
    names = (str(row["unit"]), str(row["cluster"]), str(row["run"]))
    return Unit(*names, people, judge, _numbers(row["measured"]), spread, flags)


def _scores(value: Any, dimensions: Sequence[str]) -> Scores:
    scores = _numbers(value)
    if set(scores) != set(dimensions):
        raise ValueError(f"the scores are of {', '.join(sorted(scores))}, the rubric judges {', '.join(dimensions)}")
    return scores


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or any(type(number) not in (int, float) for number in value.values()):
        raise ValueError("not numbers by name")
    return value
