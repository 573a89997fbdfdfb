"""Deciding while a run goes on: blocks of samples, and after each a look at what they came to.

Between two blocks the model stays loaded. A look scores what is new, reads the run as a gate would, and asks the gate.
Everything it rests on is in the run and in the baseline, so a run that was killed goes on as if it had not been, and
`assay verify` follows the same looks to the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, Incomparable
from assay.evidence.read import expected, read, snapshot
from assay.evidence.verdict_files import keep
from assay.gates import looks, policy, sequential
from assay.gates.evidence import Evidence
from assay.gates.policy import Policy
from assay.gates.result import GateResult
from assay.plan.plan import Plan
from assay.records import Attempt
from assay.run import until
from assay.run.folder import RunFolder
from assay.run.scores import Scoring, planned
from assay.run.state import State
from assay.run.until import Blocks, Look, Record

Told = Callable[[Look, GateResult], None]


@dataclass(frozen=True)
class Until:
    """What a run is held against while it goes on."""

    policy: Policy
    baseline: Evidence

    def refuse(self, plan: Plan) -> None:
        """Raises Incomparable where a run of this plan could not be decided, before anything of it is written."""
        found = sequential.before(self.baseline, expected(plan), self.policy)
        if any(check.ok is not True and check.forces for check in found.checks):
            raise Incomparable(found.verdict, "\n".join(found.reasons), found.exit_code, found.failure_class)

    def record(self, plan: Plan) -> Record:
        """What the run keeps of it."""
        block = looks.block_of(until.sizes(plan), self.policy)
        # Where the baseline lies may change while the run is resumed; what it is may not.
        named = {key: part for key, part in self.baseline.identity("baseline").items() if key != "run"}
        return Record(self.policy.to_json(), named, block)

    @property
    def parents(self) -> list[dict[str, str]]:
        """What a manifest says of it."""
        seal = {"id": str(self.baseline.manifest), "sha256": str(self.baseline.digest)}
        return [
            {"kind": "baseline", "name": self.baseline.run, **seal},
            {"kind": "policy", "name": self.policy.name, "digest": self.policy.digest},
        ]


def asked(
    given: Policy | Path | str | Mapping[str, Any],
    baseline: Path | str,
    model: str | None = None,
    prompt: str | None = None,
) -> Until:
    """The policy and the baseline, of which only one model's or one prompt's cells may be wanted.

    Raises ConfigError where one is not there, or is none.
    """
    if isinstance(given, Policy):
        held = given
    else:
        held = policy.parse(dict(given)) if isinstance(given, Mapping) else policy.load(Path(given))
    return Until(held, read(Path(baseline)).only(model, prompt))


def hold(folder: RunFolder, plan: Plan, state: State, wanted: Until | None) -> None:
    """Begin to hold a run against a baseline, or go on. Raises ConfigError where it was begun otherwise."""
    known = until.read(folder)
    if wanted is None and known is None:
        return
    if wanted is None:
        message = f"{folder.path} is evaluated until it is decided"
        raise ConfigError(message, hint="ask with the same --until-decided and --baseline, or --fresh to start over")
    if known is None:
        if state.finished:
            message = f"{folder.path} was begun without --until-decided: its samples came in another order"
            raise ConfigError(message, hint="go on without it, or --fresh to start over")
        wanted.record(plan).write(folder)
    elif problem := _another(known, wanted.record(plan)):
        raise ConfigError(f"{folder.path} {problem}", hint="ask with that one again, or --fresh to start over")


def _another(known: Record, wanted: Record) -> str | None:
    if known.policy["digest"] != wanted.policy["digest"]:
        return f"is being decided by another policy ({str(known.policy['digest'])[:16]})"
    if known.baseline != wanted.baseline:
        return f"is being decided against another baseline ({known.baseline.get('manifest')})"
    return None


class Pace:
    """Says what is asked next, and when it is enough (see `assay.run.execute.Pace`)."""

    def __init__(self, folder: RunFolder, plan: Plan, state: State, held: Until, workers: int | None, told: Told) -> None:
        self._folder = folder
        self._plan = plan
        self._state = state
        self._held = held
        self._workers = workers
        self._told = told
        self._blocks = Blocks(plan, held.record(plan).block)
        self._looks = until.looked(folder)

    def next(self, cells: list[int]) -> Iterator[Attempt] | None:
        """The attempts of the next block; None where it is decided, or the plan is at its end."""
        whole = self._blocks.whole(self._state)
        while len(self._looks) < whole and not self.decided:
            self._look(len(self._looks) + 1)
        if self.decided or whole == self._blocks.looks:
            return None
        return self._blocks.pending(whole + 1, cells, self._state)

    @property
    def decided(self) -> bool:
        """Whether the last look decided."""
        return bool(self._looks) and self._looks[-1].verdict in sequential.DECIDED

    def _look(self, number: int) -> None:
        Scoring(
            self._folder, self._plan, self._state, planned(self._plan), self._folder.sealed(), self._workers
        ).run()
        samples = self._blocks.asked(number)
        found = sequential.look(
            self._held.baseline, snapshot(self._folder, self._plan, samples, number), self._held.policy
        )
        bounds = found.to_json()["numbers"].get("looks", [{}])[-1].get("gain_bounds", [])
        look = Look(number, samples, found.verdict.value, tuple(bounds))
        until.append(self._folder, look)
        self._looks.append(look)
        self._told(look, found)


def conclude(path: Path, held: Until) -> Path | None:
    """The verdict on a sealed run, kept beside it; None where it is not sealed."""
    evidence = read(path)
    return keep(sequential.gate(held.baseline, evidence, held.policy).to_json(), path, evidence)
