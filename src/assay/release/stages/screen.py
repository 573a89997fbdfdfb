"""`screen`: a candidate of a search answers one rung's samples. `rung`: what that measures. `select`: the finalists.

A rung asks only what no earlier one asked; its run is sealed and must be fit, as any. What it measures is no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import EvidenceError, FailureClass, Incomparable
from assay.files import digest_of, pretty, read_json, write_atomic
from assay.gates.policy import Policy
from assay.gates.result import Verdict
from assay.release.answers import STAGES, answers_of, cost_of
from assay.release.folder import BASELINE, ReleaseFolder, digest
from assay.release.parts import rung_of
from assay.release.search import Search, Trace
from assay.release.space import Space
from assay.release.stages.base import Context, Output, Product, Record, Stage, digest_at
from assay.release.stages.compare import tasks_of
from assay.release.stages.evaluate import Evaluate, RunGate, drafted, keyed
from assay.release.stages.serve import Served, Server
from assay.release.stages.store import Store

if TYPE_CHECKING:
    from assay.plan.build import Draft
    from assay.spec.schema import Spec


def run_at(folder: ReleaseFolder, point: str, rung: int) -> Path:
    """The run directory of a point's rung."""
    return folder.point(point) / f"run.screen.{rung}"


def space_in(context: Context) -> Space:
    """The space of the release's search. Raises EvidenceError where it has none."""
    if context.release.space is None:
        raise EvidenceError("this release searches for nothing")
    return context.release.space


class Screen(Evaluate):
    """Ask the served model what a rung adds, or go on where an earlier process stopped."""

    name = "screen"

    def __init__(self, served: Served, server: Server, rung: int) -> None:
        super().__init__(served, server, rung)
        self.text = f"screening {served.name} on rung {rung}"

    @property
    def needs(self) -> tuple[str, ...]:
        """A server that is fit, and the rung before."""
        return (f"deploy-{self.point}", *([keyed("rung", str(self.point), self.round - 1)] if self.round > 1 else []))

    @property
    def path(self) -> Path:
        """The run directory."""
        return run_at(self.folder, self.served.name, self.round)

    @property
    def draft(self) -> tuple[Draft, Spec]:
        """The plan, made once."""
        if self._drafted is None:
            self._drafted = drafted(self.served, 1, rung_of(space_in(self.context), self.round))
        return self._drafted


class Rung(RunGate):
    """Whether a rung's run is fit; of a candidate also how far it is from the baseline's."""

    name = "rung"

    def __init__(self, context: Context, point: str, rung: int) -> None:
        super().__init__(context, point, rung)
        self.text = f"measuring {point} on rung {rung}"

    @property
    def path(self) -> Path:
        """The run directory."""
        return run_at(self.folder, str(self.point), self.round)

    @property
    def needs(self) -> tuple[str, ...]:
        """The run; of a candidate also the baseline's."""
        own = (keyed("screen", str(self.point), self.round),)
        both = tuple(keyed(name, BASELINE, self.round) for name in ("screen", "rung"))
        return own if self.point == BASELINE else own + both

    def inputs(self) -> dict[str, str]:
        """The runs' seals, and the policy."""
        found = super().inputs()
        if self.point != BASELINE:
            found["baseline"] = digest_at(run_at(self.folder, BASELINE, self.round), "seal")
            found["margins"] = self.context.release.policy.digest
        return found

    def work(self) -> Product:
        """Ask the gate on the run; then pair."""
        product = super().work()
        if self.point == BASELINE or (product.gate is not None and product.gate.failed):
            return product
        tasks = measured(self.folder, str(self.point), self.round, self.context.release.policy)
        return replace(product, facts={**product.facts, "rung": self.round, "tasks": tasks})


def measured(folder: ReleaseFolder, point: str, rung: int, policy: Policy) -> list[dict[str, Any]]:
    """What a rung measured, task by task: the paired difference and the number of pairs; no interval, no verdict.

    Raises Incomparable where a gated task cannot be paired.
    """
    from assay.evidence.read import read
    from assay.gates.compare import gate

    runs = [replace(read(run_at(folder, name, rung)), run=name) for name in (BASELINE, point)]
    result = gate(runs[0], runs[1], policy)
    found = [_plain(task) for task in tasks_of(result.to_json())]
    bare = [task["task"] for task in found if task["gated"] and (task["loss"] is None or not task["margin"])]
    if bare or not any(task["gated"] for task in found):
        reasons = (f"nothing was measured of {', '.join(bare) or 'any gated task'}", *result.reasons)
        kind = result.failure_class or FailureClass.UNKNOWN
        raise Incomparable(Verdict.ANOMALOUS.value, reasons, Verdict.ANOMALOUS.exit_code, kind)
    return found


def _plain(task: Mapping[str, Any]) -> dict[str, Any]:
    return {key: task[key] for key in ("task", "metric", "kind", "gated", "pairs", "delta", "loss", "margin")}


class Select(Stage):
    """Follow the search to its end, and name the finalists."""

    name = "select"
    text = "choosing the finalists"

    def __init__(self, context: Context, skipped: Sequence[str]) -> None:
        super().__init__(context)
        self.skipped = tuple(skipped)

    @property
    def needs(self) -> tuple[str, ...]:
        """All that the search has done."""
        return tuple(self._records())

    @property
    def places(self) -> tuple[Path, ...]:
        """What the search came to."""
        return (self.folder.path / "search.json",)

    def _records(self) -> dict[str, Record]:
        return {key: record for key, record in Store(self.folder).records().items() if record.stage in STAGES}

    def inputs(self) -> dict[str, str]:
        """Every answer, what was left out for the budget, and the space."""
        answers = {key: record.id for key, record in self._records().items()}
        space = digest_of(space_in(self.context).to_json())
        return {**answers, "skipped": digest_of(list(self.skipped)), "space": space}

    def work(self) -> Product:
        """Follow the search."""
        space = space_in(self.context)
        trace = followed(space, self.folder.content()["spec"], self._records(), self.skipped)
        if trace.waiting:
            raise EvidenceError(f"the search waits for {', '.join(ask.recipe.name for ask in trace.waiting)}")
        path = self.places[0]
        write_atomic(path, pretty(trace.to_json(space)))
        facts = {"finalists": list(trace.finalists), "skipped": list(self.skipped)}
        return Product((Output(self.folder.relative(path), "file", digest(path)),), None, facts)


def followed(space: Space, spec: Mapping[str, Any], records: Mapping[str, Record], skipped: Sequence[str]) -> Trace:
    """The search as far as the records of its stages go."""
    return Search(space, cost_of(spec)).follow(answers_of(space, records, skipped))


def problems(folder: ReleaseFolder, space: Space, records: Mapping[str, Record]) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) where the search does not follow from its stages' files, or they not from their runs."""
    content = folder.content()
    policy = Policy.model_validate(content["spec"]["policy"])
    for key, record in records.items():
        told = record.facts.get("tasks") if record.stage == "rung" else None
        if told is not None and measured(folder, str(record.point), record.facts["rung"], policy) != told:
            yield f"stages/{key}", "its runs measure something else"
    yield from _reused(folder)
    chosen = records.get("select")
    if chosen is None:
        compared = [key for key, record in records.items() if record.stage == "compare"]
        yield from ((f"stages/{key}", "compared, and no finalists were chosen") for key in compared)
        return
    trace = followed(space, content["spec"], records, chosen.facts["skipped"])
    if trace.waiting or pretty(trace.to_json(space)) != (folder.path / "search.json").read_bytes():
        yield "search.json", "is not what the stages of the search come to"
    for key, record in records.items():
        named = record.point in (None, BASELINE, *trace.finalists)
        if record.stage in ("evaluate", "compare") and not named:
            yield f"stages/{key}", f"{record.point} is no finalist of the search"


def _reused(folder: ReleaseFolder) -> Iterator[tuple[str, str]]:
    """Final tests on samples that candidates were screened on: then alpha would not be kept."""
    place = folder.point(BASELINE)
    seen = [_samples(path) for path in sorted(place.glob("run.screen.*"))]
    for path in sorted(path for path in place.glob("run*") if path.name == "run" or path.name[4:].isdigit()):
        again = _samples(path) & frozenset().union(*seen)
        if again:
            yield folder.relative(path), f"{len(again)} of its samples were used to screen candidates"


def _samples(path: Path) -> frozenset[tuple[str, str]]:
    plan = read_json(path / "plan.json")
    return frozenset((name, sample) for name, task in plan["tasks"].items() for sample in task["samples"])
