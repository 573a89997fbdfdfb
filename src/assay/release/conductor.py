"""The conductor: which stage comes next, what follows a failure, what is kept and what is void. Stages do the work.

The order is a script that is followed from its beginning every time. A stage whose record holds is passed over: so a
release that was killed goes on at the stage that was not finished, and one of which a file was changed does again
what stood on it. No option leaves a stage or a gate out.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError, ConfigError, EvidenceError, FailureClass, Interrupted, MachineError
from assay.files import pretty, read_json, write_atomic
from assay.gates.recipe import Recipe
from assay.gates.result import Verdict
from assay.release import card, report
from assay.release.budget import spent
from assay.release.decision import DECISION
from assay.release.folder import BASELINE, ReleaseFolder
from assay.release.resolve import Release, is_whole, recipe_named
from assay.release.seal import close, intact
from assay.release.searching import Searching, ended
from assay.release.stages.base import Context, Product, Record, Stage, Watch
from assay.release.stages.compare import Compare
from assay.release.stages.decide import Decide
from assay.release.stages.evaluate import Evaluate, RunGate
from assay.release.stages.prepare import Prepare
from assay.release.stages.quantize import Ptq, Quantize
from assay.release.stages.screen import Rung, Screen, Select
from assay.release.stages.serve import Deploy, Served, Server
from assay.release.stages.store import Store
from assay.release.track import track
from assay.release.trying import RESUME, Failure, broken, stopped, tried
from assay.run.events import EventLog, next_log

if TYPE_CHECKING:
    from assay.evidence.deciding import Until
    from assay.evidence.keys import SigningKey

_ROUNDS = 50
"""How often one process follows the script from the beginning: more would be a circle."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What is done at each step: the real stages, or stand-ins for faults that these do not have on demand."""

    prepare: Callable[..., Stage] = Prepare
    quantize: Callable[..., Stage] = Quantize
    ptq: Callable[..., Stage] = Ptq
    deploy: Callable[..., Stage] = Deploy
    evaluate: Callable[..., Stage] = Evaluate
    run: Callable[..., Stage] = RunGate
    compare: Callable[..., Stage] = Compare
    decide: Callable[..., Stage] = Decide
    screen: Callable[..., Stage] = Screen
    rung: Callable[..., Stage] = Rung
    select: Callable[..., Stage] = Select


class _Again(Exception):
    """Something that was passed over holds no longer: follow the script from its beginning."""


class _Ended(Exception):
    """The release as a whole has ended: there is nothing left but to decide."""


class Conductor:
    """One release on its way."""

    def __init__(
        self,
        release: Release,
        folder: ReleaseFolder,
        watch: Watch,
        *,
        key: SigningKey | None = None,
        command: Sequence[str] = (),
        place: Path | None = None,
        allow: Sequence[str] = (),
        stages: Stages | None = None,
    ) -> None:
        self._release, self._folder, self._watch = release, folder, watch
        self._key, self._command, self._place, self._allow = key, command, place, allow
        self._stages, self._store = stages or Stages(), Store(folder)
        self._met: Counter[tuple[str, FailureClass]] = Counter()
        self._kept: set[str] = set()
        self._recipes: list[Recipe] = []
        self._untried: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """Do what is left to do; returns the decision (`assay.decision.v1`).

        Raises ConfigError, MachineError or Interrupted where it stopped on the way: asking again goes on.
        """
        new = self._refuse_strange()
        with self._folder.lock():
            self._refuse_another()
            if self._folder.manifest.exists():
                intact(self._folder)
                return read_json(self._folder.decision, DECISION)
            events = EventLog(next_log(self._folder.path, frozenset()))
            try:
                self._conduct(events)
            except ConfigError:
                if new and not self._store.files():
                    shutil.rmtree(self._folder.path)  # what was wrong was found before anything was made
                raise
            except OSError as error:
                raise broken(f"{self._folder.path} cannot be worked in", error) from error
            finally:
                events.close()
            self._finish()
        return read_json(self._folder.decision, DECISION)

    def _refuse_strange(self) -> bool:
        """Whether this is a new release. Raises ConfigError where the folder holds something else."""
        path = self._folder.path
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is not a directory", hint="choose another --out")
        new = not path.exists() or not any(path.iterdir())
        if not new and not self._folder.exists and not (path / "events.jsonl").exists():
            raise ConfigError(f"{path} is not empty and holds no release", hint="choose another --out")
        return new

    def _refuse_another(self) -> None:
        """Raise ConfigError where the folder holds a release that something else was asked of."""
        try:
            content = self._folder.content() if self._folder.exists else None
        except EvidenceError:
            return  # it was changed, and what was made of it is void
        if content is not None and is_whole(content) and content["digest"] != self._release.digest:
            hint = "choose another --out, or --fresh to start over there"
            raise ConfigError(f"{self._folder.path} holds another release ({content['digest'][:8]})", hint=hint)

    def _finish(self) -> None:
        try:
            track(self._folder, self._release, self._watch)
            self._seal()
        except OSError as error:
            raise broken(f"{self._folder.path} cannot be sealed", error) from error

    def _seal(self) -> None:
        report.write(self._folder.path)
        card.write(self._folder.path)
        command, place = self._command, self._place
        close(self._folder, self._release, command=command, place=place, key=self._key, allow=self._allow)

    def _conduct(self, events: EventLog) -> None:
        self._context = Context(self._folder, self._release, self._watch, events.emit)
        self._server = Server(events.emit)
        events.emit("release_started", release=self._release.spec.name, digest=self._release.digest)
        self._folder.sweep()
        self._record()
        try:
            for _ in range(_ROUNDS):
                try:
                    self._script()
                except _Again:
                    continue
                finally:
                    self._server.close()
                events.emit("release_decided", verdict=read_json(self._folder.decision)["verdict"])
                return
            raise MachineError("the same stages were void again and again", layer="release")
        except KeyboardInterrupt:
            events.emit("stopped", error="Interrupted", message="interrupted")
            raise Interrupted("interrupted", hint=RESUME) from None
        except AssayError as error:
            events.emit("stopped", error=type(error).__name__, message=error.message)
            if isinstance(error, Interrupted):
                error.hint = RESUME
            raise

    def _record(self) -> None:
        """Write down what is asked. Whatever was made for something else is void."""
        wanted = pretty(self._release.content)
        if self._folder.record.exists() and self._folder.record.read_bytes() != wanted:
            self._make_void(["prepare"], ["release.json was changed"], self._stages.prepare(self._context).places)
        write_atomic(self._folder.record, wanted)

    # --- the order ---------------------------------------------------------------------------------------------------

    def _script(self) -> None:
        try:
            self._must(self._stages.prepare(self._context))
            self._candidates()
        except _Ended:
            pass
        self._server.close()
        self._do(self._stages.decide(self._context, self._recipes or self._release.recipes, self._untried))

    def _must(self, stage: Stage) -> Record:
        """Do a stage without which there is no release."""
        record = self._do(stage)
        if record.status == "failed":
            raise _Ended
        return record

    def _candidates(self) -> None:
        """Every candidate in its order; one that is patched comes next, in the place of the one that failed."""
        self._recipes, self._untried = [], {}
        queue, accepted = self._listed(), False
        while queue:
            recipe = queue.pop(0)
            self._recipes.append(recipe)
            if accepted and self._release.spec.stop == "first_accept":
                self._untried[recipe.name] = "an earlier candidate was accepted, and that ends the release"
            elif reason := self._spent(recipe, f"evaluate-{recipe.name}" if self._release.space else None):
                self._untried[recipe.name] = reason
            else:
                last = self._candidate(recipe)
                accepted = accepted or (last.gate is not None and last.gate.verdict == Verdict.ACCEPT)
                queue[:0] = self._instead(last)

    def _listed(self) -> list[Recipe]:
        """The candidates that are tried to the end: those of the list, or the finalists of the search."""
        space = self._release.space
        if space is None:
            return list(self._release.recipes)
        searching = Searching(self._context, space, self._stages, self._server, self._do, self._must, self._spent)
        trace = searching.run()
        self._untried = ended(trace, searching.skipped)
        self._recipes = [trial.recipe for name, trial in trace.trials.items() if name not in trace.finalists]
        return [trace.trials[name].recipe for name in trace.finalists]

    def _instead(self, last: Record) -> list[Recipe]:
        """The patched recipe that comes in the place of a candidate that failed, where there is one."""
        if (last.after or {}).get("do") != "patch":
            return []
        found = self._patch(FailureClass(str((last.failure or {})["class"])), self._recipes[-1])
        return [found[0]] if found else []

    def _candidate(self, recipe: Recipe) -> Record:
        """One candidate from its source to its comparison; the record of the last stage that was done."""
        for made in (self._stages.quantize, self._stages.ptq):
            stage = made(self._context, recipe)
            if (record := self._do(stage)).status == "failed":
                return record
        self._baseline(1)
        served = Served(self._context, recipe)
        try:
            record = self._do(self._stages.deploy(served, self._server))
            for number in range(1, self._release.spec.samples.rounds + 1):
                if record.status == "failed" or (number > 1 and not _open(record)):
                    break
                record = self._round(served, number)
            return record
        finally:
            self._server.close()

    def _round(self, served: Served, number: int) -> Record:
        """One evaluation and its comparison."""
        if number > 1:
            self._server.close()
            self._baseline(number)
        stages = (
            self._stages.evaluate(served, self._server, number, self._until(number)),
            self._stages.run(self._context, served.name, number),
            self._stages.compare(self._context, served.name, number),
        )
        for stage in stages:
            if (record := self._do(stage)).status == "failed":
                break
        return record

    def _baseline(self, number: int) -> None:
        """The source, served and evaluated, once."""
        served = Served(self._context, None)
        if number == 1:
            self._must(self._stages.deploy(served, self._server))
        self._must(self._stages.evaluate(served, self._server, number))
        self._server.close()
        self._must(self._stages.run(self._context, BASELINE, number))

    def _until(self, number: int) -> Until | None:
        """What a candidate is decided against while it is evaluated, where that is asked."""
        if not self._release.spec.until_decided:
            return None
        from assay.evidence.deciding import Until
        from assay.evidence.read import read

        policy = self._release.policy_at(self._release.levels.level())
        return Until(policy, read(self._folder.run(BASELINE, number)))

    def _spent(self, recipe: Recipe, begun: str | None = None) -> str | None:
        """Why there is no budget left for a candidate that was not begun; None where there is. `begun`: the stage that
        shows that it was, of a candidate that comes back."""
        return spent(self._release.spec.budget, self._store.records(), recipe.name, begun)

    # --- one stage ---------------------------------------------------------------------------------------------------

    def _do(self, stage: Stage) -> Record:
        """The record of a stage: the one that is there, if it holds, or a new one."""
        known = self._known(stage)
        if known is None:
            return self._perform(stage)
        if stage.key not in self._kept:
            self._kept.add(stage.key)
            self._context.emit("stage_kept", stage=stage.key, record=known.id)
            self._watch.kept(known)
        return known

    def _known(self, stage: Stage) -> Record | None:
        """The record of a stage where it holds; what does not hold is void, with all that stands on it."""
        try:
            record = self._store.read(stage.key)
            if record is None:
                return None
            problems = self._store.problems(stage, record)
        except EvidenceError as error:
            problems = [f"its record: {error.message}"]
        if not problems:
            return record
        self._make_void([stage.key], problems, stage.places)
        return None

    def _make_void(self, keys: list[str], problems: list[str], places: Sequence[Path]) -> None:
        """Set stages aside by name, with everything that stands on them."""
        dependents = self._store.dependents(keys)
        records = self._store.records()
        gone = [records[key] for key in (*keys, *dependents) if key in records]
        made = [self._folder.inside(place) for record in gone for place in record.places]
        self._server.close()
        for key in keys:
            self._context.emit("stage_void", stage=key, because=problems)
            self._watch.said(f"{key} is void: {'; '.join(problems)}")
        for key in dependents:
            self._context.emit("stage_void", stage=key, because=[f"it stands on {', '.join(keys)}"])
            self._watch.said(f"{key} is void: it stands on {', '.join(keys)}")
        self._kept -= {*keys, *dependents}
        self._store.set_aside([*keys, *dependents], [*places, *made])

    def _perform(self, stage: Stage) -> Record:
        """Do a stage: what it stands on is looked at once more, and what stood on an earlier doing of it is void."""
        for key in stage.needs:
            self._still(key)
        if dependents := self._store.dependents([stage.key]):
            self._make_void(dependents, [f"{stage.key} is done again"], ())
        inputs, began = stage.inputs(), time.time()
        self._context.emit("stage_started", stage=stage.key, inputs=inputs)
        self._watch.began(stage.key, stage.text)
        while True:
            found = tried(stage)
            if isinstance(found, Product):
                return self._write(stage, found, inputs, began)
            after = self._after(stage, found)
            if after is not None:
                return self._write(stage, found.product or Product(), inputs, began, found, after)

    def _still(self, key: str) -> None:
        """See that a stage that was passed over still holds what it made."""
        try:
            record = self._store.read(key)
            if record is not None and not self._store.outputs(record):
                return
        except EvidenceError:
            pass
        raise _Again

    def _after(self, stage: Stage, failure: Failure) -> dict[str, str] | None:
        """What follows a failure by the rules: None to try again, else what is written down. Raises what stops here."""
        whole = stage.point in (None, BASELINE)
        met = self._met[stage.key, failure.kind]
        action = self._release.rules.after(failure.kind, met, baseline=whole)
        if failure.verdict is Verdict.INFEASIBLE and action in ("stop", "abort"):
            action = "infeasible"  # the gate itself says that it cannot be
        self._met[stage.key, failure.kind] += 1
        patch = self._patch(failure.kind, self._recipe_of(stage)) if action == "patch" else None
        if action == "patch" and patch is None:
            action = "infeasible"
        fields = {"stage": stage.key, "failure_class": failure.kind.value, "message": failure.message}
        self._context.emit("stage_failed", **fields, action=action)
        self._watch.said(f"{stage.key}: {failure.kind.value}: {failure.message} → {action}")
        if action in ("retry", "redo"):
            self._once_again(stage, failure, action)
            return None
        if action == "abort":
            raise stopped(stage, failure, self._release.rules.rules[failure.kind.value].as_)
        if action == "stop":
            raise failure.error or ConfigError(failure.message)
        return {"do": action} | ({"candidate": patch[0].name, "why": patch[1]} if patch else {})

    def _once_again(self, stage: Stage, failure: Failure, action: str) -> None:
        """Wait as the rule says. What a gate judged is void, and so is what `redo` doubts; both are done again."""
        wait = self._release.rules.rules[failure.kind.value].wait_s
        if wait:
            time.sleep(wait)
        if stage.gates is None and action == "retry":
            return
        self._make_void([stage.gates or stage.key], [f"{stage.key}: {failure.message}"], stage.places)
        raise _Again

    def _recipe_of(self, stage: Stage) -> Recipe | None:
        return next((recipe for recipe in self._recipes if recipe.name == stage.point), None)

    def _patch(self, kind: FailureClass, recipe: Recipe | None) -> tuple[Recipe, str] | None:
        """What the rules know to try in a recipe's place, and nobody has tried before it."""
        if recipe is None or self._release.space is not None:
            return None  # a search has rules of its own
        tried = {other.name for other in (*self._recipes, *self._release.recipes)}
        return self._release.rules.patched(kind, recipe, tried, recipe_named)

    def _write(
        self,
        stage: Stage,
        product: Product,
        inputs: dict[str, str],
        began: float,
        failure: Failure | None = None,
        after: dict[str, str] | None = None,
    ) -> Record:
        """Put the record of a stage in place; what went in is what was there when it began."""
        needs = {key: record.id for key in stage.needs if (record := self._store.read(key)) is not None}
        made = [self._folder.relative(place) for place in stage.places if place.exists()]
        record = Record(
            stage=stage.name,
            point=stage.point,
            key=stage.key,
            status="failed" if failure else "done",
            needs=needs,
            inputs=inputs,
            outputs=product.outputs,
            places=tuple(made),
            gate=product.gate,
            facts=dict(product.facts),
            failure={"class": failure.kind.value, "message": failure.message} if failure else None,
            after=after,
            tries=1 + sum(count for (key, _), count in self._met.items() if key == stage.key and not failure),
            started=round(began, 3),
            seconds=round(time.time() - began, 3),
            log=self._folder.relative(stage.log) if stage.log is not None and stage.log.exists() else None,
        )
        self._store.write(record)
        self._context.emit("stage_finished", stage=stage.key, status=record.status, record=record.id)
        self._watch.ended(record)
        return record


def _open(record: Record) -> bool:
    """Whether a comparison was left undecided."""
    return record.gate is not None and record.gate.verdict == Verdict.INCONCLUSIVE
