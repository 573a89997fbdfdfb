"""Evaluating until it is decided: what a run is held against, whether it may be, and how it ends.

Nothing here loads the gates before they are needed: most runs are of a whole plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError, Incomparable, Problem
from assay.evidence.manifest import read_manifest
from assay.files import read_json
from assay.gates import blocks
from assay.plan.plan import Plan
from assay.run import until
from assay.run.events import EventLog
from assay.run.execute import Pace, Watch
from assay.run.folder import RunFolder
from assay.run.state import State
from assay.run.until import Blocks, Look, Record

if TYPE_CHECKING:
    from assay.gates.evidence import Evidence
    from assay.gates.policy import Policy
    from assay.gates.result import GateResult


@dataclass(frozen=True)
class Until:
    """What a run is held against while it goes on."""

    policy: Policy
    baseline: Evidence

    def refuse(self, plan: Plan) -> None:
        """Raise Incomparable where a run of this plan could not be decided, before anything of it is written."""
        from assay.evidence.read import expected
        from assay.gates.sequential import before

        found = before(self.baseline, expected(plan), self.policy)
        if any(check.ok is not True and check.forces for check in found.checks):
            raise Incomparable(found.verdict, found.reasons, found.exit_code, found.failure_class)

    def record(self, plan: Plan) -> Record:
        """What the run keeps of it."""
        # Where the baseline lies may change before a run is resumed; what it is may not.
        named = {key: part for key, part in self.baseline.identity("baseline").items() if key != "run"}
        return Record(self.policy.to_json(), named, blocks.block_of(until.sizes(plan), self.policy))

    @property
    def parents(self) -> list[dict[str, str]]:
        """What a manifest says of it."""
        sealed = {"id": str(self.baseline.manifest), "sha256": str(self.baseline.digest)}
        return [
            {"kind": "baseline", "name": self.baseline.run, **sealed},
            {"kind": "policy", "name": self.policy.name, "digest": self.policy.digest},
        ]


def given(
    policy: Policy | Path | str | Mapping[str, Any] | None,
    baseline: Path | str | None,
    model: str | None = None,
    prompt: str | None = None,
) -> Until | None:
    """What was asked for: a policy, and a baseline of which only one model's or one prompt's cells may be wanted.

    None where neither is given. Raises ConfigError where one is missing, not there, or none.
    """
    if policy is None and baseline is None:
        if model is None and prompt is None:
            return None
        raise ConfigError(Problem("chooses in a baseline, and none is given", "--baseline-model, --baseline-prompt"))
    if policy is None or baseline is None:
        missing = "--until-decided" if policy is None else "--baseline"
        raise ConfigError(Problem("missing", missing, allowed="a policy and a baseline together"))
    from assay.evidence.read import read

    whole = read(Path(baseline))
    for name, part in (("model", model), ("prompt", prompt)):
        there = sorted({str(getattr(cell, name)) for cell in whole.cells})
        if part is not None and whole.cells and part not in there:
            message = f"the run has no {name} {part!r}"
            raise ConfigError(Problem(message, f"--baseline-{name}", allowed=", ".join(there)))
    return Until(_policy(policy), whole.only(model, prompt))


def _policy(given: Policy | Path | str | Mapping[str, Any]) -> Policy:
    from assay.gates import policy as policies

    if isinstance(given, policies.Policy):
        return given
    return policies.parse(dict(given)) if isinstance(given, Mapping) else policies.load(Path(given))


def check(plan: Plan, held: Until | None, *, retry_errors: bool) -> None:
    """Whether the plan may be held against that. Raises Incomparable, or ConfigError for errors to be asked again."""
    if held is None:
        return
    if retry_errors:
        message = "cannot go with --until-decided: the looks that were taken would have seen other answers"
        raise ConfigError(Problem(message, "--retry-errors"))
    held.refuse(plan)


def hold(folder: RunFolder, plan: Plan, state: State, held: Until | None, *, done: bool) -> None:
    """Begin to hold a run against a baseline, or go on. Raises ConfigError where it was begun otherwise; one that is
    `done` may be looked at without its baseline."""
    known = until.read(folder)
    if held is None:
        if known is not None and not done:
            message = f"{folder.path} is evaluated until it is decided"
            hint = "ask with the same --until-decided and --baseline, or --fresh to start over"
            raise ConfigError(message, hint=hint)
    elif known is None:
        if state.finished:
            message = f"{folder.path} was begun without --until-decided: its samples came in another order"
            raise ConfigError(message, hint="ask without it, or --fresh to start over")
        held.record(plan).write(folder)
    elif problem := _another(known, held.record(plan)):
        raise ConfigError(f"{folder.path} {problem}", hint="ask with that one again, or --fresh to start over")


def _another(known: Record, wanted: Record) -> str | None:
    if known.policy["digest"] != wanted.policy["digest"]:
        return f"is being decided by another policy ({str(known.policy['digest'])[:16]})"
    if known.baseline != wanted.baseline:
        return f"is being decided against another baseline ({known.baseline.get('manifest')})"
    return None


def pace(
    folder: RunFolder,
    plan: Plan,
    state: State,
    held: Until | None,
    workers: int | None,
    events: EventLog,
    watch: Watch | None,
) -> Pace | None:
    """Who says what is asked next; None for a whole plan."""
    if held is None:
        return None
    from assay.evidence.looking import Pace

    steps = Blocks(plan, held.record(plan).block)

    def told(look: Look, found: GateResult) -> None:
        events.emit("looked", look=look.look, looks=steps.looks, samples=dict(look.samples), verdict=look.verdict)
        if watch:
            watch.looked(f"look {look.look} of {steps.looks}: {look.verdict}; {found.reasons[0]}")

    return Pace(folder, state, steps, held.baseline, held.policy, told, workers)


def ended(folder: RunFolder) -> str:
    """How a sealed run ended, in words."""
    seen = until.looked(folder) if until.read(folder) else []
    if until.decided(seen):
        return f"is decided ({seen[-1].verdict}, after look {seen[-1].look})"
    return "is finished"


def conclude(folder: RunFolder, held: Until | None) -> None:
    """Keep the verdict on a sealed run beside it."""
    if held is None:
        return
    from assay.evidence.read import read
    from assay.evidence.verdict_files import keep
    from assay.gates.sequential import gate

    evidence = read(folder.path)
    keep(gate(held.baseline, evidence, held.policy).to_json(), folder.path, evidence)


def decision(folder: RunFolder) -> dict[str, Any] | None:
    """The kept verdict on a run that was evaluated until it was decided, as its newest seal has it."""
    if until.read(folder) is None or not folder.manifest.exists():
        return None
    seal = read_manifest(folder.manifest)["id"]
    for path in sorted(folder.path.glob("verdicts/sequential-*.json")):
        if not path.name.endswith(".sig.json"):
            document = read_json(path, "assay.gate.v1")
            if any(item["manifest"] == seal for item in document["inputs"] if item["role"] == "candidate"):
                return document
    return None
